"""What the vendors' drivers do with what they hear, traps included; facts in the design notes, by commit."""

import math
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.interfaces.messages import ArrayMessage, JointStateMessage
from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.setpoint_follower import PlannerLaw, ServoLaw, SetpointFollower
from vla3d_ros.twin.trajectory_controller import Distribution
from vla3d_ros.twin.vendor_agx import AgxDriver, AgxSettings, AgxSnapshot
from vla3d_ros.twin.vendor_forward import ForwardPositionDriver
from vla3d_ros.twin.vendor_piper_ros import PiperRosDriver

MS = 1_000_000
PERIOD = 2 * MS
PIPER = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "piper.yaml").arms[0]
NAMES = PIPER.command.wire_names
HOME = PIPER.q_home
FIRST_JOINT = np.eye(6)[0]
FIRST, LATER = AgxSnapshot.NODE_77882F4, AgxSnapshot.NODE_CA5C7AA


class Bench:
    """A driver, an ideal arm under it, and what its gripper was told."""

    def __init__(self, build) -> None:
        self.grips: list[tuple[float, float]] = []
        self.driver = build(lambda width_m, force_n: self.grips.append((width_m, force_n)))
        self.q = HOME.copy()
        self.now_ns = 1_000 * MS

    def run(self, seconds: float) -> np.ndarray:
        for _ in range(round(seconds * 1e9 / PERIOD)):
            self.q = self.driver.update(self.now_ns, self.q, np.zeros_like(self.q))[0].copy()
            self.now_ns += PERIOD
        return self.q

    def say(self, topic, names=NAMES, positions=(), velocities=(), efforts=()):
        message = JointStateMessage(
            topic=topic,
            stamp_ns=self.now_ns,
            names=tuple(names),
            positions=tuple(positions),
            velocities=tuple(velocities),
            efforts=tuple(efforts),
        )
        return self.driver.receive(message, self.now_ns)


def agx(snapshot=FIRST, *, fast_mode=False) -> Bench:
    settings = AgxSettings(snapshot=snapshot, fast_mode=fast_mode)
    return Bench(lambda grip: AgxDriver(NAMES, "gripper", PIPER.limits, grip=grip, settings=settings))


@pytest.fixture(params=[FIRST, LATER], ids=lambda snapshot: snapshot.value)
def bench(request) -> Bench:
    made = agx(request.param)
    made.run(0.01)
    return made


# ------------------------------------------------------------------------------------------- agx_arm_ros


def test_agx_is_deaf_until_the_first_joint_feedback():
    bench = agx()
    assert bench.say("control/move_js", positions=HOME + 0.2) is None
    assert bench.run(1.0) == pytest.approx(HOME)


def test_agx_move_js_follows_the_setpoint_at_once(bench):
    assert bench.say("left/control/move_js", positions=HOME + 0.05) is None
    assert bench.run(0.3) == pytest.approx(HOME + 0.05, abs=1e-3)


def test_agx_move_j_goes_there_at_a_planned_speed(bench):
    bench.say("control/move_j", positions=HOME + 1.0 * FIRST_JOINT)
    q = [bench.run(0.02)[0] for _ in range(100)]
    assert np.abs(np.diff(q)).max() / 0.02 <= 0.5 * PIPER.limits.velocity[0] + 1e-6
    assert q[-1] == pytest.approx(HOME[0] + 1.0, abs=1e-3)


def test_agx_keeps_the_last_target_for_ever(bench):
    bench.say("control/move_js", positions=HOME + 0.05)
    assert bench.run(5.0) == pytest.approx(HOME + 0.05, abs=1e-6)


def test_agx_drives_joints_that_a_message_leaves_out_to_zero(bench):
    bench.say("control/move_js", names=NAMES[:2], positions=HOME[:2])
    q = bench.run(3.0)
    assert q[:2] == pytest.approx(HOME[:2], abs=1e-3) and q[2:] == pytest.approx(0.0, abs=1e-3)


def test_agx_takes_a_message_without_arm_names_as_all_zeros_in_one_snapshot_only():
    first, later = agx(FIRST), agx(LATER)
    for bench in (first, later):
        bench.run(0.01)
    assert first.say("control/move_js", names=["gripper"], positions=[0.05]) is None
    assert "no valid joint" in later.say("control/move_js", names=["gripper"], positions=[0.05])
    assert first.run(3.0) == pytest.approx(0.0, abs=1e-3)
    assert later.run(3.0) == pytest.approx(HOME)


def test_agx_takes_nan_for_zero(bench):
    bench.say("control/move_js", positions=[*HOME[:5], math.nan])
    assert bench.run(2.0)[5] == pytest.approx(0.0, abs=1e-3)


