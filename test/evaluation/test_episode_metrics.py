from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.datatypes import JointLimits, VelocityEnvelope
from vla3d_ros.evaluation.episode_metrics import measure_episode
from vla3d_ros.recording.episode_trace import ChunkTrack, EpisodeTrace, JointTrack, StatusEntry

MS = 1_000_000


def trace(**parts) -> EpisodeTrace:
    return EpisodeTrace(path=Path("bag"), start_ns=0, duration_ns=10**9, **parts)


def limits(envelope: VelocityEnvelope | None = None) -> JointLimits:
    return JointLimits(
        joint_names=("a", "b"),
        q_lower=np.array([-1.0, 0.0]),
        q_upper=np.array([1.0, 4.0]),
        velocity=np.array([2.0, 1.0]),
        acceleration=np.ones(2),
        jerk=np.ones(2),
        envelope=envelope,
    )


def joints(q: list[list[float]], dq: list[list[float]], names: tuple[str, ...] = ("a", "b")) -> JointTrack:
    return JointTrack(names=names, stamps_ns=np.arange(len(q)), q=np.array(q), dq=np.array(dq))


def verdict(message: str, **values: str) -> StatusEntry:
    return StatusEntry(stamp_ns=0, name="safety", level=0, message=message, values=values)


@given(st.lists(st.integers(0, 500 * MS), min_size=1, max_size=50), st.integers(0, 10**12))
def test_latency_does_not_depend_on_when_the_episode_took_place(delays, offset_ns):
    stamps_ns = offset_ns + 33 * MS * np.arange(len(delays), dtype=np.int64)
    chunks = ChunkTrack(stamps_ns=stamps_ns, receive_ns=stamps_ns + np.array(delays))
    found = measure_episode(trace(chunks=chunks))
    np.testing.assert_allclose(found.latency_ms, np.array(delays) / MS)
    assert min(delays) / MS <= found.latency_p50_ms <= found.latency_p99_ms <= max(delays) / MS


def test_compute_and_skew_come_from_the_policys_reports():
    reports = tuple(
        StatusEntry(stamp_ns=0, name="policy", level=0, message="chunk", values=values)
        for values in ({"compute_ms": "8", "skew_ms": "1.5"}, {"compute_ms": "10"}, {"compute_ms": "?"})
    )
    found = measure_episode(trace(policy_reports=reports, lost_sets=3))
    assert found.compute_ms.tolist() == [8.0, 10.0]
    assert found.skew_p99_ms == 1.5
    assert found.lost_sets == 3


def test_verdicts_are_counted_by_kind_and_objections_by_check():
    verdicts = (
        verdict("allow", dropped_steps="1"),
        verdict("clamp", velocity="joint a too fast", dropped_steps="0"),
        verdict("stop", velocity="joint a too fast", workspace="too low", stamp_ns="123"),
    )
    found = measure_episode(trace(verdicts=verdicts))
    assert found.verdicts == {"allow": 1, "clamp": 1, "stop": 1}
    assert found.reasons == {"velocity": 2, "workspace": 1}


def test_joint_use_is_relative_to_the_limits_and_matched_by_name():
    track = joints([[3.0, 9.0, 0.5], [2.0, 9.0, -0.5]], [[0.5, 0.0, -1.0], [0.25, 0.0, 1.0]], ("b", "finger", "a"))
    first, second = measure_episode(trace(joints=track), [limits()]).joints
    assert (first.name, first.q_min, first.q_max, first.position_fraction) == ("a", -0.5, 0.5, 0.5)
    assert (first.peak_speed, first.speed_fraction) == (1.0, 0.5)
    assert (second.name, second.q_min, second.q_max, second.position_fraction) == ("b", 2.0, 3.0, 0.5)
    assert second.speed_fraction == 0.5


def test_speed_is_judged_by_the_limit_at_the_position_and_in_the_direction_of_motion():
    envelope = VelocityEnvelope(
        offset=np.zeros(2), gain=np.ones(2), q_stop_lower=np.array([-1.0, 0.0]), q_stop_upper=np.array([1.0, 4.0])
    )
    towards = measure_episode(trace(joints=joints([[0.75, 2.0]], [[0.25, 0.0]])), [limits(envelope)]).joints[0]
    away = measure_episode(trace(joints=joints([[0.75, 2.0]], [[-0.25, 0.0]])), [limits(envelope)]).joints[0]
    assert towards.speed_fraction == pytest.approx(0.25 / 0.5)
    assert away.speed_fraction == pytest.approx(0.25 / np.sqrt(1.75))


def test_motion_where_none_is_allowed_is_infinitely_too_fast_and_rest_is_fine():
    envelope = VelocityEnvelope(
        offset=np.full(2, 5.0), gain=np.ones(2), q_stop_lower=np.array([-1.0, 0.0]), q_stop_upper=np.array([1.0, 4.0])
    )
    moving, resting = measure_episode(trace(joints=joints([[0.0, 2.0]], [[0.1, 0.0]])), [limits(envelope)]).joints
    assert moving.speed_fraction == float("inf")
    assert resting.speed_fraction == 0.0


def test_joints_before_their_first_message_are_not_judged():
    track = joints([[np.nan, 1.0], [0.5, 1.0]], [[np.nan, 0.0], [0.0, 0.0]])
    assert measure_episode(trace(joints=track), [limits()]).joints[0].q_min == 0.5


def test_empty_episode_has_no_numbers_rather_than_wrong_ones():
    found = measure_episode(trace(), [limits()])
    assert found.latency_p50_ms is None
    assert found.skew_p99_ms is None
    assert found.lost_sets is None
    assert found.joints == ()
