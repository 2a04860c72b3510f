"""What an episode says about timing, safety and the use of the joints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import JointLimits
from vla3d_ros.evaluation.statistics import percentile
from vla3d_ros.evaluation.verdict_words import objections, verdict_kind
from vla3d_ros.recording.episode_trace import EpisodeTrace, JointTrack, StatusEntry

Float = NDArray[np.float64]

_NS_PER_MS = 1e6
_ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class JointUse:
    """How far one joint went: positions rad, speed rad/s.

    `position_fraction` is how close it came to the nearer limit: 0 mid-range, 1 at the limit. `speed_fraction` is the
    highest share of the velocity allowed at the position of that moment.
    """

    name: str
    q_lower: float
    q_upper: float
    q_min: float
    q_max: float
    peak_speed: float
    speed_fraction: float

    @property
    def position_fraction(self) -> float:
        """Largest distance from mid-range as a share of half the range."""
        middle, half = (self.q_lower + self.q_upper) / 2, (self.q_upper - self.q_lower) / 2
        return max(abs(self.q_min - middle), abs(self.q_max - middle)) / half


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EpisodeMetrics:
    """Measured from one recording. Arrays have one entry per chunk, milliseconds.

    `latency_ms` runs from the observation's stamp to the chunk's arrival on the ROS clock; `compute_ms` is wall time
    inside the policy. `reasons` counts the checks behind verdicts that were not plain permission.
    """

    latency_ms: Float
    compute_ms: Float
    skew_ms: Float
    lost_sets: int | None
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    joints: tuple[JointUse, ...]

    @property
    def latency_p50_ms(self) -> float | None:
        """Median chunk latency."""
        return percentile(self.latency_ms, 50)

    @property
    def latency_p99_ms(self) -> float | None:
        """99th percentile of chunk latency."""
        return percentile(self.latency_ms, 99)

    @property
    def compute_p50_ms(self) -> float | None:
        """Median compute time of the policy."""
        return percentile(self.compute_ms, 50)

    @property
    def compute_p99_ms(self) -> float | None:
        """99th percentile of the policy's compute time."""
        return percentile(self.compute_ms, 99)

    @property
    def skew_p99_ms(self) -> float | None:
        """99th percentile of the capture skew within an observation."""
        return percentile(self.skew_ms, 99)


def measure_episode(trace: EpisodeTrace, limits: Sequence[JointLimits] = ()) -> EpisodeMetrics:
    """Measure one episode.

    Args:
        trace: What was recorded; missing streams give empty arrays and None.
        limits: Limits of each arm whose joints to judge; joints the recording lacks are left out.

    Returns:
        The metrics.
    """
    latency_ms = np.zeros(0)
    if trace.chunks is not None:
        latency_ms = (trace.chunks.receive_ns - trace.chunks.stamps_ns) / _NS_PER_MS
    return EpisodeMetrics(
        latency_ms=latency_ms,
        compute_ms=_numbers(trace.policy_reports, "compute_ms"),
        skew_ms=_numbers(trace.policy_reports, "skew_ms"),
        lost_sets=trace.lost_sets,
        verdicts=Counter(verdict_kind(verdict.message, _checks(verdict)) for verdict in trace.verdicts),
        reasons=Counter(check for verdict in trace.verdicts for check in _checks(verdict)),
        joints=tuple(use for arm in limits for use in _joint_uses(trace.joints, arm)) if trace.joints else (),
    )


def _numbers(entries: Sequence[StatusEntry], key: str) -> Float:
    values = np.array([entry.number(key) for entry in entries], dtype=np.float64)
    finite: Float = values[np.isfinite(values)]
    return finite


def _checks(verdict: StatusEntry) -> tuple[str, ...]:
    """Names of the checks behind a verdict that is not plain permission."""
    return () if verdict.message == _ALLOW else objections(verdict.values)


def _joint_uses(track: JointTrack, limits: JointLimits) -> list[JointUse]:
    if not set(limits.joint_names) <= set(track.names):
        return []
    columns = [track.names.index(name) for name in limits.joint_names]
    q, dq = track.q[:, columns], track.dq[:, columns]
    is_known = np.isfinite(q).all(axis=1)
    q, dq = q[is_known], np.nan_to_num(dq[is_known])
    if not len(q):
        return []
    fraction = _speed_fraction(q, dq, limits).max(axis=0)
    return [
        JointUse(
            name=name,
            q_lower=float(limits.q_lower[j]),
            q_upper=float(limits.q_upper[j]),
            q_min=float(q[:, j].min()),
            q_max=float(q[:, j].max()),
            peak_speed=float(np.abs(dq[:, j]).max()),
            speed_fraction=float(fraction[j]),
        )
        for j, name in enumerate(limits.joint_names)
    ]


def _speed_fraction(q: Float, dq: Float, limits: JointLimits) -> Float:
    """(N, J) share of the velocity allowed in the direction of motion; infinite where none is allowed."""
    lower, upper = limits.velocity_bounds(q)
    bound = np.where(dq < 0, -lower, upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(dq) / bound
    result: Float = np.where(dq == 0, 0.0, share)
    return result
