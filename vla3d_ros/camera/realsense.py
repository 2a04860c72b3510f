"""RealSense cameras through the vendor's library, live or from a recording; the library's context is handed in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.device_clock import DeviceClock
from vla3d_ros.camera.distortion import checked_plumb_bob, pixel_grid
from vla3d_ros.camera.realsense_settings import apply_options, read_settings, verify_options
from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.source import CameraSource, SourceHealth
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ConfigError, DependencyError, join_problems

_DOMAINS = {"global": "global_time", "hardware": "hardware_clock"}
_SEARCH_PERIOD_S = 0.5
_TEMPERATURE_PERIOD_S = 1.0
_log = logging.getLogger(__name__)


def load_sdk() -> Any:
    """Import pyrealsense2.

    Raises:
        DependencyError: Saying what to install.
    """
    try:
        import pyrealsense2
    except ImportError as error:
        raise DependencyError(
            f"RealSense cameras need pyrealsense2, which does not load ({error}); run 'pip install "
            "\"vla3d_ros[realsense]\"' and 'apt install libusb-1.0-0'"
        ) from error
    return pyrealsense2


def realsense_factory(
    now_ns: Callable[[], int], context: Callable[[Any], Any] = lambda sdk: sdk.context()
) -> Callable[[CameraSpec], CameraSource]:
    """Return what builds sources of kind `realsense`; all of them share one context of the vendor's library.

    Args:
        now_ns: The ROS clock.
        context: Makes the context from the library's module, once, when the first camera is built.
    """
    made: list[tuple[Any, Any]] = []

    def create(spec: CameraSpec) -> CameraSource:
        if not made:
            sdk = load_sdk()
            made.append((sdk, context(sdk)))
        return RealSenseSource(spec, sdk=made[0][0], context=made[0][1], now_ns=now_ns)

    return create


class RealSenseSource:
    """One camera by serial number, or one recording. The newest frame waits in one slot; nothing queues."""

    def __init__(self, spec: CameraSpec, *, sdk: Any, context: Any, now_ns: Callable[[], int]) -> None:
        """Read the settings.

        Args:
            spec: The camera's entry in the rig.
            sdk: The module pyrealsense2.
            context: Its context, on which devices are found.
            now_ns: The ROS clock.

        Raises:
            ConfigError: If the settings are wrong.
        """
        self.health = SourceHealth()
        self._spec, self._sdk, self._context, self._now_ns = spec, sdk, context, now_ns
        self._settings = read_settings(spec)
        self._align = sdk.align(sdk.stream.color)
        self._clock = DeviceClock(
            spec.name,
            is_ros_time=self._settings.timestamps != "hardware",
            latency_ns=int(self._settings.latency_ms * 1e6),
        )
        self._changed = threading.Condition()
        self._slot: tuple[Any, int] | None = None
        self._pipeline: Any = None
        self._thermometer: Any = None
        self._next_temperature_s = 0.0
        self._skip = 0
        self._last_number: int | None = None
        self._last_frame_s = 0.0
        self._next_search_s = 0.0

    @property
    def name(self) -> str:
        """Name of the camera in the rig file."""
        return self._spec.name

    # --------------------------------------------------------------------------------------- start and stop

    def open(self) -> CameraModel:
        """Start streaming and return the intrinsics in force.

        Raises:
            ConfigError: If the camera is not there, or refuses the profile or an option; names what it offers.
        """
        self.close()
        pipeline = self._sdk.pipeline(self._context)
        config, device = self._resolve(pipeline)
        sensors = self._sensors(device)
        asked = {"color": dict(self._settings.color), "depth_sensor": dict(self._settings.depth_sensor)}
        if self._settings.timestamps == "global" and sensors["color"].supports(self._sdk.option.global_time_enabled):
            asked["color"].setdefault("global_time_enabled", 1)
        self._refuse(
            [text for key, options in asked.items() for text in apply_options(self._sdk, sensors[key], options)]
        )
        profile = self._started(pipeline, config)
        problems = [text for key, options in asked.items() for text in verify_options(self._sdk, sensors[key], options)]
        if problems:
            self.close()
            self._refuse(problems)
        self._begin(sensors["color"])
        return self._model(profile)

    def _started(self, pipeline: Any, config: Any) -> Any:
        try:
            profile = pipeline.start(config, self._on_frame)
        except RuntimeError as error:
            raise ConfigError(
                f"camera '{self.name}' can not be started ({error}); a stream belongs to one process: end "
                "what else uses the camera, or plug it in again"
            ) from error
        self._pipeline = pipeline
        return profile

    def _begin(self, color_sensor: Any) -> None:
        self._thermometer = _thermometer(self._sdk, color_sensor)
        self._clock.restart()
        self._skip = self._settings.warm_up_frames
        self._last_number = None
        self._last_frame_s = time.monotonic()
        self.health.trouble = ""

    def close(self) -> None:
        """Stop streaming; safe to call twice."""
        pipeline, self._pipeline = self._pipeline, None
        self._thermometer = None
        if pipeline is not None:
            try:
                pipeline.stop()
            except RuntimeError as error:  # the device is gone already
                _log.debug("camera '%s': stopping: %s", self.name, error)
        with self._changed:
            self._slot = None

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            raise ConfigError(join_problems(f"camera '{self.name}'", problems))

    def _resolve(self, pipeline: Any) -> tuple[Any, Any]:
        sdk, settings = self._sdk, self._settings
        config = sdk.config()
        if settings.file:
            config.enable_device_from_file(settings.file, True)
        else:
            found = _serials(sdk, self._context)
            if settings.serial not in found:
                raise ConfigError(
                    f"camera '{self.name}': no RealSense with serial '{settings.serial}' is connected; available: "
                    f"{found}; check cable and port, or correct 'serial' in the rig"
                )
            config.enable_device(settings.serial)
        width, height = self._spec.model.width_px, self._spec.model.height_px
        config.enable_stream(sdk.stream.color, width, height, sdk.format.rgb8, settings.fps)
        if settings.depth:
            config.enable_stream(sdk.stream.depth, width, height, sdk.format.z16, settings.fps)
        try:
            return config, config.resolve(sdk.pipeline_wrapper(pipeline)).get_device()
        except RuntimeError as error:
            raise ConfigError(
                f"camera '{self.name}' can not stream {width}x{height} px at {settings.fps} fps"
                f"{' with depth' if settings.depth else ''} ({error}); available: {self._profiles()}; a camera on a "
                "USB 2 port or cable offers less"
            ) from error

    def _profiles(self) -> list[str]:
        profiles = [
            profile
            for device in self._context.query_devices()
            if device.get_info(self._sdk.camera_info.serial_number) == self._settings.serial
            for sensor in device.query_sensors()
            for profile in sensor.get_stream_profiles()
            if profile.stream_type() in (self._sdk.stream.color, self._sdk.stream.depth)
        ]
        video = [(profile, profile.as_video_stream_profile()) for profile in profiles]
        return sorted({f"{p.stream_type().name} {v.width()}x{v.height()}@{p.fps()}" for p, v in video})

    def _sensors(self, device: Any) -> dict[str, Any]:
        """Find the sensors that give colour and depth; one and the same on cameras without a colour sensor."""
        sensors: dict[str, Any] = {}
        for key, stream in (("color", self._sdk.stream.color), ("depth_sensor", self._sdk.stream.depth)):
            for sensor in device.query_sensors():
                if any(profile.stream_type() == stream for profile in sensor.get_stream_profiles()):
                    sensors.setdefault(key, sensor)
        sensors.setdefault("depth_sensor", sensors["color"])
        return sensors

    def _model(self, profile: Any) -> CameraModel:
        if self._settings.intrinsics == "rig":
            return self._spec.model
        return factory_model(self._sdk, self.name, profile.get_stream(self._sdk.stream.color))

    # ------------------------------------------------------------------------------------------------ frames

    def _on_frame(self, frame: Any) -> None:
        """Keep the newest frame; called from a thread of the library's."""
        receive_ns = self._now_ns()
        with self._changed:
            self._slot = (frame, receive_ns)
            self._changed.notify()

    def read(self, timeout_s: float) -> CameraImage | None:
        """Wait for an image newer than the last one returned.

        Args:
            timeout_s: Longest wait, seconds of wall time.

        Returns:
            The freshest image; None if none came in time, or while the camera is away.

        Raises:
            ConfigError: If the camera came back and refuses what it accepted before.
        """
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            if self._pipeline is None:
                self._search(min(left_s, _SEARCH_PERIOD_S))
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._slot is not None, left_s)
                taken, self._slot = self._slot, None
            if taken is None:
                self._note_silence()
            elif (image := self._image(*taken)) is not None:
                return image
        return None

    def _image(self, frame: Any, receive_ns: int) -> CameraImage | None:
        self._last_frame_s = time.monotonic()
        frames = frame.as_frameset() if frame.is_frameset() else None
        color = frames.get_color_frame() if frames else frame.as_video_frame()
        if not color or (self._settings.depth and not (frames and frames.get_depth_frame())):
            return None
        number = color.get_frame_number()
        gap = number - self._last_number - 1 if self._last_number is not None else 0
        self._last_number = number
        self._measure_temperature()
        stamp_ns = self._stamp(color, receive_ns)
        if self._skip > 0:
            self._skip -= 1
            return None
        self.health.dropped += max(0, gap)
        if stamp_ns is None:
            self.health.withheld += 1
            return None
        depth_m = self._depth(frames) if self._settings.depth else None
        rgb = np.array(color.get_data())
        return CameraImage(camera=self.name, rgb=rgb, stamp_ns=stamp_ns, receive_ns=receive_ns, depth_m=depth_m)

    def _stamp(self, color: Any, receive_ns: int) -> int | None:
        expected = _DOMAINS.get(self._settings.timestamps)
        got = color.get_frame_timestamp_domain().name
        if expected is None:
            return self._clock.convert(receive_ns - int(self._settings.latency_ms * 1e6), receive_ns)
        if got != expected:
            self.health.trouble = (
                f"frames carry timestamps of domain '{got}'; expected '{expected}': install the vendor's udev rules "
                "and kernel patch, or set 'timestamps' in the rig to hardware or arrival"
            )
            return None
        stamp_ns = self._clock.convert(round(mid_exposure_ms(self._sdk, color) * 1e6), receive_ns)
        self.health.clock_jumps = self._clock.jumps
        self.health.trouble = self._clock.trouble
        return stamp_ns

    def _depth(self, frames: Any) -> NDArray[np.float32]:
        aligned = self._align.process(frames).get_depth_frame()
        ticks = np.asarray(aligned.get_data())
        depth_m: NDArray[np.float32] = ticks.astype(np.float32) * np.float32(aligned.get_units())
        depth_m[ticks == 0] = np.nan
        return depth_m

    def _measure_temperature(self) -> None:
        if self._thermometer is not None and self._last_frame_s >= self._next_temperature_s:
            self._next_temperature_s = self._last_frame_s + _TEMPERATURE_PERIOD_S
            self.health.temperature_c = self._thermometer()

    # ---------------------------------------------------------------------------------------- gone and back

    def _note_silence(self) -> None:
        silence_s = time.monotonic() - self._last_frame_s
        if silence_s < self._settings.lost_after_s:
            return
        self.health.trouble = f"no frame for {silence_s:.1f} s: unplugged? looking for it"
        _log.error("camera '%s': %s", self.name, self.health.trouble)
        self.close()

    def _search(self, wait_s: float) -> None:
        """Try to open the camera again, not more often than the search period."""
        if time.monotonic() < self._next_search_s:
            time.sleep(wait_s)
            return
        self._next_search_s = time.monotonic() + _SEARCH_PERIOD_S
        serial = self._settings.serial
        if serial and serial not in _serials(self._sdk, self._context):
            self.health.trouble = f"RealSense '{serial}' is not connected; it is opened when it is plugged in again"
            return
        self.open()
        self.health.reconnects += 1
        _log.info("camera '%s' is back", self.name)


