"""Plans keep account of which steps were executed, and stretch, hold and sample as they say."""

from itertools import pairwise

import numpy as np
import pytest

from vla3d_ros.adapter.pose_plan import AnchoredChunk, PosePlan, RampIn
from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import Transform, exp_se3

DT_NS = 33_333_333
STAMP_NS = 5_000_000_000
T0 = Transform.from_rpy([0.4, 0.1, 0.3], [np.pi, 0.0, 0.3])


def action_chunk(steps=10, conditioned_steps=0):
    twists = np.zeros((steps, 6))
    twists[:, 0] = 0.01 * np.arange(1, steps + 1)
    part = ArmChunk(arm="x", Ts_ee0_ee=exp_se3(twists), gripper_opening=np.linspace(0, 1, steps))
    return ActionChunk(stamp_ns=STAMP_NS, dt_ns=DT_NS, arms=(part,), conditioned_steps=conditioned_steps)


def plan(dropped=2, steps=10):
    chunk = AnchoredChunk.resolve(action_chunk(steps), 0, T0)
    return PosePlan(
        chunk=chunk,
        times_ns=chunk.due_ns[dropped:],
        Ts_base_ee=chunk.Ts_base_ee[dropped:],
        gripper_times_ns=chunk.due_ns,
        gripper_opening=chunk.gripper_opening,
        dropped_steps=dropped,
    )


def test_poses_are_resolved_against_the_pose_at_the_stamp_and_not_against_each_other():
    chunk = AnchoredChunk.resolve(action_chunk(conditioned_steps=3), 0, T0)
    assert chunk.Ts_base_ee == pytest.approx(T0.matrix @ action_chunk().arms[0].Ts_ee0_ee)
    assert chunk.due_ns.tolist() == [STAMP_NS + (i + 1) * DT_NS for i in range(10)]
    assert (chunk.stamp_ns, chunk.conditioned_steps) == (STAMP_NS, 3)


def test_executed_steps_are_those_between_taking_over_and_being_taken_over_from():
    steps = plan(dropped=2).executed(STAMP_NS + 4 * DT_NS, STAMP_NS + 7 * DT_NS)
    assert (steps.chunk_stamp_ns, steps.first, steps.count) == (STAMP_NS, 4, 3)
    told = {"x_executed_stamp_ns": str(STAMP_NS), "x_executed_first": "4", "x_executed_steps": "3"}
    assert steps.values() == told


def test_consecutive_accounts_name_every_step_once():
    whole = plan(dropped=0)
    cuts = [STAMP_NS, STAMP_NS + 3 * DT_NS + 5, STAMP_NS + 6 * DT_NS, STAMP_NS + 99 * DT_NS]
    accounts = [whole.executed(begin, end) for begin, end in pairwise(cuts)]
    assert [step for a in accounts for step in range(a.first, a.first + a.count)] == list(range(10))


def test_fewer_steps_count_as_executed_if_the_plan_was_slowed():
    slowed = plan(dropped=0).slowed(STAMP_NS, 2.0)
    assert slowed.executed(STAMP_NS, STAMP_NS + 6 * DT_NS).count == 3


def test_slowing_a_plan_keeps_its_poses_and_its_past():
    whole = plan(dropped=0)
    from_ns = int(whole.times_ns[4])
    slowed = whole.slowed(from_ns, 2.0)
    assert slowed.times_ns[:5].tolist() == whole.times_ns[:5].tolist()
    assert slowed.times_ns[-1] - from_ns == pytest.approx(2 * (whole.times_ns[-1] - from_ns), abs=1)
    assert slowed.gripper_times_ns[-1] == slowed.times_ns[-1]
    assert slowed.Ts_base_ee is whole.Ts_base_ee


def test_a_chunk_that_is_given_up_executes_no_step_and_leaves_the_gripper_as_it_is():
    held = plan().held_at(T0, STAMP_NS + 20 * DT_NS, now_ns=STAMP_NS + 4 * DT_NS - 1)
    assert held.executed(STAMP_NS, STAMP_NS + 30 * DT_NS).count == 0
    assert held.gripper_opening.tolist() == [pytest.approx(3 / 9)]
    assert held.poses_at(np.array([STAMP_NS]))[0] == pytest.approx(T0.matrix)


def test_a_ramp_starts_at_rest_without_a_jerk_and_ends_exactly_on_the_chunk():
    times_ns = STAMP_NS + np.linspace(0, 400_000_000, 401).astype(np.int64)
    wanted = T0.matrix @ exp_se3(np.outer(np.full(401, 0.05), [1, 0, 0, 0, 0, 0]))
    ramp = RampIn(T_base_ee_rest=T0, start_ns=STAMP_NS + 50_000_000, duration_ns=300_000_000)
    moved = np.linalg.norm(ramp.apply(times_ns, wanted)[:, :3, 3] - T0.translation, axis=1)
    acceleration = np.diff(moved, 2) / 1e-6
    assert not moved[:50].any() and moved[350:] == pytest.approx(0.05)
    assert np.abs(np.diff(acceleration)).max() < 0.15
    assert not ramp.is_over(STAMP_NS + 349_000_000) and ramp.is_over(STAMP_NS + 350_000_000)
