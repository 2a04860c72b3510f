"""Quality of one recording, ours or not: everything the one-screen view and the page show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.bag_reader import BagMessage, BagReader
from vla3d_ros.recording.camera_topics import camera_of
from vla3d_ros.recording.control_survey import (
    REPORT_ENDING,
    STATUS_TYPE,
    TELEOP_ENDING,
    ControlSurvey,
    StatusRow,
    survey_control,
)
from vla3d_ros.recording.episode_trace import JointTrack
from vla3d_ros.recording.image_look import LookLimits
from vla3d_ros.recording.image_packing import COMPRESSED_TYPE, RawImage, read_image
from vla3d_ros.recording.inspection_findings import Finding, find, find_in_control
from vla3d_ros.recording.joint_survey import JointSurvey, survey_joints
from vla3d_ros.recording.session_file import Session, read_session
from vla3d_ros.recording.topic_survey import TopicSurvey, ages_ms, skews_ms, survey_topic
from vla3d_ros.recording.view_survey import ViewSurvey, ViewSurveyor

_JOINTS_TYPE = "sensor_msgs/msg/JointState"
_MOST_LOOKS = 150
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Inspection:
    """What was found in a bag.

    Attributes:
        path: The bag.
        start_ns: First receive stamp.
        duration_ns: Time between first and last message.
        session: Its session file; None if it has none.
        topics: Timing of every topic.
        views: What every camera saw.
        joints: What the joints did, by topic.
        skews_ms: Skew between the cameras, for every capture of the first, (N,).
        stale_share: Share of the first camera's captures (or of 30 ticks a second) at which the newest joint state was
            over 0.1 s old; None without joint states.
        robot: Name of the robot whose limits were used; "" if none is known.
        control: Who drove the arms.
        findings: What is worth a sentence.
    """

    path: Path
    start_ns: int
    duration_ns: int
    session: Session | None
    topics: tuple[TopicSurvey, ...]
    views: tuple[ViewSurvey, ...]
    joints: tuple[JointSurvey, ...]
    skews_ms: NDArray[np.float64]
    stale_share: float | None
    robot: str
    control: ControlSurvey
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing that spoils a recording was found."""
        return not any(finding.is_problem for finding in self.findings)


def inspect(path: Path, robot: Embodiment | None = None, limits: LookLimits | None = None) -> Inspection:
    """Look through a whole bag.

    Args:
        path: Bag folder or storage file.
        robot: For joint limits; None if it is not known.
        limits: What usable images look like.

    Raises:
        RecordingError: If it can not be read; says why and what to do.
    """
    session = read_session(path) if path.is_dir() else None
    with BagReader(path) as bag:
        survey = _Surveyor(bag)
        for message in bag.messages():
            survey.take(message)
        topics = survey.topics()
        views = tuple(each.survey(limits or LookLimits()) for each in survey.views.values() if each.encoding)
        joints = tuple(survey.joints(robot))
        control = survey.control(bag.start_ns, bag.duration_ns)
        start_ns, duration_ns = bag.start_ns, bag.duration_ns
    by_name = {topic.topic: topic for topic in topics}
    captures = [_captures(by_name[view.topic]) for view in views]
    skews = skews_ms(captures[0], captures[1:]) if captures else np.zeros(0)
    stale_share = _stale_share(captures, joints, start_ns, duration_ns)
    return Inspection(
        path=path,
        start_ns=start_ns,
        duration_ns=duration_ns,
        session=session,
        topics=topics,
        views=views,
        joints=joints,
        skews_ms=skews,
        stale_share=stale_share,
        robot=robot.name if robot else "",
        control=control,
        findings=(
            *find(topics, views, joints, skews, stale_share, session=session, end_ns=start_ns + duration_ns),
            *find_in_control(control, start_ns),
        ),
    )


def robot_of(session: Session | None) -> str | None:
    """Return the path of the robot file a session names; None if it names none."""
    files: Mapping[str, Any] = session.provenance.get("files", {}) if session else {}
    return next((path for path, content in files.items() if isinstance(content, dict) and "arms" in content), None)


def _captures(topic: TopicSurvey) -> NDArray[np.int64]:
    return topic.headers_ns if len(topic.headers_ns) and not topic.zero_stamps else topic.stamps_ns


def _stale_share(
    captures: Sequence[NDArray[np.int64]], joints: Sequence[JointSurvey], start_ns: int, duration_ns: int
) -> float | None:
    stamps = [survey.stamps_ns for survey in joints if len(survey.stamps_ns)]
    if not stamps:
        return None
    joint_ns = max(stamps, key=len)
    ticks = captures[0] if captures else np.arange(start_ns, start_ns + duration_ns, int(_NS_PER_S / 30))
    ticks = ticks[ticks >= joint_ns[0]]
    return float(np.mean(ages_ms(ticks, joint_ns) > 100.0)) if len(ticks) else None


