"""A made-up log of the shipped robot; lets the tests of this folder import `made_up_run`."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics

sys.path.insert(0, str(Path(__file__).parent))

ROBOT = Path(__file__).parents[2] / "config" / "robots" / "fr3.yaml"


@pytest.fixture(scope="session")
def embodiment():
    return load_embodiment(ROBOT)


@pytest.fixture(scope="session")
def arm(embodiment):
    return embodiment.arms[0]


@pytest.fixture(scope="session")
def kinematics(embodiment, arm):
    pytest.importorskip("pinocchio")
    return ArmKinematics(embodiment.urdf_path, arm)


@pytest.fixture
def made_up_log(arm, kinematics):
    """Make a log at 1 kHz of an arm that sways from rest, its end-effector columns taken from one link."""

    def make(duration_s=2.0, link="fr3_hand_tcp", speed=1.5):
        joints = len(arm.joint_names)
        t = np.arange(0.0, duration_s, 1e-3)
        sway = 0.1 * (1.0 - np.cos(speed * t[:, None] * np.linspace(0.5, 1.5, joints)))
        rows = np.zeros((len(t), 4 * joints + 14))
        rows[:, 0] = 1.7e18 + 1e9 * t
        rows[:, 1 : 1 + joints] = arm.q_home + sway
        rows[:, 1 + joints : 1 + 2 * joints] = np.gradient(sway, t, axis=0)
        poses = kinematics.place_links(rows[:, 1 : 1 + joints])[link]
        rows[:, 1 + 4 * joints : 4 + 4 * joints] = poses[:, :3, 3]
        rows[:, 4 + 4 * joints : 8 + 4 * joints] = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
        return rows

    return make


@pytest.fixture
def saved(tmp_path):
    def save(rows):
        path = tmp_path / "log.npy"
        np.save(path, rows)
        return path

    return save
