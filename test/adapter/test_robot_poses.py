"""Every link of every shipped robot is where its joint states say, fingers included."""

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.resources import config_dir

ROBOTS = sorted(path.stem for path in (config_dir() / "robots").glob("*.yaml"))


def joint_state(embodiment, opening: float) -> tuple[list[str], np.ndarray]:
    """What the drivers would publish at home."""
    names, positions = [], []
    for arm in embodiment.arms:
        names += arm.joint_names
        positions += list(arm.q_home)
        if arm.gripper:
            names += arm.gripper.joint_names
            positions += list(arm.gripper.positions(opening))
    return names, np.array(positions)


@pytest.mark.parametrize("robot", ROBOTS)
def test_end_effectors_agree_with_the_kinematics_of_the_arms(robot) -> None:
    embodiment = load_embodiment(config_dir() / "robots" / f"{robot}.yaml")
    links = RobotPoses(embodiment).place(*joint_state(embodiment, 1.0))
    for arm in embodiment.arms:
        T_base_ee = links[arm.base_frame].inverse() @ links[arm.ee_frame]
        distance_m, angle_rad = T_base_ee.distance_to(ArmKinematics(embodiment.urdf_path, arm).forward(arm.q_home))
        assert distance_m < 1e-9 and angle_rad < 1e-6


@pytest.mark.parametrize("robot", ROBOTS)
def test_fingers_move_apart_by_the_stroke(robot) -> None:
    embodiment = load_embodiment(config_dir() / "robots" / f"{robot}.yaml")
    poses = RobotPoses(embodiment)
    closed, opened = (poses.place(*joint_state(embodiment, opening)) for opening in (0.0, 1.0))
    moved_m = [opened[link].distance_to(closed[link])[0] for link in opened]
    strokes_m = [arm.gripper.stroke_m for arm in embodiment.arms if arm.gripper]
    assert sum(moved_m) == pytest.approx(sum(strokes_m), abs=1e-9)


def test_missing_joints_are_named_and_others_ignored() -> None:
    embodiment = load_embodiment(config_dir() / "robots" / "fr3.yaml")
    names, q = joint_state(embodiment, 0.5)
    poses = RobotPoses(embodiment)
    poses.place([*names, "wheel"], np.append(q, 9.0))
    with pytest.raises(StaleObservationError, match="lacks .*fr3_joint1"):
        poses.place(names[1:], q[1:])
