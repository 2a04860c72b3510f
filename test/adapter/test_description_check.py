"""The driver's URDF is compared with the robot we were configured for."""

from dataclasses import replace
from pathlib import Path

import pytest

from vla3d_ros.adapter.description_check import description_problems, description_topic
from vla3d_ros.adapter.embodiment import load_embodiment

EMBODIMENT = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "fr3.yaml")
URDF = EMBODIMENT.urdf_path.read_text(encoding="utf-8")


def problems(urdf):
    return description_problems(urdf, EMBODIMENT.arms)


def test_the_right_robot_has_no_problems():
    assert problems(URDF) == []


def test_another_robot_is_named_by_its_missing_joints():
    (problem,) = problems(URDF.replace('joint name="fr3_joint3"', 'joint name="other_joint3"'))
    assert "lacks joints ['fr3_joint3']" in problem and "other_joint3" in problem


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ('lower="-2.7437" upper="2.7437"', 'lower="-2.7437" upper="2.5"', "upper of joint 'fr3_joint1' to 2.5"),
        ('lower="-2.7437"', 'lower="-2.5"', "lower of joint 'fr3_joint1' to -2.5"),
        ('upper="2.7437" velocity="2.62"', 'upper="2.7437" velocity="1.0"', "velocity of joint 'fr3_joint1' to 1.0"),
    ],
)
def test_tighter_limits_of_the_driver_are_a_problem(ours, theirs, words):
    assert any(words in problem for problem in problems(URDF.replace(ours, theirs, 1)))


def test_what_is_no_urdf_is_said_to_be_none():
    assert "no XML" in problems("not a robot")[0]


def behind(*controllers):
    arm = EMBODIMENT.arms[0]
    return [replace(arm, command=replace(arm.command, controller=controller)) for controller in controllers]


@pytest.mark.parametrize(
    ("controllers", "topic"),
    [
        (("ctrl",), "robot_description"),
        (("/ctrl",), "/robot_description"),
        (("/cell/ctrl",), "/cell/robot_description"),
        (("cell/ctrl", "cell/other"), "cell/robot_description"),
        (("left/ctrl", "right/ctrl"), "robot_description"),  # each describes one arm; the whole is ours to publish
    ],
)
def test_the_drivers_description_lies_beside_its_controllers(controllers, topic):
    assert description_topic(behind(*controllers)) == topic


def test_a_driver_without_controllers_describes_itself_in_the_deployments_namespace():
    piper = load_embodiment(Path(__file__).parents[2] / "config" / "robots" / "piper.yaml")
    assert description_topic(piper.arms) == "robot_description"
