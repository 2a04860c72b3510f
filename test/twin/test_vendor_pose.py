"""Cartesian controllers: the adapter's pose targets end where the joint trajectory would have ended."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.interface_specs import JointTrajectoryInterface, PoseTargetInterface
from vla3d_ros.adapter.interfaces.arm_speaker import ArmSpeaker
from vla3d_ros.adapter.interfaces.messages import PoseMessage
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.trajectory import home_trajectory
from vla3d_ros.geometry import Transform
from vla3d_ros.twin.vendor_pose import PoseTargetDriver

ROBOT = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "fr3.yaml")
ARM = ROBOT.arms[0]
PERIOD = 2_000_000


def arm_behind(topic: str):
    command = PoseTargetInterface(topic=topic, rate_hz=50.0, frame="fr3_link0", tip="fr3_hand", frame_id="fr3_link0")
    return replace(ARM, command=command), command


def settle(driver: PoseTargetDriver, now_ns: int, seconds: float) -> tuple[np.ndarray, int]:
    q = ARM.q_home
    for _ in range(round(seconds * 1e9 / PERIOD)):
        q, _ = driver.update(now_ns, q, np.zeros_like(q))
        now_ns += PERIOD
    return q, now_ns


@pytest.mark.parametrize("topic", ["target_pose", "motion_controller/target_frame", "servo_node/pose_target_cmds"])
def test_a_streamed_motion_ends_where_the_trajectory_ends(topic):
    arm, command = arm_behind(topic)
    speaker, driver = ArmSpeaker(arm, ROBOT.urdf_path), PoseTargetDriver(ROBOT.urdf_path, arm, command)
    goal = ARM.q_home + np.array([0.2, 0.1, 0.0, 0.1, 0.0, 0.1, 0.2])
    now_ns = 1_000_000_000
    speaker.follow(home_trajectory(ARM.name, ARM.q_home, goal, now_ns, ARM.limits, 0.3))
    for _ in range(150):
        q, now_ns = settle(driver, now_ns, 0.02)
        for message in speaker.tick(now_ns):
            assert driver.receive(message, now_ns) is None
    forward = ArmKinematics(ROBOT.urdf_path, ARM).forward
    np.testing.assert_allclose(forward(q).matrix, forward(goal).matrix, atol=1e-3)
    assert not isinstance(arm.command, JointTrajectoryInterface)


def message(topic: str, frame_id: str, p_m: np.ndarray, stamp_ns: int = 0) -> PoseMessage:
    T = Transform.from_rotation(ArmKinematics(ROBOT.urdf_path, ARM).forward(ARM.q_home).rotation, p_m)
    return PoseMessage(topic=topic, stamp_ns=stamp_ns, frame_id=frame_id, T_frame_tip=T)


def test_fzi_ignores_a_target_in_another_frame_and_crisp_does_not_look():
    far = ArmKinematics(ROBOT.urdf_path, ARM).forward(ARM.q_home).translation + np.array([0.0, 0.0, 0.05])
    for topic, is_ignored in (("c/target_frame", True), ("target_pose", False)):
        arm, command = arm_behind(topic)
        driver = PoseTargetDriver(ROBOT.urdf_path, arm, command)
        _, now_ns = settle(driver, 0, 0.01)
        complaint = driver.receive(message(topic, "world", far), now_ns)
        assert ("wrong reference frame" in complaint) if is_ignored else complaint is None
        q, _ = settle(driver, now_ns, 1.0)
        assert np.allclose(q, ARM.q_home) is is_ignored


def test_crisp_goes_towards_a_far_target_by_a_clipped_error_at_a_time():
    arm, command = arm_behind("target_pose")
    driver = PoseTargetDriver(ROBOT.urdf_path, arm, command)
    _, now_ns = settle(driver, 0, 0.01)
    kinematics = ArmKinematics(ROBOT.urdf_path, arm)
    start = kinematics.forward(ARM.q_home).translation
    T_hand = kinematics.place_links(ARM.q_home[None])["fr3_hand"][0]
    driver.receive(message("target_pose", "any", T_hand[:3, 3] + np.array([0.3, 0.0, 0.0])), now_ns)
    q, _ = settle(driver, now_ns, 2.0)
    assert np.linalg.norm(kinematics.forward(q).translation - start) == pytest.approx(0.1, abs=5e-3)


SERVO = "servo_node/pose_target_cmds"


def servo(servo_switch: str | None = None):
    arm, command = arm_behind(SERVO)
    driver = PoseTargetDriver(ROBOT.urdf_path, arm, replace(command, servo_switch=servo_switch))
    _, now_ns = settle(driver, 1_000_000_000, 0.01)
    T_hand = ArmKinematics(ROBOT.urdf_path, arm).place_links(ARM.q_home[None])["fr3_hand"][0]
    return driver, now_ns, T_hand[:3, 3]


def test_servo_takes_no_pose_before_it_was_switched_to_poses():
    driver, now_ns, p_m = servo("servo_node/switch_command_type")
    target = message(SERVO, "fr3_link0", p_m + np.array([0.0, 0.0, 0.005]), now_ns)
    assert "Command type has not been set" in driver.receive(target, now_ns)
    assert np.array_equal(settle(driver, now_ns, 0.2)[0], ARM.q_home)
    driver.take_poses()
    assert driver.receive(target, now_ns) is None
    assert not np.allclose(settle(driver, now_ns, 0.2)[0], ARM.q_home, atol=1e-4)


def test_servo_drops_a_pose_whose_stamp_is_older_than_its_timeout():
    driver, now_ns, p_m = servo()
    target = p_m + np.array([0.0, 0.0, 0.005])
    driver.receive(message(SERVO, "fr3_link0", target, now_ns - 100_000_000), now_ns)
    assert np.array_equal(settle(driver, now_ns, 0.2)[0], ARM.q_home)
    driver.receive(message(SERVO, "fr3_link0", target, now_ns - 99_000_000), now_ns)
    assert not np.allclose(settle(driver, now_ns, 0.2)[0], ARM.q_home, atol=1e-4)


def test_servo_goes_no_faster_than_its_scale_towards_a_far_target():
    driver, now_ns, p_m = servo()
    forward = ArmKinematics(ROBOT.urdf_path, ARM).forward
    start, begin_ns = forward(ARM.q_home).translation, now_ns
    for _ in range(50):
        driver.receive(message(SERVO, "fr3_link0", p_m + np.array([0.3, 0.0, 0.0]), now_ns), now_ns)
        q, now_ns = settle(driver, now_ns, 0.01)
    mean_m_s = np.linalg.norm(forward(q).translation - start) / ((now_ns - begin_ns) * 1e-9)
    assert 0.2 < mean_m_s <= 0.45
