"""The shipped robot, built once."""

from pathlib import Path

import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics

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
