"""Chunks become absolute plans: against the pose at their stamp, without past steps, blended from the plan before."""

import dataclasses

import numpy as np
import pytest

from vla3d_ros.adapter.chunk_executor import BlendTiming, ChunkExecutor
from vla3d_ros.adapter.ensembling import PoseEnsemble
from vla3d_ros.adapter.pose_plan import AnchoredChunk
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform, exp_se3

DT_NS = 33_333_333
MS = 1_000_000
TIMING = BlendTiming(lead_ns=30 * MS, blend_ns=100 * MS, ramp_in_ns=300 * MS, catch_up=(0.2, 0.6))
T0 = Transform.from_rpy([0.4, 0.1, 0.3], [np.pi, 0.0, 0.3])


def chunk(velocity_m_s=0.0, stamp_ns=0, offset_m=0.0, steps=30, conditioned_steps=0):
    """Poses that move along x from where the line through T0 is at the stamp."""
    due_ns = stamp_ns + DT_NS * np.arange(1, steps + 1, dtype=np.int64)
    twist = np.zeros((steps, 6))
    twist[:, 0] = offset_m + velocity_m_s * due_ns * 1e-9
    return AnchoredChunk(
        arm="x",
        stamp_ns=stamp_ns,
        due_ns=due_ns,
        Ts_base_ee=T0.matrix @ exp_se3(twist),
        gripper_opening=np.linspace(0, 1, steps),
        conditioned_steps=conditioned_steps,
    )


def follow(executor, part, now_ns, T_now=T0):
    plan = executor.accept(part, now_ns, T_now)
    executor.replace_plan(plan)
    return plan


