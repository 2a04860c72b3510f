"""What is worth a sentence in an inspection, and which of it spoils a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.recording.control_survey import ControlSurvey
from vla3d_ros.recording.joint_survey import JointSurvey, moved_between
from vla3d_ros.recording.session_file import Session
from vla3d_ros.recording.topic_survey import TopicSurvey
from vla3d_ros.recording.view_survey import ViewSurvey

_MAX_SKEW_MS = 20.0
_MAX_STALE_SHARE = 0.01
_IDLE_SHARE = 0.5
_MOVED_RAD = 0.05
_LIMIT_MARGIN = 0.02
_SPOILED_SHARE = 0.05
_MAX_GAP_S = 0.2
_EARLY_S = 1.0
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about one subject; `is_problem` if `--strict` shall refuse the bag for it."""

    is_problem: bool
    subject: str
    sentence: str


def find(
    topics: Sequence[TopicSurvey],
    views: Sequence[ViewSurvey],
    joints: Sequence[JointSurvey],
    skews_ms: NDArray[np.float64],
    stale_share: float | None,
    *,
    session: Session | None,
    end_ns: int,
) -> tuple[Finding, ...]:
    """List what was found, problems first.

    Args:
        topics: Timing of every topic.
        views: What every camera saw.
        joints: What the joints did.
        skews_ms: Skew between cameras, (N,).
        stale_share: Share of captures without a fresh joint state; None without joint states.
        session: The session file, if there is one.
        end_ns: Last receive stamp of the bag.
    """
    found = [
        *_of_bag(topics, views, joints, session),
        *(finding for topic in topics for finding in _of_topic(topic, end_ns)),
        *(finding for view in views for finding in _of_view(view, views, joints)),
        *(finding for survey in joints for finding in _of_joints(survey)),
        *_of_sets(skews_ms, stale_share),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.is_problem))


def find_in_control(control: ControlSurvey, start_ns: int) -> tuple[Finding, ...]:
    """List what is worth a sentence about who drove the arms: notes, for nothing of it spoils a recording."""
    found = [
        _note("teleoperation", f"{(stamp_ns - start_ns) / _NS_PER_S:.1f} s: {text}")
        for stamp_ns, text in control.troubles
    ]
    if control.is_teleoperated and not control.teleop_share:
        found.append(_note("teleoperation", "it ran, and its clutch was never closed: nobody drove"))
    return tuple(found)


def _of_bag(
    topics: Sequence[TopicSurvey], views: Sequence[ViewSurvey], joints: Sequence[JointSurvey], session: Session | None
) -> Iterator[Finding]:
    if not any(topic.count for topic in topics):
        yield _problem("bag", "it holds no message at all")
        return
    if silent := [topic.topic for topic in topics if not topic.count]:
        yield _note("bag", f"without any message: {', '.join(silent)}")
    if not views:
        yield _problem("bag", "no camera: no topic of 8-bit colour images")
    if not joints:
        yield _problem("bag", "no joint states")
    infos = {topic.topic.rpartition("/")[0] for topic in topics if topic.msgtype.endswith("/CameraInfo")}
    for view in views:
        if not any(view.topic.startswith(f"{base}/") for base in infos):
            yield _problem(view.topic, "no camera_info beside it: its intrinsics are not known")
    if not any(topic.topic == "/tf_static" or topic.topic.endswith("/extrinsics") for topic in topics) and views:
        yield _problem("bag", "neither /tf_static nor extrinsics: nobody knows where the cameras were")
    if session is not None:
        yield from _of_session(session)


def _of_session(session: Session) -> Iterator[Finding]:
    dropped = session.result.get("dropped", {})
    if dropped:
        yield _problem("session", f"the recorder dropped {', '.join(f'{n} on {t}' for t, n in dropped.items())}")
    lost = session.result.get("lost_at_least", {})
    if session.outcome == "interrupted":
        text = f"; lost at least {', '.join(f'{n} on {t}' for t, n in lost.items())}" if lost else ""
        yield _problem("session", f"the recorder was killed; this was recovered{text}")
    if session.is_forced:
        yield _problem("session", f"started in spite of: {'; '.join(session.problems_at_start)}")
    if session.continues:
        yield _note("session", f"continues {session.continues}")
    for event in session.events:
        yield _note("session", f"{event['at_s']:.1f} s: {event['what']}")


