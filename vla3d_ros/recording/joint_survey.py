"""What the joints of a bag did: names, steps, idle time, and how much of their limits they used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.recording.episode_trace import JointTrack

_NS_PER_S = 1e9
_IDLE_RAD_S = 0.01
_IDLE_WINDOW_S = 0.2
_STEP_RAD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class JointUse:
    """One joint: the range it used, rad or m, its limits where the robot is known, and its largest step."""

    name: str
    q_min: float
    q_max: float
    lower: float | None
    upper: float | None
    largest_step: float

    @property
    def margin(self) -> float | None:
        """Distance to the nearer limit; negative beyond it; None if the limits are not known."""
        if self.lower is None or self.upper is None:
            return None
        return min(self.q_min - self.lower, self.upper - self.q_max)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointSurvey:
    """One topic of joint states.

    Attributes:
        topic: Its name.
        rows: Messages.
        nameless_rows: Messages with no names, or empty ones.
        idle_share: Share of the time in which no joint moved faster than 0.01 rad/s; None if it can not be told.
        joints: The joints.
        jumps: Steps of over 0.5 rad (or m) from one row to the next.
        stamps_ns: Times of `q`, (N,).
        q: Positions, (N, J); NaN before a joint was first seen.
    """

    topic: str
    rows: int
    nameless_rows: int
    idle_share: float | None
    joints: tuple[JointUse, ...]
    jumps: int
    stamps_ns: NDArray[np.int64]
    q: NDArray[np.float64]


def survey_joints(topic: str, track: JointTrack, nameless_rows: int, robot: Embodiment | None) -> JointSurvey:
    """Measure joint states.

    Args:
        topic: Their topic.
        track: The rows that have names.
        nameless_rows: Rows that have none.
        robot: For the limits; None if it is not known.
    """
    limits = _limits(robot)
    steps = np.abs(np.diff(track.q, axis=0))
    joints = []
    for column, name in enumerate(track.names):
        q = track.q[:, column]
        q = q[np.isfinite(q)]
        lower, upper = limits.get(name, (None, None))
        largest = np.nanmax(steps[:, column]) if len(steps) and np.isfinite(steps[:, column]).any() else 0.0
        if len(q):
            joints.append(
                JointUse(
                    name=name,
                    q_min=float(q.min()),
                    q_max=float(q.max()),
                    lower=lower,
                    upper=upper,
                    largest_step=float(largest),
                )
            )
    return JointSurvey(
        topic=topic,
        rows=len(track.stamps_ns) + nameless_rows,
        nameless_rows=nameless_rows,
        idle_share=_idle_share(track),
        joints=tuple(joints),
        jumps=int(np.count_nonzero(steps > _STEP_RAD)),
        stamps_ns=track.stamps_ns,
        q=track.q,
    )


def moved_between(surveys: Sequence[JointSurvey], start_ns: int, end_ns: int) -> float:
    """Return how far any joint moved in a stretch of time, rad or m; 0 if it is not known."""
    moves = [0.0]
    for survey in surveys:
        rows = survey.q[(survey.stamps_ns >= start_ns) & (survey.stamps_ns <= end_ns)]
        if len(rows) and np.isfinite(rows).any():
            finite = rows[:, np.isfinite(rows).all(axis=0)]
            moves.append(float(np.ptp(finite, axis=0).max()) if finite.size else 0.0)
    return max(moves)


def _limits(robot: Embodiment | None) -> dict[str, tuple[float, float]]:
    if robot is None:
        return {}
    return {
        name: (float(arm.limits.q_lower[index]), float(arm.limits.q_upper[index]))
        for arm in robot.arms
        for index, name in enumerate(arm.joint_names)
    }


def _idle_share(track: JointTrack) -> float | None:
    """Share of windows of 0.2 s in which every joint moved less than the idle speed allows."""
    stamps, columns = track.stamps_ns, np.isfinite(track.q).all(axis=0)
    if len(stamps) < 2 or not columns.any() or stamps[-1] <= stamps[0]:
        return None
    edges = np.arange(stamps[0], stamps[-1], int(_IDLE_WINDOW_S * _NS_PER_S))
    rows = np.clip(np.searchsorted(stamps, edges), 0, len(stamps) - 1)
    q = track.q[rows][:, columns]
    if len(q) < 2:
        return None
    return float(np.mean(np.abs(np.diff(q, axis=0)).max(axis=1) < _IDLE_RAD_S * _IDLE_WINDOW_S))