def test_agx_node_dies_of_an_infinite_target_in_one_snapshot_and_the_arm_stays():
    first, later = agx(FIRST), agx(LATER)
    for bench in (first, later):
        bench.run(0.01)
        bench.say("control/move_js", positions=[*HOME[:5], math.inf])
    assert first.driver.is_dead and not later.driver.is_dead
    assert "shut down" in first.say("control/move_js", positions=HOME + 0.1)
    assert first.run(1.0) == pytest.approx(HOME)


def test_agx_clamps_to_the_sdks_limits_and_says_so(bench):
    complaint = bench.say("control/move_js", positions=[*HOME[:5], 3.0])
    assert "joint6" in complaint
    assert bench.run(1.0)[5] == pytest.approx(PIPER.limits.q_upper[5], abs=1e-3)


def test_agx_ignores_commands_without_power_and_behind_the_closed_gate(bench):
    bench.driver.control_enabled = False
    assert "gate" in bench.say("control/move_js", positions=HOME + 0.1)
    bench.driver.control_enabled = True
    bench.driver.enable(False)
    assert not bench.driver.is_powered
    assert "not enabled" in bench.say("control/move_js", positions=HOME + 0.1)
    assert bench.say("control/joint_states", names=["gripper"], positions=[0.02], efforts=[1.0]) is not None
    assert bench.grips == []


def test_agx_emergency_stop_latches_nothing(bench):
    bench.say("control/move_j", positions=HOME + 1.0 * FIRST_JOINT)
    bench.run(0.3)
    bench.driver.emergency_stop()
    stopped = bench.run(1.0)[0]
    assert HOME[0] < stopped < HOME[0] + 1.0
    bench.say("control/move_js", positions=HOME)
    assert bench.run(1.0)[0] == pytest.approx(HOME[0], abs=1e-3)


def test_agx_gripper_alone_moves_the_gripper_and_leaves_the_arm(bench):
    assert bench.say("control/joint_states", names=["gripper"], positions=[-0.03], efforts=[2.0]) is None
    assert bench.grips == [(0.03, 2.0)]
    assert bench.run(1.0) == pytest.approx(HOME)


def test_agx_gripper_uses_its_default_force_without_one_and_is_told_once(bench):
    for _ in range(3):
        bench.say("control/joint_states", names=["gripper"], positions=[0.05])
    bench.say("control/joint_states", names=["gripper"], positions=[0.05], efforts=[math.nan])
    assert bench.grips == [(0.05, 1.0)]


@pytest.mark.parametrize(("width_m", "force_n"), [(0.11, 1.0), (0.05, 0.3), (0.05, 5.0)])
def test_agx_gripper_commands_out_of_range_are_not_executed(bench, width_m, force_n):
    complaint = bench.say("control/joint_states", names=["gripper"], positions=[width_m], efforts=[force_n])
    assert "not executed" in complaint and bench.grips == []


def test_agx_gripper_is_not_heard_on_move_js(bench):
    bench.say("control/move_js", names=[*NAMES, "gripper"], positions=[*HOME, 0.02])
    assert bench.grips == []


def test_agx_fast_mode_streams_joint_states_without_a_planner():
    bench = agx(FIRST, fast_mode=True)
    bench.run(0.01)
    bench.say("control/joint_states", positions=HOME + 0.05)
    assert bench.run(0.3) == pytest.approx(HOME + 0.05, abs=1e-3)


@pytest.mark.parametrize("field", ["velocities", "efforts"])
def test_agx_fast_mode_of_the_one_snapshot_takes_a_finite_zero_for_a_request_for_mit(field):
    bench = agx(LATER, fast_mode=True)
    bench.run(0.01)
    assert bench.say("control/joint_states", positions=HOME, **{field: (math.nan,) * 6}) is None
    assert "MIT" in bench.say("control/joint_states", positions=HOME, **{field: (0.0,) * 6})


def test_agx_snapshot_is_refused_by_name():
    with pytest.raises(ConfigError, match="77882f4"):
        AgxSnapshot.parse("newest")


# ----------------------------------------------------------------------------------------------- piper_ros


@pytest.fixture
def legacy() -> Bench:
    bench = Bench(lambda grip: PiperRosDriver(NAMES, PIPER.limits, grip=grip))
    bench.run(0.01)
    return bench


def test_legacy_drives_joints_that_a_message_leaves_out_to_zero(legacy):
    legacy.say("joint_ctrl_single", names=NAMES[:3], positions=HOME[:3])
    assert legacy.run(4.0)[3:] == pytest.approx(0.0, abs=1e-3)


def test_legacy_closes_the_gripper_when_its_entry_is_missing(legacy):
    legacy.say("joint_ctrl_single", positions=HOME)
    assert legacy.grips == [(0.0, 1.0)]