class _Surveyor:
    """Sorts messages in one pass; keeps stamps of all, pixels of few, joints of all."""

    def __init__(self, bag: BagReader) -> None:
        self._bag = bag
        self._kinds, counts = bag.topics, bag.counts
        self._stamps: dict[str, list[int]] = {topic: [] for topic in self._kinds}
        self._headers: dict[str, list[int]] = {topic: [] for topic in self._kinds}
        self._undecodable: dict[str, str] = {}
        self._has_header: dict[str, bool] = {}
        self._rows: dict[str, list[tuple[int, Any]]] = {}
        self._nameless: dict[str, int] = {}
        self._teleop: list[StatusRow] = []
        self._strides = {topic: max(1, counts[topic] // _MOST_LOOKS) for topic in self._kinds}
        self.views = {
            topic: ViewSurveyor(camera=camera, topic=topic, expected=-(-counts[topic] // self._strides[topic]))
            for topic, kind in sorted(self._kinds.items())
            if (camera := camera_of(topic, kind)) is not None
        }

    def take(self, message: BagMessage) -> None:
        topic = message.topic
        index = len(self._stamps[topic])
        self._stamps[topic].append(message.stamp_ns)
        is_joints = message.msgtype == _JOINTS_TYPE
        has_header = self._has_header.get(topic, True)
        if topic in self._undecodable:
            return
        try:
            if index == 0 or is_joints:
                decoded = self._bag.decode(message)
                has_header = self._has_header[topic] = hasattr(decoded, "header")
                if is_joints:
                    self._take_joints(message, decoded)
            if message.msgtype == STATUS_TYPE and topic.endswith(TELEOP_ENDING):
                self._teleop.append(_status(message.stamp_ns, self._bag.decode(message)))
            if has_header:
                self._headers[topic].append(_header_ns(message.cdr))
            if topic in self.views and index % self._strides[topic] == 0:
                self._look(message)
        except RecordingError as error:
            self._undecodable[topic] = str(error)

    def _take_joints(self, message: BagMessage, decoded: Any) -> None:
        rows = self._rows.setdefault(message.topic, [])
        if not decoded.name or not all(decoded.name):
            self._nameless[message.topic] = self._nameless.get(message.topic, 0) + 1
            return
        rows.append((message.stamp_ns, decoded))

    def _look(self, message: BagMessage) -> None:
        view = self.views[message.topic]
        if message.msgtype == COMPRESSED_TYPE:
            compressed = self._bag.decode(message)
            bgr = cv2.imdecode(np.asarray(compressed.data), cv2.IMREAD_COLOR)
            if bgr is None:
                raise RecordingError(f"an image on '{message.topic}' can not be decoded ({compressed.format})")
            view.encoding = str(compressed.format)
            view.take(message.stamp_ns, np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8))
            return
        image: RawImage = read_image(message.cdr)
        if image.pixels is None:
            raise RecordingError(f"images on '{message.topic}' are '{image.encoding}'; only 8-bit colour is looked at")
        view.encoding = image.encoding
        pixels = image.pixels[:, :, ::-1] if image.encoding == "bgr8" else image.pixels
        view.take(message.stamp_ns, np.ascontiguousarray(pixels))

    def control(self, start_ns: int, duration_ns: int) -> ControlSurvey:
        reports = (stamps for topic, stamps in self._stamps.items() if topic.endswith(REPORT_ENDING))
        return survey_control(self._teleop, sorted(next(reports, [])), start_ns, duration_ns)

    def topics(self) -> tuple[TopicSurvey, ...]:
        return tuple(
            survey_topic(
                topic,
                self._kinds[topic],
                np.array(stamps, dtype=np.int64),
                np.array(self._headers[topic], dtype=np.int64),
                self._undecodable.get(topic, ""),
            )
            for topic, stamps in sorted(self._stamps.items())
        )

    def joints(self, robot: Embodiment | None) -> list[JointSurvey]:
        return [
            survey_joints(topic, _track(rows), self._nameless.get(topic, 0), robot)
            for topic, rows in sorted(self._rows.items())
        ]


def _track(rows: Sequence[tuple[int, Any]]) -> JointTrack:
    """Merge named, partial states, as `episode_reader` does; receive stamps where headers have none."""
    names = tuple(sorted({name for _, msg in rows for name in msg.name}))
    column = {name: index for index, name in enumerate(names)}
    q = np.full((len(rows), len(names)), np.nan)
    stamps = np.zeros(len(rows), dtype=np.int64)
    for row, (receive_ns, msg) in enumerate(rows):
        q[row] = q[row - 1] if row else np.nan
        if len(msg.position) == len(msg.name):
            q[row, [column[name] for name in msg.name]] = msg.position
        stamps[row] = int(msg.header.stamp.sec) * 10**9 + int(msg.header.stamp.nanosec) or receive_ns
    return JointTrack(names=names, stamps_ns=stamps, q=q, dq=np.full_like(q, np.nan))


def _status(stamp_ns: int, msg: Any) -> StatusRow:
    is_ok = int.from_bytes(msg.level, "little") == 0 if isinstance(msg.level, bytes) else int(msg.level) == 0
    values = {pair.key: pair.value for pair in msg.values}
    return StatusRow(stamp_ns=stamp_ns, is_ok=is_ok, message=msg.message, values=values)


def _header_ns(cdr: bytes) -> int:
    order = "little" if cdr[1] & 1 else "big"
    seconds = int.from_bytes(cdr[4:8], order, signed=True)  # type: ignore[arg-type]
    return seconds * 10**9 + int.from_bytes(cdr[8:12], order)  # type: ignore[arg-type]
