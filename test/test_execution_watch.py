"""What the pipeline notices besides commands: clocks, drivers, other publishers, the operator, its own body."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.datatypes import ActionChunk, ArmChunk, VerdictKind
from vla3d_ros.execution import ExecutionConfig, ExecutionPipeline
from vla3d_ros.geometry import exp_se3

pytest.importorskip("pinocchio")

MS, S = 1_000_000, 1_000_000_000
DT_NS = 33_333_333
EMBODIMENT = load_embodiment(Path(__file__).parents[1] / "config" / "robots" / "fr3.yaml")
ARM = EMBODIMENT.arms[0]
GATE = {
    "workspace_lower_m": [-0.6, -0.6, 0.0],
    "workspace_upper_m": [0.9, 0.6, 1.2],
    "table_z_m": 0.0,
    "ee_speed_m_s": 1.0,
    "ee_turn_rad_s": 2.5,
}


class Robot:
    """An arm that does what it is told at once, at 100 Hz; a policy that moves steadily in the base frame."""

    def __init__(self, gate=None, **changes):
        config = ExecutionConfig.from_mapping({"gate": {**GATE, **(gate or {})}, **changes})
        self.pipeline = ExecutionPipeline(EMBODIMENT, config)
        self.now_ns, self.q = 5 * S, ARM.q_home.copy()
        self.trajectory, self.is_frozen = None, False
        self.run(0.05)

    def run(self, seconds, tick=True):
        for _ in range(round(seconds * 100)):
            self.now_ns += 10 * MS
            if self.trajectory is not None and not self.is_frozen:
                from vla3d_ros.adapter.trajectory import sample

                self.q = sample(self.trajectory, self.now_ns)[0]
            names = (*ARM.joint_names, *ARM.gripper.joint_names)
            self.pipeline.on_joint_state(names, np.append(self.q, [0.04, 0.04]), np.zeros(9), self.now_ns)
            if tick:
                self.carry_out(self.pipeline.on_tick(self.now_ns))

    def carry_out(self, execution):
        for trajectory in execution.trajectories:
            self.trajectory = trajectory
        return execution

    def arm(self):
        execution = self.carry_out(self.pipeline.arm(self.now_ns))
        assert execution.accepted, execution.message
        return self

    def chunk(self, velocity, age_ms=10):
        stamp_ns = self.now_ns - age_ms * MS
        T = self.pipeline.robot_state(ARM.name, stamp_ns).T_base_ee
        twists = np.zeros((30, 6))
        twists[:, :3] = np.arange(1, 31)[:, None] * DT_NS * 1e-9 * (T.rotation.T @ np.array(velocity))
        part = ArmChunk(arm=ARM.name, Ts_ee0_ee=exp_se3(twists), gripper_opening=np.ones(30))
        return ActionChunk(stamp_ns=stamp_ns, dt_ns=DT_NS, arms=(part,))

    def steer(self, seconds, velocity):
        executions = []
        for _ in range(round(seconds / 0.04)):
            self.run(0.04)
            executions.append(self.carry_out(self.pipeline.on_chunk(self.chunk(velocity), self.now_ns)))
        return executions

    @property
    def stop_check(self):
        return self.pipeline.stop_reason.check if self.pipeline.stop_reason else ""


def test_a_policy_that_folds_the_hand_into_the_arm_is_stopped_before_it_touches():
    robot = Robot().arm()
    robot.steer(6.0, (-0.2, 0.05, -0.1))
    assert robot.stop_check == "self_collision"
    assert "would come to" in robot.pipeline.stop_reason.message


def test_a_policy_that_enters_a_keep_out_box_is_stopped():
    robot = Robot({"keep_out_m": [0.2, 0.4, 0.0, 0.8, 0.7, 0.8]}).arm()
    robot.steer(4.0, (0.0, 0.2, 0.0))
    assert robot.stop_check == "keep_out"


def test_near_a_singularity_the_arm_brakes_and_may_go_on_elsewhere():
    robot = Robot({"singularity_margin": 0.05}).arm()
    executions = robot.steer(6.0, (0.2, 0.0, 0.1))
    clamps = [e for e in executions if e.verdict.kind is VerdictKind.CLAMP and not e.accepted]
    assert clamps and clamps[0].verdict.reasons[0].check == "singularity"
    assert robot.pipeline.is_armed and robot.stop_check == ""
    back = robot.steer(1.0, (-0.1, 0.0, -0.05))
    assert back[-1].accepted


def test_near_a_singularity_the_arm_is_stopped_where_the_deployment_asks_for_it():
    robot = Robot({"singularity_margin": 0.05, "singularity_latches": True}).arm()
    robot.steer(6.0, (0.2, 0.0, 0.1))
    assert robot.stop_check == "singularity"


@pytest.mark.parametrize("leap_ns", [2 * S, -2 * S])
def test_a_clock_that_leaps_latches_a_stop_and_sends_nothing(leap_ns):
    robot = Robot().arm()
    robot.steer(0.4, (0.0, 0.1, 0.0))
    execution = robot.pipeline.on_tick(robot.now_ns + leap_ns)
    assert robot.stop_check == "clock" and execution.trajectories == ()
    assert robot.pipeline.on_tick(robot.now_ns).trajectories == ()
    robot.run(1.5)
    assert robot.pipeline.reset(robot.now_ns).accepted
    robot.arm().steer(0.4, (0.0, 0.1, 0.0))
    assert robot.stop_check == ""


def test_a_clock_that_leaps_while_disarmed_latches_nothing():
    robot = Robot()
    robot.pipeline.on_tick(robot.now_ns + 2 * S)
    assert robot.stop_check == ""


def test_frozen_joint_states_are_named():
    robot = Robot().arm()
    robot.steer(0.4, (0.0, 0.2, 0.0))
    robot.is_frozen = True
    robot.steer(0.4, (0.0, 0.2, 0.0))
    assert robot.stop_check == "state_frozen"


def test_letting_go_of_the_deadman_stops_the_arm_and_keeps_it_from_arming():
    robot = Robot(heartbeat_timeout_s=0.3)
    assert "heartbeat" in robot.pipeline.arm(robot.now_ns).message
    robot.pipeline.watch.hear_heartbeat(robot.now_ns)
    robot.arm()
    robot.run(0.2)
    assert robot.stop_check == ""
    robot.run(0.2)
    assert robot.stop_check == "heartbeat"


def test_a_second_publisher_on_the_command_topic_stops_the_arm_and_keeps_it_from_arming():
    robot = Robot().arm()
    robot.pipeline.watch.hear_publishers({"cmd": ["/r/adapter"]})
    robot.run(0.1)
    assert robot.stop_check == ""
    robot.pipeline.watch.hear_publishers({"cmd": ["/r/adapter", "/r/intruder"]})
    robot.run(0.1)
    assert robot.stop_check == "foreign_command" and "/r/intruder" in robot.pipeline.stop_reason.message
    robot.pipeline.reset(robot.now_ns)
    assert "intruder" in robot.pipeline.arm(robot.now_ns).message
    robot.pipeline.watch.hear_publishers({"cmd": ["/r/adapter"]})
    robot.arm()


def test_a_driver_that_describes_another_robot_keeps_the_arm_from_arming():
    robot = Robot()
    robot.pipeline.watch.hear_robot_description("<robot name='x'/>")
    assert "lacks joints" in robot.pipeline.arm(robot.now_ns).message
    robot.pipeline.watch.hear_robot_description(EMBODIMENT.urdf_path.read_text(encoding="utf-8"))
    robot.arm()


def test_a_controller_of_other_joints_keeps_the_arm_from_arming():
    robot = Robot()
    robot.pipeline.watch.hear_controller_joints(ARM.name, "ctrl", ["a", "b"])
    assert "controller 'ctrl' moves joints ['a', 'b']" in robot.pipeline.arm(robot.now_ns).message
    robot.pipeline.watch.hear_controller_joints(ARM.name, "ctrl", ARM.joint_names[::-1])
    robot.arm()


def test_a_chunk_is_followed_once_and_an_older_one_not_at_all():
    robot = Robot().arm()
    robot.run(0.1)
    first, older = robot.chunk((0, 0.1, 0)), robot.chunk((0, 0.1, 0), age_ms=30)
    assert robot.carry_out(robot.pipeline.on_chunk(first, robot.now_ns)).accepted
    robot.run(0.02)
    for chunk in (first, older):
        refused = robot.pipeline.on_chunk(chunk, robot.now_ns)
        assert [reason.check for reason in refused.verdict.reasons] == ["chunk_order"]
    assert robot.stop_check == ""


def test_a_flood_of_chunks_is_thinned_out():
    robot = Robot().arm()
    robot.run(0.1)
    checks = []
    for age_ms in range(50, 30, -1):
        execution = robot.carry_out(robot.pipeline.on_chunk(robot.chunk((0, 0.1, 0), age_ms), robot.now_ns))
        checks += [reason.check for reason in execution.verdict.reasons] or ["followed"]
    assert checks == ["followed"] * 6 + ["chunk_rate"] * 14
    assert robot.stop_check == ""


def test_a_message_that_is_no_chunk_latches_a_stop_only_while_armed():
    robot = Robot()
    assert not robot.pipeline.on_malformed_chunk("no points", robot.now_ns).accepted
    assert robot.stop_check == ""
    robot.arm().pipeline.on_malformed_chunk("no points", robot.now_ns)
    assert robot.stop_check == "chunk_malformed"


def test_config_names_what_is_no_time():
    with pytest.raises(Exception, match="heartbeat_timeout_s"):
        ExecutionConfig.from_mapping({"gate": GATE, "heartbeat_timeout_s": -1.0})
