"""Images of one camera in a bag, to be played as that camera."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.recording.bag_reader import BagMessage, BagReader

Rgb = NDArray[np.uint8]

_IMAGE = "sensor_msgs/msg/Image"
_COMPRESSED = "sensor_msgs/msg/CompressedImage"
_INFO = "sensor_msgs/msg/CameraInfo"
_LEAD_NS = 100_000_000  # an image was captured before it was recorded
_ORDERS = {"rgb8": slice(None), "bgr8": slice(None, None, -1)}


class BagImages:
    """A `Recording` (see `camera/recorded.py`) of an image topic.

    Times are those of the headers, or those of reception where the headers are on another clock. All cameras of a bag
    share its start and length: played together they keep their skew.
    """

    def __init__(self, path: Path, spec: CameraSpec) -> None:
        """Look through the bag once for the capture times.

        Args:
            path: Bag folder or storage file.
            spec: The camera; setting `topic` names its image topic, else the one ending in `/<camera>/image_raw`.

        Raises:
            ConfigError: If the bag has no such topic; lists its image topics.
        """
        self._path = path
        with BagReader(path) as bag:
            self._topic = _image_topic(bag, spec)
            messages = [(_header_ns(message), message.stamp_ns) for message in bag.messages([self._topic])]
            self.model: CameraModel | None = _model(bag, self._topic)
            start_ns, self.duration_ns = bag.start_ns - _LEAD_NS, bag.duration_ns + _LEAD_NS + 1
        captured_ns, received_ns = ([pair[index] - start_ns for pair in messages] for index in (0, 1))
        is_one_clock = all(0 <= offset_ns < self.duration_ns for offset_ns in captured_ns)
        self.offsets_ns: Sequence[int] = captured_ns if is_one_clock else received_ns
        if not messages or list(self.offsets_ns) != sorted(set(self.offsets_ns)):
            raise ConfigError(f"bag {path}: topic '{self._topic}' has no images, or their stamps do not increase")

    def frames(self) -> Iterator[Callable[[], Rgb]]:
        """Iterate from the start."""
        with BagReader(self._path) as bag:
            for message in bag.messages([self._topic]):
                yield lambda message=message: _decode(bag, message)  # type: ignore[misc]


def _image_topic(bag: BagReader, spec: CameraSpec) -> str:
    topics = [topic for topic, kind in bag.topics.items() if kind in (_IMAGE, _COMPRESSED)]
    wanted = spec.settings.get("topic")
    ending = (f"/{spec.name}/image_raw", f"/{spec.name}/image_raw/compressed")
    fitting = [topic for topic in sorted(topics) if topic == wanted or (wanted is None and topic.endswith(ending))]
    if not fitting:
        what = f"ends in '{ending[0]}'" if wanted is None else f"is '{wanted}'"
        raise ConfigError(
            f"camera '{spec.name}': the bag has no image topic that {what}; available: "
            f"{sorted(topics)}; set 'topic' in the camera's settings"
        )
    return fitting[0]


def _header_ns(message: BagMessage) -> int:
    seconds, nanoseconds = struct.unpack_from("<iI" if message.cdr[1] & 1 else ">iI", message.cdr, 4)
    return int(seconds) * 10**9 + int(nanoseconds)


def _model(bag: BagReader, image_topic: str) -> CameraModel | None:
    base = image_topic.removesuffix("/compressed").rpartition("/")[0]
    topic = f"{base}/camera_info"
    if bag.topics.get(topic) != _INFO:
        return None
    info = bag.decode(next(bag.messages([topic])))
    if info.distortion_model not in ("plumb_bob", ""):
        raise ConfigError(f"'{topic}' has distortion model '{info.distortion_model}'; expected 'plumb_bob'")
    distortion = np.array(info.d, dtype=np.float64)
    return CameraModel(
        width_px=int(info.width),
        height_px=int(info.height),
        K=np.array(info.k, dtype=np.float64).reshape(3, 3),
        distortion=distortion if distortion.any() else np.zeros(0),
    )


def _decode(bag: BagReader, message: BagMessage) -> Rgb:
    image = bag.decode(message)
    if message.msgtype == _COMPRESSED:
        bgr = cv2.imdecode(np.asarray(image.data), cv2.IMREAD_COLOR)
        if bgr is None:
            raise RecordingError(f"bag {bag.path}: an image on '{message.topic}' can not be decoded ({image.format})")
        return np.ascontiguousarray(bgr[:, :, ::-1])
    if image.encoding not in _ORDERS:
        raise RecordingError(
            f"bag {bag.path}: '{message.topic}' has encoding '{image.encoding}'; expected rgb8 or bgr8"
        )
    rows = np.asarray(image.data, dtype=np.uint8).reshape(image.height, image.step)
    pixels = rows[:, : image.width * 3].reshape(image.height, image.width, 3)
    return np.ascontiguousarray(pixels[:, :, _ORDERS[image.encoding]])
