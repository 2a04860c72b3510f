"""One arm's motion: what it tells of executed steps, when it commands, and how it starts, blends and is limited."""

import dataclasses

import numpy as np
import pytest

from vla3d_ros.adapter.arm_motion import ArmMotion, MotionConfig
from vla3d_ros.adapter.pose_plan import AnchoredChunk
from vla3d_ros.adapter.trajectory import sample
from vla3d_ros.geometry import exp_se3

DT_NS = 33_333_333
MS = 1_000_000
START_NS = 5_000_000_000
JERK_RAD_S3 = 250.0


def create_motion(embodiment, arm, **changes):
    motion = ArmMotion(embodiment.urdf_path, arm, MotionConfig(**changes), ee_speed=(1.0, 3.0))
    names = (*arm.joint_names, *arm.gripper.joint_names)
    motion.states.update(names, np.append(arm.q_home, [0.04, 0.04]), np.zeros(9), START_NS - MS)
    return motion


def chunk(motion, stamp_ns, speed_m_s=0.1, steps=30, offset_m=0.0, conditioned_steps=0):
    """Along y through the home pose, with the speed given; where it is at a time does not depend on the stamp."""
    due_ns = stamp_ns + DT_NS * np.arange(1, steps + 1, dtype=np.int64)
    twists = np.zeros((steps, 6))
    twists[:, 1] = offset_m + speed_m_s * (due_ns - START_NS) * 1e-9
    return AnchoredChunk(
        arm=motion.spec.name,
        stamp_ns=stamp_ns,
        due_ns=due_ns,
        Ts_base_ee=motion.kinematics.forward(motion.spec.q_home).matrix @ exp_se3(twists),
        gripper_opening=np.linspace(0.0, 1.0, steps),
        conditioned_steps=conditioned_steps,
    )


def follow(motion, part, now_ns):
    planned = motion.plan(part, now_ns)
    motion.execute(planned)
    return planned


@pytest.fixture
def motion(embodiment, arm):
    pytest.importorskip("pinocchio")
    return create_motion(embodiment, arm)


def test_of_every_chunk_the_steps_between_two_take_overs_were_executed(motion):
    takes_over_ns = []
    for index in range(8):
        stamp_ns = START_NS + 3 * index * DT_NS
        takes_over_ns.append(follow(motion, chunk(motion, stamp_ns), stamp_ns + 2 * DT_NS).takes_over_ns)
    executed = motion.take_executed_steps()
    assert [steps.chunk_stamp_ns for steps in executed] == [START_NS + 3 * i * DT_NS for i in range(7)]
    for steps, begin_ns, end_ns in zip(executed, takes_over_ns, takes_over_ns[1:], strict=False):
        assert steps.first == (begin_ns - steps.chunk_stamp_ns) // DT_NS
        assert steps.count == pytest.approx((end_ns - begin_ns) / DT_NS, abs=1.0)
    told = [(s.chunk_stamp_ns - START_NS) // DT_NS + s.first + i for s in executed for i in range(s.count)]
    assert told == list(range(told[0], told[0] + len(told))), "every step of time is told once"
    assert motion.take_executed_steps() == ()


def test_a_stop_ends_the_account_of_the_chunk_in_charge(motion):
    follow(motion, chunk(motion, START_NS), START_NS)
    now_ns = START_NS + 10 * DT_NS
    motion.follow(motion.stopping(now_ns), now_ns)
    (steps,) = motion.take_executed_steps()
    assert steps.first + steps.count == 10


def test_a_chunk_that_runs_to_its_end_was_executed_to_its_end(motion):
    follow(motion, chunk(motion, START_NS), START_NS)
    motion.forget_plan()
    (steps,) = motion.take_executed_steps()
    assert steps.first + steps.count == 30


def test_the_reference_leads_by_the_latency_of_the_arm_and_the_gripper_by_its_own(embodiment, arm):
    gripper = dataclasses.replace(arm.gripper, actuation_latency_s=0.2)
    late = create_motion(embodiment, dataclasses.replace(arm, actuation_latency_s=0.1, gripper=gripper))
    prompt = create_motion(embodiment, arm)
    for motion in (late, prompt):
        for index in range(20):
            stamp_ns = START_NS + index * DT_NS
            planned = follow(motion, chunk(motion, stamp_ns), stamp_ns + MS)
        trajectory = planned.trajectory
        at_ns = stamp_ns + 6 * DT_NS
        if motion is late:
            ahead = sample(trajectory, at_ns - 100 * MS)[0]
            assert late.reference_q(at_ns) == pytest.approx(ahead), "where it should be, it was told 100 ms before"
            assert planned.plan.gripper_times_ns[0] == stamp_ns + DT_NS - 200 * MS
        else:
            assert ahead == pytest.approx(sample(trajectory, at_ns)[0], abs=2e-3)


def test_a_conditioned_chunk_is_spliced_and_one_that_lies_is_blended(motion):
    for index in range(20):
        stamp_ns = START_NS + index * DT_NS
        follow(motion, chunk(motion, stamp_ns), stamp_ns + MS)
    stamp_ns += DT_NS
    now_ns = stamp_ns + 3 * DT_NS
    honest = motion.plan(chunk(motion, stamp_ns, conditioned_steps=6), now_ns)
    liar = motion.plan(chunk(motion, stamp_ns, conditioned_steps=6, offset_m=0.03), now_ns)
    assert honest.plan.is_spliced and not honest.clamps
    assert not liar.plan.is_spliced
    assert [reason.check for reason in liar.clamps].count("conditioning") == 1


def test_no_joint_jerks_beyond_its_limit_however_the_policy_changes_its_mind(embodiment, arm):
    limits = dataclasses.replace(arm.limits, jerk=np.full(7, JERK_RAD_S3))
    motion = create_motion(embodiment, dataclasses.replace(arm, limits=limits))
    generator = np.random.default_rng(0)
    grid_ns = START_NS + MS * np.arange(2000, dtype=np.int64)
    q = np.tile(arm.q_home, (len(grid_ns), 1))
    for stamp_ns in range(START_NS, int(grid_ns[-1]), DT_NS):
        part = chunk(motion, stamp_ns, offset_m=float(generator.normal(0.0, 0.004)))
        planned = follow(motion, part, stamp_ns + MS)
        ahead = grid_ns >= stamp_ns + MS
        q[ahead] = sample(planned.trajectory, grid_ns[ahead])[0]
    jerk = np.abs(np.diff(q, 3, axis=0)).max() / 1e-9
    assert jerk <= 1.01 * JERK_RAD_S3
    assert jerk > 0.5 * JERK_RAD_S3, "the test asks for enough"
