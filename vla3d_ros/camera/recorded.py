"""Recorded images behind the `CameraSource` protocol: played in a loop at their own rate, as if they came now."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.source import SourceHealth
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ConfigError, join_problems

Rgb = NDArray[np.uint8]

_SUFFIXES = (".jpg", ".jpeg", ".png")
_POLL_S = 0.02
_LARGEST_FOLDER_BYTES = 2 * 2**30


class Recording(Protocol):
    """A finite sequence of images with capture times."""

    offsets_ns: Sequence[int]
    """Capture time of each image after the start of the recording, increasing."""
    duration_ns: int
    """Length of one lap: the last offset and one more frame."""
    model: CameraModel | None
    """Intrinsics that came with the recording."""

    def frames(self) -> Iterator[Callable[[], Rgb]]:
        """Iterate from the start; an image is decoded only if its function is called, before the next step."""
        ...


class RecordedSource:
    """Plays a recording endlessly.

    Laps begin at multiples of the recording's length on the ROS clock: cameras of one rig that play recordings of
    equal length stay together, without knowing of one another.
    """

    def __init__(self, spec: CameraSpec, recording: Recording, now_ns: Callable[[], int]) -> None:
        """Take a recording and the ROS clock."""
        self.health = SourceHealth()
        self._spec, self._recording, self._now_ns = spec, recording, now_ns
        self._frames: Iterator[Callable[[], Rgb]] = iter(())
        self._position: tuple[int, int] | None = None  # lap and index of the image returned last
        self._cursor: tuple[int, int] | None = None  # lap and index of what the iterator gives next
        self._is_open = False

    @property
    def name(self) -> str:
        """Name of the camera in the rig file."""
        return self._spec.name

    def open(self) -> CameraModel:
        """Start playing and return the intrinsics in force: the recording's, else the rig's."""
        self._cursor = None
        self._is_open = True
        return self._recording.model or self._spec.model

    def close(self) -> None:
        """Stop playing; safe to call twice."""
        self._is_open = False
        self._frames = iter(())

    def read(self, timeout_s: float) -> CameraImage | None:
        """Wait for the next image that is due.

        Args:
            timeout_s: Longest wait, seconds of wall time.

        Returns:
            The image that is due by the ROS clock, overtaken ones are skipped; None if none came due in time.

        Raises:
            ConfigError: If the source is not open.
        """
        if not self._is_open:
            raise ConfigError(f"camera '{self.name}' is read before it is opened; call open() first")
        deadline_s = time.monotonic() + timeout_s
        while (due := self._due()) == self._position:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            time.sleep(min(left_s, _POLL_S, max(0.0, self._wait_ns() / 1e9)))
        if self._position is not None and due < self._position:
            self._position = None  # the ROS clock was set back
        return self._play(due)

    def _due(self) -> tuple[int, int]:
        """Return the lap and the index of the image that was captured last, were it live."""
        lap, phase_ns = divmod(self._now_ns(), self._recording.duration_ns)
        index = bisect.bisect_right(self._recording.offsets_ns, phase_ns) - 1
        return (lap, index) if index >= 0 else (lap - 1, len(self._recording.offsets_ns) - 1)

    def _wait_ns(self) -> int:
        phase_ns = self._now_ns() % self._recording.duration_ns
        following = bisect.bisect_right(self._recording.offsets_ns, phase_ns)
        if following == len(self._recording.offsets_ns):
            return self._recording.duration_ns - phase_ns + self._recording.offsets_ns[0]
        return self._recording.offsets_ns[following] - phase_ns

    def _play(self, due: tuple[int, int]) -> CameraImage | None:
        lap, index = due
        length = len(self._recording.offsets_ns)
        if self._cursor is None or self._cursor[0] != lap or self._cursor[1] > index:
            self._frames, self._cursor = self._recording.frames(), (lap, 0)
        if self._position is not None:
            self.health.dropped += (lap - self._position[0]) * length + index - self._position[1] - 1
        self._position = due
        for _ in range(self._cursor[1], index):
            next(self._frames, None)
        decode = next(self._frames, None)
        self._cursor = (lap, index + 1)
        if decode is None:
            self.health.trouble = f"the recording ended early: image {index} of {length} can not be read"
            return None
        self.health.trouble = ""
        stamp_ns = lap * self._recording.duration_ns + self._recording.offsets_ns[index]
        return CameraImage(camera=self.name, rgb=decode(), stamp_ns=stamp_ns, receive_ns=self._now_ns())


class ImageFolder:
    """Images of one folder in order of their names, all kept in memory, at a constant rate."""

    def __init__(self, folder: Path, rate_hz: float, calibration: CameraModel | None) -> None:
        """Read the images.

        Raises:
            ConfigError: If the folder is missing, has no images, or they differ in size.
        """
        files = sorted(file for file in folder.glob("*") if file.suffix.lower() in _SUFFIXES)
        if not files:
            raise ConfigError(f"no images in {folder}; expected files ending in {', '.join(_SUFFIXES)}")
        self._images = [_load_rgb(file) for file in files]
        sizes = {image.shape for image in self._images}
        if len(sizes) > 1 or len(files) * self._images[0].nbytes > _LARGEST_FOLDER_BYTES:
            raise ConfigError(
                f"folder {folder} has {len(files)} images of sizes {sorted(sizes)}; expected one size and at most "
                f"{_LARGEST_FOLDER_BYTES / 2**30:g} GiB decoded; make a video of a longer recording"
            )
        period_ns = round(1e9 / rate_hz)
        self.offsets_ns: Sequence[int] = [index * period_ns for index in range(len(files))]
        self.duration_ns = len(files) * period_ns
        self.model = calibration

    def frames(self) -> Iterator[Callable[[], Rgb]]:
        """Iterate from the start."""
        return (lambda image=image: image for image in self._images)  # type: ignore[misc]


class Video:
    """A video file, decoded as it is played; its own rate unless another is given."""

    def __init__(self, file: Path, rate_hz: float | None, calibration: CameraModel | None) -> None:
        """Look into the file.

        Raises:
            ConfigError: If it can not be decoded or does not tell its length and rate.
        """
        self._file = file
        capture = cv2.VideoCapture(str(file))
        frames, own_hz = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
        capture.release()
        if frames < 1 or not (rate_hz or own_hz > 0):
            raise ConfigError(
                f"video {file} can not be played: {frames} frames at {own_hz:g} Hz; expected e.g. an .mp4"
            )
        period_ns = round(1e9 / (rate_hz or own_hz))
        self.offsets_ns: Sequence[int] = [index * period_ns for index in range(frames)]
        self.duration_ns = frames * period_ns
        self.model = calibration

    def frames(self) -> Iterator[Callable[[], Rgb]]:
        """Iterate from the start."""
        capture = cv2.VideoCapture(str(self._file))
        try:
            while capture.grab():
                yield lambda: np.ascontiguousarray(capture.retrieve()[1][:, :, ::-1])
        finally:
            capture.release()


def recorded_factory(
    now_ns: Callable[[], int], open_bag: Callable[[Path, CameraSpec], Recording] | None = None
) -> Callable[[CameraSpec], RecordedSource]:
    """Return what builds sources of kind `recorded`.

    Settings: `path` (a folder of images, a video, or a bag), `rate_hz` (needed for a folder), `calibration` (a YAML
    or JSON file with intrinsics, see `load_calibration`), `topic` (of a bag; default: any `.../<camera>/image_raw`).

    Args:
        now_ns: The ROS clock.
        open_bag: Makes a recording of a bag; bags are known outside this room.
    """

    def create(spec: CameraSpec) -> RecordedSource:
        settings = dict(spec.settings)
        path = _checked_path(spec, settings)
        calibration = settings.get("calibration")
        model = None if calibration is None else load_calibration(Path(calibration).expanduser(), spec.name)
        rate_hz = settings.get("rate_hz")
        is_bag = path.suffix in (".mcap", ".db3") or (path / "metadata.yaml").exists()
        if is_bag and open_bag is not None:
            return RecordedSource(spec, open_bag(path, spec), now_ns)
        if path.is_dir():
            if rate_hz is None:
                raise ConfigError(f"camera '{spec.name}': 'rate_hz' is missing; images in a folder have no times")
            return RecordedSource(spec, ImageFolder(path, rate_hz, model), now_ns)
        return RecordedSource(spec, Video(path, rate_hz, model), now_ns)

    return create


def _checked_path(spec: CameraSpec, settings: dict[str, Any]) -> Path:
    known = {"path", "rate_hz", "calibration", "topic"}
    problems = [f"unknown setting '{key}': expected one of {sorted(known)}" for key in settings if key not in known]
    rate_hz = settings.get("rate_hz")
    if rate_hz is not None and (isinstance(rate_hz, bool) or not isinstance(rate_hz, (int, float)) or rate_hz <= 0):
        problems.append(f"'rate_hz' is {rate_hz!r}; expected images per second")
    path = Path(str(settings.get("path", ""))).expanduser()
    if not settings.get("path") or not path.exists():
        problems.append(
            f"'path' is {settings.get('path')!r}; expected a folder of images, a video or a bag that exists"
        )
    if problems:
        raise ConfigError(join_problems(f"camera '{spec.name}', settings", problems))
    return path


def load_calibration(file: Path, camera: str) -> CameraModel:
    """Read the intrinsics of one camera from a calibration file.

    Understood: ROS's `camera_calibration` YAML (one camera a file), and a list under `intrinsics` whose entries have
    `camera`, `width`, `height`, `fx`, `fy`, `ppx`, `ppy` and `coeffs`, as RealSense tools write it.

    Raises:
        ConfigError: If the file has no such camera, or a distortion that is not plumb bob.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if isinstance(content, dict) and "camera_matrix" in content:
        return _ros_calibration(file, content)
    entries = content.get("intrinsics", []) if isinstance(content, dict) else []
    for entry in entries:
        if entry.get("camera") == camera:
            return _realsense_calibration(file, entry)
    names = [entry.get("camera") for entry in entries]
    raise ConfigError(f"calibration {file} has no camera '{camera}'; available: {names}; name the camera as it does")


