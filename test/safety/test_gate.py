"""The gate allows what is sound, stops the rest with all reasons, and holds its stop until it is reset."""

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.datatypes import (
    ActionChunk,
    ArmChunk,
    JointLimits,
    JointTrajectory,
    Reason,
    RobotState,
    VerdictKind,
)
from vla3d_ros.geometry import Transform
from vla3d_ros.safety.gate import GateConfig, GuardedArm, SafetyGate

NOW_NS = 10_000_000_000
MS = 1_000_000
LIMITS = JointLimits(
    joint_names=("a",),
    q_lower=np.array([-1.0]),
    q_upper=np.array([1.0]),
    velocity=np.array([1.0]),
    acceleration=np.array([10.0]),
    jerk=np.array([1000.0]),
)
CONFIG = GateConfig(
    workspace_lower_m=(-1.0, -1.0, -1.0),
    workspace_upper_m=(1.0, 1.0, 1.0),
    table_z_m=-1.0,
    ee_speed_m_s=1.0,
    ee_turn_rad_s=1.0,
)


class Point:
    """An arm without a body whose tool never moves."""

    body_links: tuple[str, ...] = ("tool",)
    body_radii = np.zeros(1)
    body_is_finger = np.zeros(1, dtype=bool)

    def forward_bodies(self, q):
        return np.tile(np.eye(4), (len(q), 1, 1)), np.zeros((len(q), 1, 3))

    def jacobian(self, q):
        return np.eye(6)[:, :1]


@pytest.fixture
def gate():
    gate = SafetyGate(CONFIG, {"x": GuardedArm(limits=LIMITS, geometry=Point())})
    gate.arm()
    return gate


def chunk(stamp_ns=NOW_NS - 50 * MS, Ts=None, opening=None, arm="x"):
    Ts = np.tile(np.eye(4), (3, 1, 1)) if Ts is None else Ts
    opening = np.full(len(Ts), 0.5) if opening is None else opening
    return ActionChunk(
        stamp_ns=stamp_ns, dt_ns=33 * MS, arms=(ArmChunk(arm=arm, Ts_ee0_ee=Ts, gripper_opening=opening),)
    )


def trajectory(q=(0.0, 0.01), dq=(0.0, 0.0), names=("a",), times_ns=(NOW_NS, NOW_NS + 100 * MS)):
    return JointTrajectory(
        arm="x",
        joint_names=names,
        times_ns=np.array(times_ns, dtype=np.int64),
        q=np.array(q)[:, None],
        dq=np.array(dq)[:, None],
    )


def state(age_ms=5):
    return RobotState(
        arm="x",
        stamp_ns=NOW_NS - age_ms * MS,
        joint_names=("a",),
        q=np.zeros(1),
        dq=np.zeros(1),
        T_base_ee=Transform.identity(),
        gripper_opening=1.0,
    )


def checks(verdict):
    return [reason.check for reason in verdict.reasons]


def test_gate_allows_a_fresh_sound_chunk_and_trajectory(gate):
    assert gate.check_chunk(chunk(), NOW_NS).kind is VerdictKind.ALLOW
    assert gate.check_trajectory(trajectory(), state(), NOW_NS).kind is VerdictKind.ALLOW


def test_gate_stops_when_observation_is_stale(gate):
    verdict = gate.check_chunk(chunk(stamp_ns=NOW_NS - 600 * MS), NOW_NS)
    assert verdict.kind is VerdictKind.STOP
    assert "600 ms old, allowed 500 ms" in verdict.reasons[0].message


def test_gate_stops_when_the_stamp_lies_in_the_future(gate):
    assert checks(gate.check_chunk(chunk(stamp_ns=NOW_NS + 200 * MS), NOW_NS)) == ["chunk_future"]


def test_gate_stops_while_disarmed(gate):
    gate.disarm()
    assert checks(gate.check_chunk(chunk(), NOW_NS)) == ["disarmed"]


def test_gate_names_the_steps_that_are_not_finite(gate):
    Ts = np.tile(np.eye(4), (3, 1, 1))
    Ts[1, 0, 3] = np.nan
    assert "steps [1]" in gate.check_chunk(chunk(Ts=Ts), NOW_NS).reasons[0].message


