"""UVC (V4L2) cameras through OpenCV; what opens the device is handed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.source import SourceHealth
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ConfigError, join_problems

_KEYS = {"device", "fps", "fourcc", "latency_ms", "controls", "warm_up_frames"}
_CONTROLS = {
    "auto_exposure": cv2.CAP_PROP_AUTO_EXPOSURE,
    "exposure": cv2.CAP_PROP_EXPOSURE,
    "gain": cv2.CAP_PROP_GAIN,
    "auto_white_balance": cv2.CAP_PROP_AUTO_WB,
    "white_balance_k": cv2.CAP_PROP_WB_TEMPERATURE,
    "autofocus": cv2.CAP_PROP_AUTOFOCUS,
    "focus": cv2.CAP_PROP_FOCUS,
    "brightness": cv2.CAP_PROP_BRIGHTNESS,
    "contrast": cv2.CAP_PROP_CONTRAST,
    "saturation": cv2.CAP_PROP_SATURATION,
    "sharpness": cv2.CAP_PROP_SHARPNESS,
}
_TOLERANCE = 0.01
_SEARCH_PERIOD_S = 0.5


class VideoDevice(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...  # noqa: D102, N802
    def read(self) -> tuple[bool, Any]: ...  # noqa: D102
    def set(self, prop: int, value: float) -> bool: ...  # noqa: D102
    def get(self, prop: int) -> float: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


def open_v4l2(device: int | str) -> VideoDevice:
    """Open a device by index or path, e.g. one below /dev/v4l/by-id, which survives replugging."""
    return cv2.VideoCapture(device, cv2.CAP_V4L2)


def uvc_factory(
    now_ns: Callable[[], int], open_device: Callable[[int | str], VideoDevice] = open_v4l2
) -> Callable[[CameraSpec], UvcSource]:
    """Return what builds sources of kind `uvc`.

    Args:
        now_ns: The ROS clock.
        open_device: Opens a device.
    """
    return lambda spec: UvcSource(spec, now_ns=now_ns, open_device=open_device)


class UvcSource:
    """One UVC camera. Stamps are the time of reception less `latency_ms`: the device tells no other."""

    def __init__(
        self, spec: CameraSpec, *, now_ns: Callable[[], int], open_device: Callable[[int | str], VideoDevice]
    ) -> None:
        """Read the settings.

        Settings: `device` (index or path), `fps`, `fourcc` (default MJPG), `latency_ms` (from capture to reception),
        `warm_up_frames`, and `controls`: values by name, automatisms (auto_exposure: 1 manual, 3 automatic) first.

        Raises:
            ConfigError: Listing everything that is wrong with them.
        """
        self.health = SourceHealth()
        self._spec, self._now_ns, self._open_device = spec, now_ns, open_device
        self._settings = _checked(spec)
        self._device: VideoDevice | None = None
        self._last_ns: int | None = None
        self._next_search_s = 0.0

    @property
    def name(self) -> str:
        """Name of the camera in the rig file."""
        return self._spec.name

    def open(self) -> CameraModel:
        """Start capturing and return the rig's intrinsics.

        Raises:
            ConfigError: If the device is not there or does not do what it is asked; names asked and got.
        """
        self.close()
        device = self._open_device(self._settings["device"])
        if not device.isOpened():
            raise ConfigError(
                f"camera '{self.name}': device {self._settings['device']!r} can not be opened; see "
                "'v4l2-ctl --list-devices', and who else uses it"
            )
        problems = self._configure(device)
        if problems:
            device.release()
            raise ConfigError(join_problems(f"camera '{self.name}'", problems))
        for _ in range(self._settings.get("warm_up_frames", 10)):
            device.read()
        self._device = device
        self.health.trouble = ""
        return self._spec.model

    def _configure(self, device: VideoDevice) -> list[str]:
        model, settings = self._spec.model, self._settings
        fourcc = settings.get("fourcc", "MJPG")
        code = cv2.VideoWriter.fourcc(*fourcc)
        asked: list[tuple[str, int, float]] = [
            (f"fourcc {fourcc}", cv2.CAP_PROP_FOURCC, code),
            ("width_px", cv2.CAP_PROP_FRAME_WIDTH, model.width_px),
            ("height_px", cv2.CAP_PROP_FRAME_HEIGHT, model.height_px),
            ("fps", cv2.CAP_PROP_FPS, settings["fps"]),
        ]
        controls: Mapping[str, float] = settings.get("controls", {})
        asked += [(name, _CONTROLS[name], float(controls[name])) for name in _CONTROLS if name in controls]
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for _, prop, value in asked:
            device.set(prop, value)
        return [
            f"'{name}' was asked to be {value:g}, the device says {got:g}; see 'v4l2-ctl -l --list-formats-ext'"
            for name, prop, value in asked
            if abs((got := device.get(prop)) - value) > _TOLERANCE * max(1.0, abs(value))
        ]

    def read(self, timeout_s: float) -> CameraImage | None:
        """Wait for the next image; the driver keeps at most one older.

        Args:
            timeout_s: Longest search for a camera that is away, seconds of wall time. A device that is there but
                silent is waited for as long as the driver does.

        Returns:
            The image; None while the camera is away.
        """
        if self._device is None:
            self._search(timeout_s)
            return None
        is_good, bgr = self._device.read()
        receive_ns = self._now_ns()
        if not is_good:
            self.health.trouble = "the device gives no image: unplugged? looking for it"
            self.close()
            return None
        stamp_ns = receive_ns - int(self._settings.get("latency_ms", 0.0) * 1e6)
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            self.health.withheld += 1
            self._last_ns = stamp_ns if self._last_ns - stamp_ns > 10**9 else self._last_ns
            return None
        self._last_ns = stamp_ns
        rgb: NDArray[np.uint8] = np.ascontiguousarray(bgr[:, :, ::-1])
        return CameraImage(camera=self.name, rgb=rgb, stamp_ns=stamp_ns, receive_ns=receive_ns)

    def _search(self, timeout_s: float) -> None:
        wait_s = self._next_search_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            return
        self._next_search_s = time.monotonic() + _SEARCH_PERIOD_S
        try:
            self.open()
        except ConfigError as error:
            self.health.trouble = str(error)
            return
        self.health.reconnects += 1

    def close(self) -> None:
        """Stop capturing; safe to call twice."""
        device, self._device = self._device, None
        if device is not None:
            device.release()


def _checked(spec: CameraSpec) -> dict[str, Any]:
    settings = dict(spec.settings)
    problems = [f"unknown setting '{key}': expected one of {sorted(_KEYS)}" for key in settings if key not in _KEYS]
    problems += [f"'{key}' is missing" for key in ("device", "fps") if key not in settings]
    controls = settings.get("controls", {})
    unknown = [key for key in controls if key not in _CONTROLS]
    if unknown:
        problems.append(f"unknown controls {unknown}: expected some of {sorted(_CONTROLS)}")
    if len(str(settings.get("fourcc", "MJPG"))) != 4:
        problems.append(f"'fourcc' is {settings['fourcc']!r}; expected four letters, e.g. MJPG or YUYV")
    if problems:
        raise ConfigError(join_problems(f"camera '{spec.name}', settings", problems))
    return settings
