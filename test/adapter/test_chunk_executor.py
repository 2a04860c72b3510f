"""Chunks become absolute plans: against the pose at their stamp, without past steps, blended from the plan before."""

import numpy as np
import pytest

from vla3d_ros.adapter.chunk_executor import ChunkExecutor
from vla3d_ros.datatypes import ArmChunk
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform, exp_se3

DT_NS = 33_333_333
LEAD_NS, BLEND_NS = 30_000_000, 100_000_000
T0 = Transform.from_rpy([0.4, 0.1, 0.3], [np.pi, 0.0, 0.3])


def chunk(velocity_m_s, stamp_ns=0, offset_m=0.0, steps=30):
    due_ns = stamp_ns + DT_NS * np.arange(1, steps + 1, dtype=np.int64)
    twist = np.zeros((steps, 6))
    twist[:, 0] = offset_m + velocity_m_s * (due_ns - stamp_ns) * 1e-9
    return ArmChunk(arm="x", Ts_ee0_ee=exp_se3(twist), gripper_opening=np.linspace(0, 1, steps)), due_ns


@pytest.fixture
def executor():
    return ChunkExecutor(lead_ns=LEAD_NS, blend_ns=BLEND_NS, catch_up=(0.2, 0.6))


def test_poses_are_relative_to_the_pose_at_the_stamp_and_not_to_each_other(executor):
    part, due_ns = chunk(0.1)
    plan = executor.accept(part, due_ns, T0, 0, T0)
    after_blend = due_ns > LEAD_NS + BLEND_NS
    expected = T0.matrix @ part.Ts_ee0_ee
    assert plan.Ts_base_ee[after_blend] == pytest.approx(expected[after_blend])


def test_past_steps_are_dropped_and_counted(executor):
    part, due_ns = chunk(0.1)
    plan = executor.accept(part, due_ns, T0, int(due_ns[3]), T0)
    assert plan.dropped_steps == 4
    assert plan.times_ns.tolist() == due_ns[4:].tolist()
    assert plan.gripper_opening.tolist() == part.gripper_opening[4:].tolist()


def test_a_chunk_with_only_past_steps_is_refused(executor):
    part, due_ns = chunk(0.1)
    with pytest.raises(StaleObservationError, match=r"last of 30 steps was due 5\.0 ms ago"):
        executor.accept(part, due_ns, T0, int(due_ns[-1]) + 5_000_000, T0)


def test_agreeing_chunks_change_nothing(executor):
    part, due_ns = chunk(0.1)
    old = executor.accept(part, due_ns, T0, 0, T0)
    T_later = Transform(old.poses_at(np.array([3 * DT_NS]))[0])
    rest = ArmChunk(
        arm="x",
        Ts_ee0_ee=np.linalg.solve(T_later.matrix, old.Ts_base_ee[3:]),
        gripper_opening=part.gripper_opening[3:].copy(),
    )
    new = executor.accept(rest, due_ns[3:], T_later, 3 * DT_NS, T_later)
    assert new.Ts_base_ee == pytest.approx(old.Ts_base_ee[3:], abs=1e-9)


def test_a_disagreeing_chunk_takes_over_gradually_and_no_faster_than_the_catch_up_speed(executor):
    old = executor.accept(*chunk(0.0), T0, 0, T0)
    part, due_ns = chunk(0.0, stamp_ns=DT_NS, offset_m=0.1)
    new = executor.accept(part, due_ns, T0, 2 * DT_NS, T0)
    moved_m = np.linalg.norm(new.Ts_base_ee[:, :3, 3] - old.Ts_base_ee[0, :3, 3], axis=1)
    assert moved_m[0] < 0.002
    assert moved_m[-1] == pytest.approx(0.1)
    assert (np.diff(moved_m) / (DT_NS * 1e-9)).max() <= 0.2 * 1.01


def test_slowing_a_plan_keeps_its_poses_and_its_past(executor):
    plan = executor.accept(*chunk(0.1), T0, 0, T0)
    from_ns = int(plan.times_ns[9])
    slowed = plan.slowed(from_ns, 2.0)
    assert slowed.times_ns[:10].tolist() == plan.times_ns[:10].tolist()
    assert slowed.times_ns[-1] - from_ns == pytest.approx(2 * (plan.times_ns[-1] - from_ns), abs=1)
    assert slowed.Ts_base_ee is plan.Ts_base_ee
