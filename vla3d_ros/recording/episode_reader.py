"""A recorded episode read back into plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraImage
from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.bag_reader import BagMessage, BagReader
from vla3d_ros.recording.camera_topics import camera_of
from vla3d_ros.recording.episode_trace import (
    CameraTrack,
    ChunkTrack,
    EpisodeTopics,
    EpisodeTrace,
    JointTrack,
    PlannedPath,
    PoseTrack,
    StatusEntry,
)

_NS_PER_S = 1_000_000_000
_PATH_TYPE = "geometry_msgs/msg/PoseArray"
_PATH_PARENT = "/planned_path"
_LOST_SETS = "lost_sets"
_EE_SUFFIX = "_ee"
_COLOUR_CHANNELS = 3

_ENDINGS: Mapping[str, tuple[str, str]] = {
    "joint_states": ("joint_states", "sensor_msgs/msg/JointState"),
    "ee_state": ("ee_state", "sensor_msgs/msg/MultiDOFJointState"),
    "chunk": ("policy/chunk", "trajectory_msgs/msg/MultiDOFJointTrajectory"),
    "policy_report": ("policy/report", "diagnostic_msgs/msg/DiagnosticStatus"),
    "verdict": ("adapter/verdict", "diagnostic_msgs/msg/DiagnosticStatus"),
}


def find_topics(topics: Mapping[str, str]) -> EpisodeTopics:
    """Recognise this package's topics in a bag by the end of their names and their types.

    Args:
        topics: Message type by topic.

    Returns:
        The topics found; cameras are all image topics, named by the part before `/image_raw`; planned paths are
        those below `planned_path/`, named by their arm.
    """
    found = {
        role: next((t for t in sorted(topics) if f"/{t}".endswith(f"/{end}") and topics[t] == msgtype), "")
        for role, (end, msgtype) in _ENDINGS.items()
    }
    images: dict[str, str] = {}
    for topic in sorted(topics):  # raw before compressed
        camera = camera_of(topic, topics[topic])
        if camera is not None:
            images.setdefault(camera, topic)
    paths = {
        topic.rsplit("/", 1)[-1]: topic
        for topic in sorted(topics)
        if topics[topic] == _PATH_TYPE and topic.rpartition("/")[0].endswith(_PATH_PARENT)
    }
    return EpisodeTopics(images=images, planned_paths=paths, **found)


def read_episode(path: Path, topics: EpisodeTopics | None = None) -> EpisodeTrace:
    """Read one episode.

    Args:
        path: Bag folder or storage file.
        topics: What to read; found by name and type if not given. Topics the bag lacks are noted, not an error.

    Returns:
        The episode; `notes` tells what is missing or could not be decoded.

    Raises:
        RecordingError: If the bag can not be opened or is damaged.
    """
    with BagReader(path) as bag:
        episode = _Collector(bag, topics or find_topics(bag.topics))
        for message in bag.messages(episode.wanted):
            episode.take(message)
        return episode.trace()


class _Collector:
    """Sorts messages into tracks in one pass; images stay serialized but for the first and last of each camera."""

    def __init__(self, bag: BagReader, topics: EpisodeTopics) -> None:
        self._bag = bag
        self._topics = topics
        named = {getattr(topics, role): role for role in _ENDINGS if getattr(topics, role)}
        asked = (
            named
            | dict.fromkeys(topics.images.values(), "image")
            | dict.fromkeys(topics.planned_paths.values(), "path")
        )
        self._roles = {topic: role for topic, role in asked.items() if topic in bag.topics}
        self._notes = [f"no topic {topic}" for topic in sorted(set(asked) - set(self._roles))]
        self._decoded: dict[str, list[tuple[int, Any]]] = {topic: [] for topic in asked}
        self._images: dict[str, list[BagMessage]] = {}
        self._image_counts: dict[str, int] = {}

    @property
    def wanted(self) -> tuple[str, ...]:
        return tuple(self._roles)

    def take(self, message: BagMessage) -> None:
        role = self._roles.get(message.topic)
        if role is None:
            return
        if role == "image":
            first = self._images.setdefault(message.topic, [message])[0]
            self._images[message.topic] = [first, message]
            self._image_counts[message.topic] = self._image_counts.get(message.topic, 0) + 1
            return
        try:
            self._decoded[message.topic].append((message.stamp_ns, self._bag.decode(message)))
        except RecordingError as error:
            self._notes.append(str(error))
            del self._roles[message.topic]

    def trace(self) -> EpisodeTrace:
        topics = self._topics
        cameras = [self._camera(camera, topic) for camera, topic in topics.images.items()]
        planned = [(arm, entry) for arm, topic in topics.planned_paths.items() for entry in self._decoded[topic]]
        reports = tuple(_status(*entry) for entry in self._read(topics.policy_report))
        joints, chunks = self._read(topics.joint_states), self._read(topics.chunk)
        return EpisodeTrace(
            path=self._bag.path,
            start_ns=self._bag.start_ns,
            duration_ns=self._bag.duration_ns,
            cameras=tuple(camera for camera in cameras if camera is not None),
            joints=_joint_track(joints) if joints else None,
            ee_paths=_pose_tracks(self._read(topics.ee_state)),
            planned_paths=tuple(_planned_path(arm, msg) for arm, (_, msg) in planned),
            chunks=_chunk_track(chunks) if chunks else None,
            policy_reports=reports,
            verdicts=tuple(_status(*entry) for entry in self._read(topics.verdict)),
            lost_sets=_lost_sets(reports),
            notes=tuple(self._notes),
        )

    def _read(self, topic: str) -> list[tuple[int, Any]]:
        return self._decoded.get(topic, [])

    def _camera(self, camera: str, topic: str) -> CameraTrack | None:
        messages = self._images.get(topic)
        if not messages:
            return None
        try:
            first, last = (_image(camera, message.stamp_ns, self._bag.decode(message)) for message in messages)
        except RecordingError as error:
            self._notes.append(str(error))
            return None
        return CameraTrack(camera=camera, first=first, last=last, count=self._image_counts[topic])


def _duration_ns(duration: Any) -> int:
    return int(duration.sec) * _NS_PER_S + int(duration.nanosec)


def _stamp_ns(header: Any) -> int:
    return _duration_ns(header.stamp)


def _image(camera: str, receive_ns: int, msg: Any) -> CameraImage:
    if hasattr(msg, "format"):
        return _jpeg(camera, receive_ns, msg)
    channels = {"rgb8": 3, "bgr8": 3, "mono8": 1}.get(msg.encoding)
    data = np.asarray(msg.data, dtype=np.uint8)
    if channels is None or msg.step < msg.width * channels or data.size < msg.height * msg.step:
        raise RecordingError(
            f"image of camera '{camera}' is {msg.width}x{msg.height} '{msg.encoding}' with {data.size} bytes; "
            "expected rgb8, bgr8 or mono8 with full rows"
        )
    rows = data[: msg.height * msg.step].reshape(msg.height, msg.step)[:, : msg.width * channels]
    pixels = rows.reshape(msg.height, msg.width, channels)
    rgb = np.repeat(pixels, _COLOUR_CHANNELS, axis=2) if channels == 1 else pixels.copy()
    if msg.encoding == "bgr8":
        rgb = np.ascontiguousarray(rgb[:, :, ::-1])
    return CameraImage(camera=camera, rgb=rgb, stamp_ns=_stamp_ns(msg.header), receive_ns=receive_ns)


def _jpeg(camera: str, receive_ns: int, msg: Any) -> CameraImage:
    bgr = cv2.imdecode(np.asarray(msg.data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise RecordingError(f"image of camera '{camera}' is '{msg.format}' and can not be decoded")
    rgb = np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)
    return CameraImage(camera=camera, rgb=rgb, stamp_ns=_stamp_ns(msg.header), receive_ns=receive_ns)


def _joint_track(messages: Sequence[tuple[int, Any]]) -> JointTrack:
    """Merge named, partial states: every row repeats what was last known of the joints not in its message."""
    names = sorted({name for _, msg in messages for name in msg.name})
    column = {name: index for index, name in enumerate(names)}
    q, dq = np.full((2, len(messages), len(names)), np.nan)
    for row, (_, msg) in enumerate(messages):
        if row:
            q[row], dq[row] = q[row - 1], dq[row - 1]
        _fill(q[row], column, msg.name, msg.position)
        _fill(dq[row], column, msg.name, msg.velocity)
    stamps_ns = np.array([_stamp_ns(msg.header) or receive_ns for receive_ns, msg in messages], dtype=np.int64)
    return JointTrack(names=tuple(names), stamps_ns=stamps_ns, q=q, dq=dq)


def _fill(row: NDArray[np.float64], column: Mapping[str, int], names: Sequence[str], values: Sequence[float]) -> None:
    if len(values) == len(names):
        row[[column[name] for name in names]] = values


def _pose_tracks(messages: Sequence[tuple[int, Any]]) -> dict[str, PoseTrack]:
    """Collect the `<arm>_ee` transforms of all arms."""
    stamps_ns: dict[str, list[int]] = {}
    poses: dict[str, list[tuple[float, ...]]] = {}
    for _, msg in messages:
        for name, transform in zip(msg.joint_names, msg.transforms, strict=False):
            if name.endswith(_EE_SUFFIX):
                t, r = transform.translation, transform.rotation
                arm = name.removesuffix(_EE_SUFFIX)
                stamps_ns.setdefault(arm, []).append(_stamp_ns(msg.header))
                poses.setdefault(arm, []).append((t.x, t.y, t.z, r.x, r.y, r.z, r.w))
    stacks = {arm: np.array(rows, dtype=np.float64) for arm, rows in poses.items()}
    return {
        arm: PoseTrack(stamps_ns=np.array(stamps_ns[arm], dtype=np.int64), p_base_ee=stack[:, :3], xyzw=stack[:, 3:])
        for arm, stack in stacks.items()
    }


def _planned_path(arm: str, msg: Any) -> PlannedPath:
    points = [(pose.position.x, pose.position.y, pose.position.z) for pose in msg.poses]
    return PlannedPath(
        arm=arm, start_ns=_stamp_ns(msg.header), p_base_ee=np.array(points, dtype=np.float64).reshape(-1, 3)
    )


def _chunk_track(messages: Sequence[tuple[int, Any]]) -> ChunkTrack:
    steps_ns = [_duration_ns(msg.points[0].time_from_start) for _, msg in messages if msg.points]
    return ChunkTrack(
        stamps_ns=np.array([_stamp_ns(msg.header) for _, msg in messages], dtype=np.int64),
        receive_ns=np.array([receive_ns for receive_ns, _ in messages], dtype=np.int64),
        dt_ns=int(np.median(steps_ns)) if steps_ns else 0,
    )


def _status(stamp_ns: int, msg: Any) -> StatusEntry:
    values = {value.key: value.value for value in msg.values}
    return StatusEntry(stamp_ns=stamp_ns, name=msg.name, level=int(msg.level), message=msg.message, values=values)


def _lost_sets(reports: Sequence[StatusEntry]) -> int | None:
    """Growth of the policy's counter of lost view sets over the episode; None if it does not report it."""
    counts = [report.number(_LOST_SETS) for report in reports]
    finite = [count for count in counts if np.isfinite(count)]
    return int(max(finite) - finite[0]) if finite else None