def test_legacy_reads_speed_and_force_from_the_last_entries(legacy):
    target = HOME + 0.8 * FIRST_JOINT
    full = {"names": [*NAMES, "gripper"], "positions": [*target, 0.05]}
    legacy.say("joint_ctrl_single", **full, velocities=[0.0] * 6 + [20.0], efforts=[0.0] * 6 + [9.0])
    q = [legacy.run(0.02)[0] for _ in range(40)]
    assert np.abs(np.diff(q)).max() / 0.02 == pytest.approx(0.2 * PIPER.limits.velocity[0], rel=0.02)
    assert legacy.grips == [(0.05, 3.0)]


def test_legacy_moves_at_full_speed_when_all_velocities_are_zero(legacy):
    target = HOME + 2.0 * FIRST_JOINT
    legacy.say("joint_ctrl_single", names=[*NAMES, "gripper"], positions=[*target, 0.05], velocities=[0.0] * 7)
    q = [legacy.run(0.02)[0] for _ in range(60)]
    assert np.abs(np.diff(q)).max() / 0.02 > 0.9 * PIPER.limits.velocity[0]


def test_legacy_is_half_a_millirad_off_and_its_feedback_hides_it(legacy):
    legacy.say("joint_ctrl_single", names=[*NAMES, "gripper"], positions=[*HOME, 0.05])
    q = legacy.run(2.0)
    assert abs(q[1] - HOME[1]) == pytest.approx(5.07e-4 * HOME[1], rel=0.05)
    assert legacy.driver.feedback_scale * q[1] == pytest.approx(HOME[1], abs=1e-4)


def test_legacy_enabling_closes_the_gripper(legacy):
    legacy.driver.enable(True)
    assert legacy.grips == [(0.0, 1.0)]


# --------------------------------------------------------------------------------- forward command controller


def forward(distribution=Distribution.JAZZY) -> Bench:
    bench = Bench(lambda grip: ForwardPositionDriver(6, distribution=distribution))
    bench.run(0.01)
    return bench


def send(bench: Bench, values) -> str | None:
    return bench.driver.receive(ArrayMessage(topic="c/commands", values=tuple(values)), bench.now_ns)


def test_forward_holds_the_last_value_for_ever():
    bench = forward()
    assert send(bench, HOME + 0.1) is None
    assert bench.run(10.0) == pytest.approx(HOME + 0.1)


def test_forward_deactivates_itself_on_a_wrong_size_since_jazzy():
    bench = forward()
    send(bench, HOME + 0.1)
    bench.run(1.0)
    assert "command size (5) does not match number of interfaces (6)" in send(bench, HOME[:5])
    assert "not active" in send(bench, HOME)
    assert bench.run(1.0) == pytest.approx(HOME + 0.1)
    bench.driver.activate()
    assert send(bench, HOME) is None
    assert bench.run(1.0) == pytest.approx(HOME)


def test_forward_only_complains_of_a_wrong_size_in_humble():
    bench = forward(Distribution.HUMBLE)
    assert "command size" in send(bench, HOME[:5])
    assert send(bench, HOME + 0.1) is None


def test_forward_drops_values_that_are_not_finite():
    bench = forward()
    assert "Non-finite" in send(bench, [*HOME[:5], math.nan])
    assert bench.run(1.0) == pytest.approx(HOME)


def test_drivers_do_not_understand_one_anothers_messages():
    array = ArrayMessage(topic="x", values=(0.0,))
    for bench in (agx(), forward()):
        bench.run(0.01)
        wrong = (
            array
            if isinstance(bench.driver, AgxDriver)
            else JointStateMessage(topic="x", stamp_ns=0, names=(), positions=())
        )
        assert "means nothing" in bench.driver.receive(wrong, 0)


# -------------------------------------------------------------------------------------------- servo laws


def test_a_servo_lags_a_ramp_by_two_over_its_bandwidth():
    follower, law = SetpointFollower(), ServoLaw(bandwidth_rad_s=40.0)
    q = np.zeros(1)
    for k in range(2000):
        follower.follow(np.array([0.5 * k * 1e-3]), law)
        q, dq = follower.update(k * MS, q)
    assert 0.5 * 1.999 - q[0] == pytest.approx(0.5 * 2 / 40.0, rel=0.05)
    assert dq[0] == pytest.approx(0.5, rel=0.01)


def test_a_planner_keeps_speed_and_acceleration_and_arrives_without_overshoot():
    law = PlannerLaw(speed=np.array([1.0]), acceleration=np.array([5.0]))
    follower, q, path = SetpointFollower(), np.zeros(1), []
    follower.update(0, q)
    follower.follow(np.array([0.7]), law)
    for k in range(1, 2000):
        q, dq = follower.update(k * MS, q)
        path.append((q[0], dq[0]))
    positions, speeds = np.array(path).T
    assert positions.max() <= 0.7 + 1e-3 and positions[-1] == pytest.approx(0.7, abs=1e-6)
    assert np.abs(speeds).max() <= 1.0 + 1e-9 and np.abs(np.diff(speeds)).max() <= 5e-3 + 1e-9
