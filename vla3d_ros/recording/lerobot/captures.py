"""The pictures of an episode: when they were taken, and then, one by one, those that frames show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import RecordingError, ShapeError
from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.recording.image_packing import IMAGE_TYPE, stamp_ns
from vla3d_ros.recording.lerobot.features import depth_key, video_key
from vla3d_ros.replay import bag_decoding as decoding
from vla3d_ros.replay.bag_layout import BagLayout

Stamps = NDArray[np.int64]
Pixels = NDArray[Any]

DEPTH_ENCODING = "16UC1"
_BEHIND_STAMP = 12  # of a serialized message that begins with a header
_RAW_NAME, _DEPTH_NAME = "/image_raw", "/depth"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Captures:
    """The pictures of one topic: stamps_ns (N,) by reception, and the size of the first."""

    key: str
    camera: str
    topic: str
    stamps_ns: Stamps
    height_px: int
    width_px: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Picture:
    """One capture, to be shown in `count` frames: (H, W, 3) uint8 RGB, or (H, W) uint16 depth in millimetres."""

    key: str
    pixels: Pixels
    count: int


def picture_topics(
    layout: BagLayout, topics: Mapping[str, str], cameras: Sequence[str], has_depth: bool
) -> dict[str, str]:
    """Return the topic of every picture column; depth is on `<camera>/depth`, missing topics are left out."""
    found = {}
    for camera in cameras:
        if camera in layout.images:
            found[video_key(camera)] = layout.images[camera]
            below = layout.images[camera].rpartition(_RAW_NAME)[0]
            if has_depth and topics.get(below + _DEPTH_NAME) == IMAGE_TYPE:
                found[depth_key(camera)] = below + _DEPTH_NAME
    return found


def read_captures(
    path: Path, topics: Mapping[str, str], calibration: Mapping[str, str], problems: list[str]
) -> dict[str, Captures]:
    """Look through a bag for capture times.

    Args:
        path: The bag.
        topics: Topic by column.
        calibration: What intrinsics or extrinsics are on, by topic: an episode has one of each.
        problems: Is given a sentence for every topic that can not be used.

    Returns:
        By column; those with problems are missing.
    """
    keys = {topic: key for key, topic in topics.items()}
    stamps: dict[str, list[int]] = {topic: [] for topic in keys}
    sizes: dict[str, tuple[int, int]] = {}
    told: dict[str, set[bytes]] = {topic: set() for topic in calibration}
    with BagReader(path) as bag:
        for message in bag.messages([*keys, *told]) if keys else ():
            if message.topic in told:
                told[message.topic].add(message.cdr[_BEHIND_STAMP:])
                continue
            stamps[message.topic].append(stamp_ns(message.cdr))
            if message.topic not in sizes:
                height_px, width_px = _pixels(keys[message.topic], bag.decode(message), message.stamp_ns).shape[:2]
                sizes[message.topic] = (height_px, width_px)
    problems += [
        f"{what} on '{topic}' changes during the recording; cut it there, or leave the camera out with --cameras"
        for topic, what in calibration.items()
        if len(told[topic]) > 1
    ]
    found = {}
    for topic, key in keys.items():
        taken = np.array(stamps[topic], dtype=np.int64)
        if not len(taken):
            problems.append(f"no images on '{topic}'")
        elif (taken <= 0).any() or (np.diff(taken) < 0).any():
            problems.append(f"capture times on '{topic}' are zero or go back")
        else:
            height_px, width_px = sizes[topic]
            found[key] = Captures(
                key=key,
                camera=key.rpartition(".")[2],
                topic=topic,
                stamps_ns=taken,
                height_px=height_px,
                width_px=width_px,
            )
    return found


def pictures(path: Path, shown: Mapping[str, tuple[str, NDArray[np.int64]]]) -> Iterator[Picture]:
    """Decode the captures that frames show, in order of reception.

    Args:
        path: The bag.
        shown: By column: topic, and for each frame which of the topic's messages it shows, (M,) not decreasing.

    Raises:
        RecordingError: If one can not be decoded, or has another size than the first.
    """
    counts = {
        topic: (key, dict(zip(*np.unique(index, return_counts=True), strict=True)))
        for key, (topic, index) in shown.items()
    }
    seen = dict.fromkeys(counts, -1)
    sizes: dict[str, tuple[int, ...]] = {}
    with BagReader(path) as bag:
        for message in bag.messages(list(counts)):
            seen[message.topic] += 1
            key, wanted = counts[message.topic]
            if (count := int(wanted.get(seen[message.topic], 0))) == 0:
                continue
            pixels = _pixels(key, bag.decode(message), message.stamp_ns)
            if sizes.setdefault(key, pixels.shape) != pixels.shape:
                raise RecordingError(f"bag {path}: '{message.topic}' changes from {sizes[key]} to {pixels.shape}")
            yield Picture(key=key, pixels=pixels, count=count)


def _pixels(key: str, msg: Any, receive_ns: int) -> Pixels:
    camera = key.rpartition(".")[2]
    try:
        if key != depth_key(camera):
            return decoding.image(camera, msg, receive_ns).rgb
        if msg.encoding != DEPTH_ENCODING or msg.step < msg.width * 2:
            raise ShapeError(f"depth of camera '{camera}' is '{msg.encoding}'; expected {DEPTH_ENCODING}, millimetres")
        order = ">u2" if msg.is_bigendian else "<u2"
        rows = np.frombuffer(np.asarray(msg.data, dtype=np.uint8).tobytes(), dtype=np.uint8)
        rows = rows.reshape(msg.height, msg.step)[:, : msg.width * 2]
        return np.ascontiguousarray(rows).view(order).astype(np.uint16)
    except (ShapeError, ValueError) as error:
        raise RecordingError(str(error)) from error


def depth_png(depth_mm: Pixels) -> bytes:
    """Return (H, W) uint16 as PNG, without loss."""
    is_encoded, data = cv2.imencode(".png", depth_mm)
    if not is_encoded:
        raise RecordingError(f"a depth image of {depth_mm.shape} can not become a PNG")
    return bytes(data.tobytes())