def _of_topic(topic: TopicSurvey, end_ns: int) -> Iterator[Finding]:
    name = topic.topic
    if topic.count == 0:
        return
    if topic.undecodable:
        yield _note(name, f"looked at by its stamps only: {_short(topic.undecodable)}")
    if topic.zero_stamps:
        yield _problem(name, f"{topic.zero_stamps} of {topic.count} headers have stamp zero: capture times are unknown")
    if topic.backward_stamps:
        sentence = f"header stamps go back {topic.backward_stamps} times"
        yield Finding(is_problem=_is_stream(topic), subject=name, sentence=sentence)
    if topic.repeated_stamps:
        share = topic.repeated_stamps / topic.count
        sentence = f"{topic.repeated_stamps} headers repeat the stamp before"
        yield Finding(is_problem=_is_stream(topic) and share > _SPOILED_SHARE, subject=name, sentence=sentence)
    if topic.gaps:
        seconds = sum(length for _, length in topic.gaps) / _NS_PER_S
        sentence = f"{len(topic.gaps)} gaps, {seconds:.2f} s in all, longest {topic.longest_gap_s:.2f} s"
        yield Finding(
            is_problem=_is_stream(topic) and topic.longest_gap_s > _MAX_GAP_S, subject=name, sentence=sentence
        )
    early_s = (end_ns - int(topic.stamps_ns.max())) / _NS_PER_S
    if topic.is_periodic and topic.rate_hz and early_s > max(_EARLY_S, 5 / topic.rate_hz):
        yield _problem(name, f"ends {early_s:.1f} s before the bag does")


def _is_stream(topic: TopicSurvey) -> bool:
    """Whether training or replay lives on it: images and joint states."""
    return topic.msgtype.rpartition("/")[2] in ("Image", "CompressedImage", "JointState")


def _of_view(view: ViewSurvey, views: Sequence[ViewSurvey], joints: Sequence[JointSurvey]) -> Iterator[Finding]:
    for problem, count in view.problems:
        share = count / max(1, len(view.looks))
        sentence = f"{share:.0%} of the images looked at are {problem}"
        yield Finding(is_problem=share > _SPOILED_SHARE, subject=view.camera, sentence=sentence)
    if not view.is_frozen:
        return
    start_ns, end_ns = view.frozen_span_ns
    others = [other for other in views if other is not view]
    others_changed = any(_changed(other, start_ns, end_ns) for other in others)
    moved = moved_between(joints, start_ns, end_ns)
    sentence = f"the same image, bit by bit, for {view.frozen_s:.1f} s"
    if moved > _MOVED_RAD or others_changed:
        why = f"joints moved {moved:.2f} rad" if moved > _MOVED_RAD else "other cameras saw changes"
        yield _problem(view.camera, f"frozen: {sentence}, while {why}")
    else:
        yield _note(view.camera, f"{sentence}, while nothing moved: a simulated or a frozen camera")


def _changed(view: ViewSurvey, start_ns: int, end_ns: int) -> bool:
    inside = (view.stamps_ns >= start_ns) & (view.stamps_ns <= end_ns)
    return len({look.digest for look, is_in in zip(view.looks, inside, strict=True) if is_in}) > 1


def _of_joints(survey: JointSurvey) -> Iterator[Finding]:
    if survey.nameless_rows:
        yield _problem(survey.topic, f"{survey.nameless_rows} of {survey.rows} rows have no joint names")
    if survey.jumps:
        worst = max(survey.joints, key=lambda joint: joint.largest_step)
        yield _problem(
            survey.topic,
            f"{survey.jumps} steps of over 0.5 rad from one row to the next; the largest is {worst.largest_step:.2f} "
            f"rad of '{worst.name}'",
        )
    if survey.idle_share is not None and survey.idle_share > _IDLE_SHARE:
        yield _note(survey.topic, f"no joint moves in {survey.idle_share:.0%} of the time")
    for joint in survey.joints:
        if joint.margin is not None and joint.margin < 0:
            yield _problem(survey.topic, f"joint '{joint.name}' is {-joint.margin:.3f} rad beyond its limit")
        elif joint.margin is not None and joint.margin < _LIMIT_MARGIN:
            yield _note(survey.topic, f"joint '{joint.name}' comes within {joint.margin:.3f} rad of its limit")


def _of_sets(skews_ms: NDArray[np.float64], stale_share: float | None) -> Iterator[Finding]:
    if len(skews_ms):
        middle, most = np.percentile(skews_ms, [50, 99])
        if middle > _MAX_SKEW_MS:
            yield _problem("cameras", f"skew is {middle:.1f} ms in the median, {most:.1f} ms at its 99th percentile")
    if stale_share is not None and stale_share > 0:
        sentence = f"at {stale_share:.1%} of the captures the newest joint state is over 0.1 s old"
        yield Finding(is_problem=stale_share > _MAX_STALE_SHARE, subject="rows", sentence=sentence)


def _problem(subject: str, sentence: str) -> Finding:
    return Finding(is_problem=True, subject=subject, sentence=sentence)


def _note(subject: str, sentence: str) -> Finding:
    return Finding(is_problem=False, subject=subject, sentence=sentence)


def _short(text: str) -> str:
    return text if len(text) < 200 else f"{text[:200]} ..."