def test_gate_refuses_matrices_that_are_no_rigid_transforms(gate):
    Ts = np.tile(np.eye(4), (3, 1, 1))
    Ts[2, 0, 0] = 1.1
    assert checks(gate.check_chunk(chunk(Ts=Ts), NOW_NS)) == ["rigid"]


def test_gate_reports_every_fault_of_a_chunk_at_once(gate):
    bad = chunk(stamp_ns=NOW_NS - 900 * MS, opening=np.array([0.0, 0.5, 1.5]), arm="y")
    assert checks(gate.check_chunk(bad, NOW_NS)) == ["chunk_age", "chunk_arms", "gripper"]


@pytest.mark.parametrize("steps", [0, 600])
def test_gate_refuses_chunks_of_no_or_far_too_many_steps(gate, steps):
    verdict = gate.check_chunk(chunk(Ts=np.tile(np.eye(4), (steps, 1, 1))), NOW_NS)
    assert checks(verdict) == ["chunk_shape"] and f"{steps} steps; expected 1 to 512" in verdict.reasons[0].message


@pytest.mark.parametrize("dt_ns", [0, -MS, MS // 100, 2000 * MS])
def test_gate_refuses_steps_no_policy_would_ask_for(gate, dt_ns):
    sound = chunk()
    odd = ActionChunk(stamp_ns=sound.stamp_ns, dt_ns=dt_ns, arms=sound.arms)
    assert checks(gate.check_chunk(odd, NOW_NS)) == ["chunk_step"]


def test_gate_stops_a_trajectory_when_joint_states_are_stale_or_missing(gate):
    assert checks(gate.check_trajectory(trajectory(), state(age_ms=150), NOW_NS)) == ["state_age"]
    assert checks(gate.check_trajectory(trajectory(), None, NOW_NS)) == ["state_age"]


def test_gate_stops_a_trajectory_when_joint_states_come_from_another_clock(gate):
    reasons = gate.check_state("x", state(age_ms=-200), NOW_NS)
    assert "200 ms ahead of now" in reasons[0].message


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        ({"names": ("b",)}, "names"),
        ({"q": (0.0, np.nan)}, "finite"),
        ({"dq": (0.0, 0.1)}, "rest"),
        ({"times_ns": (NOW_NS, NOW_NS)}, "knots"),
        ({"q": (0.0, 0.9)}, "joint_velocity"),
        ({"q": (1.2, 1.2)}, "joint_position"),
    ],
)
def test_gate_stops_broken_trajectories(gate, broken, check):
    verdict = gate.check_trajectory(trajectory(**broken), state(), NOW_NS)
    assert verdict.kind is VerdictKind.STOP and check in checks(verdict)


def test_gate_notices_an_arm_that_does_not_follow(gate):
    assert gate.check_tracking(state(), np.array([0.1])) == []
    assert "0.200 rad from its reference" in gate.check_tracking(state(), np.array([0.2]))[0].message


def test_the_first_stop_reason_wins_and_only_reset_clears_it(gate):
    gate.stop(Reason(check="first", message="one"), NOW_NS)
    gate.stop(Reason(check="second", message="two"), NOW_NS)
    assert gate.stop_reason is not None and gate.stop_reason.check == "first"
    assert gate.arm() is False and not gate.is_armed
    assert checks(gate.check_chunk(chunk(), NOW_NS)) == ["first"]
    gate.reset()
    assert gate.stop_reason is None and not gate.is_armed
    assert gate.arm() is True


def test_contradicting_bounds_are_all_named():
    config = GateConfig(
        workspace_lower_m=(0.0, 0.0, 0.5),
        workspace_upper_m=(1.0, 1.0, 0.2),
        table_z_m=0.0,
        ee_speed_m_s=-1.0,
        ee_turn_rad_s=1.0,
    )
    problems = " ".join(config.problems())
    odd_box = replace(config, keep_out_m=(0.0, 0.0, 0.0, 1.0))
    assert "six numbers per box" in " ".join(odd_box.problems())
    inside_out = replace(config, keep_out_m=(0.0, 0.0, 0.0, -1.0, 1.0, 1.0))
    assert "six numbers per box" in " ".join(inside_out.problems())
    assert "workspace is empty" in problems and "ee_speed_m_s" in problems
