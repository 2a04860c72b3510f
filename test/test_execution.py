"""The pipeline against an ideal controller which forgets the old trajectory and samples the new one at once."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.trajectory import sample
from vla3d_ros.datatypes import ActionChunk, ArmChunk, VerdictKind
from vla3d_ros.errors import ConfigError
from vla3d_ros.execution import ExecutionConfig, ExecutionPipeline
from vla3d_ros.geometry import exp_se3

pytest.importorskip("pinocchio")

MS = 1_000_000
DT_NS = 33_333_333
START_NS = 5_000_000_000
CONFIG = {
    "gate": {
        "workspace_lower_m": [0.15, -0.45, 0.0],
        "workspace_upper_m": [0.75, 0.45, 0.8],
        "table_z_m": 0.0,
        "ee_speed_m_s": 1.0,
        "ee_turn_rad_s": 2.5,
    }
}
EMBODIMENT = load_embodiment(Path(__file__).parents[1] / "config" / "robots" / "fr3.yaml")
ARM = EMBODIMENT.arms[0]


class IdealRobot:
    """Follows the newest trajectory exactly; 200 Hz joint states; remembers everything it did."""

    def __init__(self, q=ARM.q_home, **changes):
        self.pipeline = ExecutionPipeline(EMBODIMENT, ExecutionConfig.from_mapping({**CONFIG, **changes}))
        self.now_ns, self.q, self.dq = START_NS, q.copy(), np.zeros(len(q))
        self.trajectory, self.history, self.jumps, self.executions = None, [], [], []
        self.opening_targets = []

    def carry_out(self, execution):
        self.executions.append(execution)
        for trajectory in execution.trajectories:
            if self.trajectory is not None:
                before, after = sample(self.trajectory, self.now_ns), sample(trajectory, self.now_ns)
                self.jumps.append(max(np.abs(b - a).max() for a, b in zip(before, after, strict=True)))
            self.trajectory = trajectory
        self.opening_targets += [target.opening for target in execution.gripper_targets]
        return execution

    def run(self, duration_s, with_joint_states=True, tick=True):
        for _ in range(int(duration_s * 200)):
            self.now_ns += 5 * MS
            if self.trajectory is not None:
                self.q, self.dq = sample(self.trajectory, self.now_ns)
            self.history.append((self.now_ns, self.q, self.dq))
            if with_joint_states:
                self.publish()
            if tick:
                self.carry_out(self.pipeline.on_tick(self.now_ns))

    def publish(self):
        names = (*ARM.joint_names, *ARM.gripper.joint_names)
        self.pipeline.on_joint_state(names, np.append(self.q, [0.04, 0.04]), np.append(self.dq, [0, 0]), self.now_ns)

    def ready(self):
        self.run(0.05)
        assert self.carry_out(self.pipeline.arm(self.now_ns)).accepted
        return self

    def chunk(self, stamp_ns, Ts_base_ee_at, opening=1.0):
        due_ns = stamp_ns + DT_NS * np.arange(1, 31, dtype=np.int64)
        anchor = self.pipeline.robot_state(ARM.name, stamp_ns).T_base_ee.matrix
        part = ArmChunk(
            arm=ARM.name,
            Ts_ee0_ee=np.linalg.solve(anchor, Ts_base_ee_at(due_ns)),
            gripper_opening=np.full(30, opening),
        )
        return ActionChunk(stamp_ns=stamp_ns, dt_ns=DT_NS, arms=(part,))

    def stream(self, duration_s, Ts_base_ee_at, latency_ms=50):
        """Replan every 35 ms from an observation that is latency_ms old."""
        for _ in range(int(duration_s / 0.035)):
            self.run(0.035)
            self.carry_out(
                self.pipeline.on_chunk(self.chunk(self.now_ns - latency_ms * MS, Ts_base_ee_at), self.now_ns)
            )

    def ee(self):
        return self.pipeline.robot_state(ARM.name, self.now_ns).T_base_ee

    def accelerations(self):
        times_s = np.array([entry[0] for entry in self.history]) * 1e-9
        velocity = np.array([entry[2] for entry in self.history])
        return np.diff(velocity, axis=0) / np.diff(times_s)[:, None]


@pytest.fixture
def robot():
    return IdealRobot().ready()


def path_from(robot, twist_at):
    """A target path: T(now) @ exp(twist_at(seconds from now)), twist_at mapping (N,) to (N, 6)."""
    T, start_ns = robot.ee().matrix, robot.now_ns
    return lambda times_ns: T @ exp_se3(twist_at(np.maximum(np.asarray(times_ns) - start_ns, 0) * 1e-9))


def sway(amplitude_m=0.08, rate=1.5, jitter=None):
    def twist_at(seconds):
        ramp = np.clip(seconds / 0.8, 0, 1) ** 2
        twist = np.zeros((*seconds.shape, 6))
        twist[..., 0] = ramp * amplitude_m * np.sin(rate * seconds)
        twist[..., 1] = ramp * amplitude_m * np.sin(1.7 * rate * seconds)
        if jitter is not None:
            twist[..., :3] += 1e-3 * jitter.normal(size=3)
        return twist

    return twist_at


def still(seconds):
    return np.zeros((*seconds.shape, 6))


def test_replanning_is_seamless_and_follows_the_policy(robot):
    path = path_from(robot, sway())
    robot.stream(2.5, path)
    assert {e.verdict.kind for e in robot.executions} == {VerdictKind.ALLOW}
    assert max(robot.jumps) < 1e-9
    wanted = path(np.array([robot.now_ns]))[0]
    assert np.linalg.norm(robot.ee().translation - wanted[:3, 3]) < 5e-4


def test_a_policy_that_jitters_by_a_millimetre_moves_the_arm_smoothly(robot):
    robot.stream(2.0, path_from(robot, sway(jitter=np.random.default_rng(0))))
    assert {e.verdict.kind for e in robot.executions} == {VerdictKind.ALLOW}
    assert max(robot.jumps) < 1e-9
    assert np.abs(robot.accelerations()).max() < 7.0


def test_a_chunk_beyond_the_limits_is_slowed_down_and_says_so(robot):
    def fast(seconds):
        twist = np.zeros((*seconds.shape, 6))
        twist[..., 1] = 0.9 * np.minimum(seconds, 0.35)
        return twist

    robot.stream(1.2, path_from(robot, fast))
    clamps = [reason for e in robot.executions for reason in e.verdict.reasons]
    assert any("slowed down by" in reason.message for reason in clamps)
    assert robot.pipeline.stop_reason is None
    velocity = np.array([entry[2] for entry in robot.history])
    assert np.abs(velocity).max() <= 0.95
    assert np.abs(robot.accelerations()).max() <= 10.0


def test_an_arm_far_from_its_chunk_catches_up_without_stopping(robot):
    gap = exp_se3(np.array([0.0, 0.15, 0.0, 0.0, 0.0, 0.0]))
    T = robot.ee().matrix @ gap
    robot.stream(2.0, lambda times_ns: np.repeat(T[None], len(times_ns), axis=0))
    assert robot.pipeline.stop_reason is None
    assert np.linalg.norm(robot.ee().translation - T[:3, 3]) < 1e-3


def test_stop_brings_a_moving_arm_to_rest_within_100_ms_without_a_jump(robot):
    robot.stream(1.5, path_from(robot, sway(rate=3.0)))
    assert np.abs(robot.dq).max() > 0.1
    stopped_ns = robot.now_ns
    execution = robot.carry_out(robot.pipeline.stop("test", robot.now_ns))
    assert [reason.check for reason in execution.verdict.reasons] == ["operator"]
    assert execution.trajectories[0].times_ns[-1] - stopped_ns < 100 * MS
    assert robot.jumps[-1] < 1e-9
    robot.run(0.1)
    q_rest = robot.q
    assert np.abs(robot.accelerations()).max() <= 10.01
    robot.run(0.3)
    assert np.abs(robot.q - q_rest).max() < 1e-12 and not robot.dq.any()


def test_while_stopped_nothing_moves_until_reset_and_arm(robot):
    path = path_from(robot, still)
    robot.stream(0.3, path)
    robot.carry_out(robot.pipeline.stop("first", robot.now_ns))
    robot.carry_out(robot.pipeline.stop("second", robot.now_ns))
    refused = robot.pipeline.on_chunk(robot.chunk(robot.now_ns, path), robot.now_ns)
    assert not refused.accepted and refused.trajectories == ()
    assert not robot.pipeline.home(robot.now_ns).accepted
    arm = robot.pipeline.arm(robot.now_ns)
    assert not arm.accepted and "first" in arm.message and "reset" in arm.message
    robot.run(0.2)
    assert robot.pipeline.reset(robot.now_ns).accepted and not robot.pipeline.is_armed
    assert robot.pipeline.arm(robot.now_ns).accepted
    robot.stream(0.2, path)
    assert robot.executions[-1].accepted and max(robot.jumps) < 1e-9


def test_losing_the_policy_latches_a_stop_at_rest(robot):
    robot.stream(1.0, path_from(robot, sway(rate=3.0)))
    robot.run(1.0)
    assert robot.pipeline.stop_reason is not None
    assert robot.pipeline.stop_reason.check == "chunk_timeout"
    assert not robot.dq.any() and max(robot.jumps) < 1e-9


def test_the_watchdog_waits_for_the_first_chunk(robot):
    robot.run(2.0)
    assert robot.pipeline.is_armed


def test_losing_joint_states_latches_a_stop(robot):
    robot.stream(0.3, path_from(robot, still))
    robot.run(0.15, with_joint_states=False)
    assert robot.pipeline.stop_reason is not None and robot.pipeline.stop_reason.check == "state_age"


def test_a_chunk_that_is_not_finite_latches_a_stop(robot):
    path = path_from(robot, still)
    chunk = robot.chunk(robot.now_ns, lambda t: path(t) * np.nan)
    execution = robot.carry_out(robot.pipeline.on_chunk(chunk, robot.now_ns))
    assert not execution.accepted and execution.verdict.kind is VerdictKind.STOP
    assert robot.pipeline.stop_reason is not None and robot.pipeline.stop_reason.check == "finite"


def test_a_stale_chunk_is_refused_but_does_not_latch(robot):
    old = robot.chunk(robot.now_ns, path_from(robot, still))
    robot.run(0.6)
    execution = robot.pipeline.on_chunk(old, robot.now_ns)
    assert not execution.accepted and execution.trajectories == ()
    assert robot.pipeline.stop_reason is None


def test_a_chunk_into_the_table_is_stopped_before_it_leaves():
    robot = IdealRobot().ready()

    def down(seconds):
        twist = np.zeros((*seconds.shape, 6))
        twist[..., 2] = 0.25 * seconds
        return twist

    robot.stream(4.0, path_from(robot, down))
    assert robot.pipeline.stop_reason is not None
    assert robot.pipeline.stop_reason.check in ("table", "workspace")
    robot.run(0.2)
    assert robot.ee().translation[2] > 0.01


def test_an_arm_that_does_not_follow_is_stopped(robot):
    path = path_from(robot, sway(amplitude_m=0.15))
    robot.stream(0.2, path)
    robot.trajectory = None  # the robot ignores everything from here on
    robot.dq = np.zeros_like(robot.dq)
    for _ in range(60):
        robot.run(0.035, tick=False)
        chunk = robot.chunk(robot.now_ns, path)
        robot.executions.append(robot.pipeline.on_chunk(chunk, robot.now_ns))
    assert robot.pipeline.stop_reason is not None and robot.pipeline.stop_reason.check == "tracking"


def test_home_arrives_and_refuses_chunks_on_the_way(robot):
    away = ARM.q_home + np.array([0.4, 0.2, -0.3, 0.2, 0.1, -0.2, 0.5])
    robot = IdealRobot(q=away).ready()
    execution = robot.carry_out(robot.pipeline.home(robot.now_ns))
    assert execution.accepted
    robot.run(0.1)
    refused = robot.pipeline.on_chunk(robot.chunk(robot.now_ns, path_from(robot, still)), robot.now_ns)
    assert not refused.accepted and "home" in refused.message
    robot.run((execution.trajectories[0].times_ns[-1] - robot.now_ns) * 1e-9 + 0.05)
    assert robot.q == pytest.approx(ARM.q_home)
    assert np.abs(robot.accelerations()).max() <= 2.6


def test_home_from_motion_brakes_first_and_does_not_jump(robot):
    robot.stream(1.2, path_from(robot, sway(rate=3.0)))
    robot.carry_out(robot.pipeline.home(robot.now_ns))
    robot.run(3.0)
    assert max(robot.jumps) < 1e-9
    assert robot.q == pytest.approx(ARM.q_home)
    assert np.abs(robot.accelerations()).max() <= 10.01


def test_disarming_a_moving_arm_brings_it_to_rest_and_latches_nothing(robot):
    robot.stream(1.2, path_from(robot, sway(rate=3.0)))
    robot.carry_out(robot.pipeline.disarm(robot.now_ns))
    robot.run(0.2)
    assert not robot.dq.any() and max(robot.jumps) < 1e-9
    assert robot.pipeline.stop_reason is None and not robot.pipeline.is_armed


def test_arming_without_joint_states_names_what_is_missing_and_the_remedy():
    pipeline = ExecutionPipeline(EMBODIMENT, ExecutionConfig.from_mapping(CONFIG))
    execution = pipeline.arm(START_NS)
    assert not execution.accepted
    assert ARM.joint_names[0] in execution.message and "start its driver" in execution.message


def test_arming_with_stale_joint_states_is_refused():
    robot = IdealRobot()
    robot.run(0.05)
    execution = robot.pipeline.arm(robot.now_ns + 200 * MS)
    assert not execution.accepted and "200 ms old" in execution.message


def test_a_dry_run_plans_every_chunk_from_where_the_arm_really_is():
    pipeline = ExecutionPipeline(EMBODIMENT, ExecutionConfig.from_mapping(CONFIG), dry_run=True)
    robot = IdealRobot()
    robot.pipeline = pipeline
    robot.run(0.05)
    assert pipeline.arm(robot.now_ns).accepted
    path = path_from(robot, sway(amplitude_m=0.15))
    for _ in range(60):
        robot.run(0.035)
        execution = pipeline.on_chunk(robot.chunk(robot.now_ns - 10 * MS, path), robot.now_ns)
        assert execution.accepted
        assert execution.trajectories[0].q[0] == pytest.approx(ARM.q_home)


def test_the_gripper_is_commanded_on_change_only(robot):
    path = path_from(robot, still)
    for opening in (1.0, 1.0, 1.0, 0.0, 0.0):
        robot.run(0.035)
        robot.carry_out(robot.pipeline.on_chunk(robot.chunk(robot.now_ns, path, opening), robot.now_ns))
    assert robot.opening_targets == [1.0, 0.0]


def test_config_reports_every_problem_at_once():
    with pytest.raises(ConfigError) as error:
        ExecutionConfig.from_mapping({"gate": {"table_z_m": "low", "colour": 1}, "chunk_timeout_s": -1})
    for fragment in ("workspace_lower_m' is missing", "table_z_m", "unknown key 'gate.colour'", "chunk_timeout_s"):
        assert fragment in str(error.value)