def mid_exposure_ms(sdk: Any, frame: Any) -> float:
    """Return when the middle of the exposure was, in the frame's own time domain, milliseconds.

    The frame's timestamp is the start of its transfer; where the device tells both, the difference is taken off.
    """
    stamp_ms = float(frame.get_timestamp())
    sent, exposed = sdk.frame_metadata_value.frame_timestamp, sdk.frame_metadata_value.sensor_timestamp
    if frame.supports_frame_metadata(sent) and frame.supports_frame_metadata(exposed):
        transfer_us = float(frame.get_frame_metadata(sent) - frame.get_frame_metadata(exposed))
        return stamp_ms - max(0.0, transfer_us / 1e3)
    return stamp_ms


def factory_model(sdk: Any, camera: str, color_profile: Any) -> CameraModel:
    """Return the intrinsics stored in the device, their distortion converted to plumb bob.

    Raises:
        ConfigError: If the distortion can not be converted.
    """
    given = color_profile.as_video_stream_profile().get_intrinsics()
    K = np.array([[given.fx, 0.0, given.ppx], [0.0, given.fy, given.ppy], [0.0, 0.0, 1.0]])
    distortion = np.zeros(0)
    if given.model == sdk.distortion.brown_conrady and np.any(given.coeffs):
        distortion = np.array(given.coeffs, dtype=np.float64)
    elif given.model != sdk.distortion.none and np.any(given.coeffs):
        pixels = pixel_grid(given.width, given.height)
        rays = np.array([sdk.rs2_deproject_pixel_to_point(given, pixel.tolist(), 1.0)[:2] for pixel in pixels])
        distortion = checked_plumb_bob(camera, given.model.name, rays, pixels, K)
    return CameraModel(width_px=given.width, height_px=given.height, K=K, distortion=distortion)


def _serials(sdk: Any, context: Any) -> list[str]:
    return sorted(device.get_info(sdk.camera_info.serial_number) for device in context.query_devices())


def _thermometer(sdk: Any, sensor: Any) -> Callable[[], float] | None:
    for name in ("asic_temperature", "soc_pvt_temperature", "projector_temperature"):
        option = sdk.option.__members__.get(name)
        if option is not None and sensor.supports(option):
            return lambda option=option: float(sensor.get_option(option))  # type: ignore[misc]
    return None