def _ros_calibration(file: Path, content: dict[str, Any]) -> CameraModel:
    if content.get("distortion_model", "plumb_bob") != "plumb_bob":
        raise ConfigError(f"calibration {file} has model '{content['distortion_model']}'; expected 'plumb_bob'")
    distortion = np.array(content.get("distortion_coefficients", {}).get("data", []), dtype=np.float64)
    return CameraModel(
        width_px=int(content["image_width"]),
        height_px=int(content["image_height"]),
        K=np.array(content["camera_matrix"]["data"], dtype=np.float64).reshape(3, 3),
        distortion=distortion if distortion.any() else np.zeros(0),
    )


def _realsense_calibration(file: Path, entry: dict[str, Any]) -> CameraModel:
    coefficients = np.array(entry.get("coeffs", []), dtype=np.float64)
    if coefficients.any() and entry.get("model") != "brown_conrady":
        raise ConfigError(
            f"calibration {file}, camera '{entry['camera']}': distortion model '{entry.get('model')}' with "
            f"coefficients {coefficients.tolist()} is not plumb bob; calibrate it with 'vla3d calibrate intrinsics'"
        )
    K = np.array([[entry["fx"], 0.0, entry["ppx"]], [0.0, entry["fy"], entry["ppy"]], [0.0, 0.0, 1.0]])
    distortion = coefficients if coefficients.any() else np.zeros(0)
    return CameraModel(width_px=entry["width"], height_px=entry["height"], K=K, distortion=distortion)


def _load_rgb(file: Path) -> Rgb:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f"image {file} can not be decoded; expected a whole JPEG or PNG")
    return np.ascontiguousarray(image[:, :, ::-1])