def running(executor, velocity_m_s=0.0, seconds=1.0):
    """A plan whose ramp is over, and the time."""
    now_ns = round(seconds * 1e9)
    follow(executor, chunk(velocity_m_s), 0)
    follow(executor, chunk(velocity_m_s, stamp_ns=now_ns // 2), now_ns // 2)
    return follow(executor, chunk(velocity_m_s, stamp_ns=now_ns), now_ns), now_ns


def along_x(plan):
    return np.linalg.solve(T0.matrix, plan.Ts_base_ee)[:, 0, 3]


@pytest.fixture
def executor():
    return ChunkExecutor(TIMING)


def test_a_chunk_is_followed_exactly_once_the_arm_has_taken_it_up(executor):
    part = chunk(0.1)
    plan = follow(executor, part, 0)
    after_ramp = part.due_ns > 330 * MS
    assert plan.Ts_base_ee[after_ramp] == pytest.approx(part.Ts_base_ee[after_ramp])


def test_from_rest_the_arm_takes_up_a_moving_chunk_gradually_however_often_the_policy_replans(executor):
    told = []
    for stamp_ns in range(0, 400 * MS, DT_NS):
        plan = follow(executor, chunk(0.1, stamp_ns=stamp_ns), stamp_ns)
        told.append(along_x(plan)[0])
    speed = np.diff(told) / (DT_NS * 1e-9)
    assert abs(speed[0]) < 0.01
    assert (np.diff(speed[:5]) > 0).all()
    assert told[-1] == pytest.approx(0.1 * (stamp_ns + DT_NS) * 1e-9, abs=1e-6)


def test_a_far_first_chunk_is_taken_up_no_faster_than_the_catch_up_speed(executor):
    plan = follow(executor, chunk(offset_m=0.08), 0)
    speed = np.diff(along_x(plan)) / (DT_NS * 1e-9)
    assert 0.19 <= speed.max() <= 0.2001
    assert along_x(plan)[-1] == pytest.approx(0.08)


def test_past_steps_are_dropped_and_counted(executor):
    part = chunk(0.1)
    plan = executor.accept(part, int(part.due_ns[3]), T0)
    assert plan.dropped_steps == 4
    assert plan.times_ns.tolist() == part.due_ns[4:].tolist()


def test_a_chunk_with_only_past_steps_is_refused(executor):
    part = chunk(0.1)
    with pytest.raises(StaleObservationError, match=r"last of 30 steps was due 5\.0 ms ago"):
        executor.accept(part, int(part.due_ns[-1]) + 5 * MS, T0)


def test_a_slow_arm_is_told_earlier_and_its_gripper_by_its_own_latency():
    timing = dataclasses.replace(TIMING, arm_latency_ns=100 * MS, gripper_latency_ns=40 * MS)
    part = chunk(0.1)
    plan = ChunkExecutor(timing).accept(part, 0, T0)
    assert plan.dropped_steps == 3
    assert plan.times_ns.tolist() == (part.due_ns[3:] - 100 * MS).tolist()
    assert plan.gripper_times_ns.tolist() == (part.due_ns - 40 * MS).tolist()
    assert plan.gripper_opening.tolist() == part.gripper_opening.tolist()


def test_agreeing_chunks_change_nothing(executor):
    old, now_ns = running(executor, 0.1)
    new = executor.accept(chunk(0.1, stamp_ns=now_ns + DT_NS), now_ns + 2 * DT_NS, T0)
    shared = new.times_ns <= old.times_ns[-1]
    assert new.Ts_base_ee[shared] == pytest.approx(old.poses_at(new.times_ns[shared]), abs=1e-9)


def test_a_disagreeing_chunk_takes_over_gradually_and_no_faster_than_the_catch_up_speed(executor):
    _, now_ns = running(executor)
    new = executor.accept(chunk(stamp_ns=now_ns + DT_NS, offset_m=0.1), now_ns + 2 * DT_NS, T0)
    assert along_x(new)[0] < 0.002
    assert along_x(new)[-1] == pytest.approx(0.1)
    assert (np.diff(along_x(new)) / (DT_NS * 1e-9)).max() <= 0.2 * 1.01


def test_a_chunk_conditioned_on_the_running_steps_is_spliced_without_a_blend(executor):
    _, now_ns = running(executor)
    stamp_ns = now_ns + DT_NS
    part = chunk(stamp_ns=stamp_ns, conditioned_steps=4)
    turned = part.Ts_base_ee.copy()
    turned[4:, 1, 3] += 0.004 * np.arange(1, 27)
    plan = executor.accept(dataclasses.replace(part, Ts_base_ee=turned), stamp_ns + 2 * DT_NS, T0)
    assert plan.is_spliced
    assert plan.Ts_base_ee[2:] == pytest.approx(turned[4:])


@pytest.mark.parametrize(
    ("conditioned_steps", "offset_m"), [(1, 0.0), (4, 0.02)], ids=["arrived too late", "does not repeat the plan"]
)
def test_a_chunk_that_does_not_continue_the_plan_is_blended_whatever_it_claims(executor, conditioned_steps, offset_m):
    _, now_ns = running(executor)
    stamp_ns = now_ns + DT_NS
    part = chunk(stamp_ns=stamp_ns, offset_m=offset_m, conditioned_steps=conditioned_steps)
    assert not executor.accept(part, stamp_ns + 2 * DT_NS, T0).is_spliced


def test_planning_alone_changes_nothing(executor):
    _, now_ns = running(executor)
    part = chunk(stamp_ns=now_ns + DT_NS, offset_m=0.1)
    first = executor.accept(part, now_ns + 2 * DT_NS, T0)
    again = executor.accept(part, now_ns + 2 * DT_NS, T0)
    assert again.Ts_base_ee == pytest.approx(first.Ts_base_ee, abs=0)


def test_with_ensembling_the_plan_heads_for_the_mean_of_recent_chunks():
    executor = ChunkExecutor(TIMING, PoseEnsemble(memory_ns=50 * MS, decay=0.0))
    _, now_ns = running(executor)
    plan = executor.accept(chunk(stamp_ns=now_ns + DT_NS, offset_m=0.01), now_ns + 2 * DT_NS, T0)
    assert along_x(plan)[10:25] == pytest.approx(0.005, abs=1e-6)
    assert along_x(plan)[-1] == pytest.approx(0.01), "where only the new chunk has a step, it decides alone"
