"""The robot file and its URDF agree with each other and with the published numbers."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.errors import ConfigError

ROOT = Path(__file__).parents[2]
ROBOT = ROOT / "config" / "robots" / "fr3.yaml"


@pytest.fixture
def edited(tmp_path):
    """Write the robot file with changes next to a copy of the URDF and return its path."""

    def write(change):
        content = yaml.safe_load(ROBOT.read_text())
        change(content)
        (tmp_path / "config" / "robots").mkdir(parents=True)
        (tmp_path / "urdf").mkdir()
        (tmp_path / "urdf" / "fr3.urdf").write_bytes((ROOT / "urdf" / "fr3.urdf").read_bytes())
        path = tmp_path / "config" / "robots" / "fr3.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_shipped_robot_loads_with_frames_limits_and_gripper():
    embodiment = load_embodiment(ROBOT)
    arm = embodiment.arms[0]
    assert (arm.base_frame, arm.ee_frame) == ("fr3_link0", "fr3_hand_tcp")
    assert arm.limits.velocity.tolist() == [2.62] * 4 + [5.26, 4.18, 5.26]
    assert arm.gripper is not None
    assert arm.gripper.opening(np.array([0.02, 0.02])) == pytest.approx(0.5)
    assert arm.gripper.command_position(1.0) == pytest.approx(0.04)


def test_urdf_is_plain_xml_with_mass_and_capsules_on_every_moving_link():
    root = ElementTree.parse(ROOT / "urdf" / "fr3.urdf").getroot()
    moving = [f"fr3_link{i}" for i in range(1, 8)] + ["fr3_hand", "fr3_leftfinger", "fr3_rightfinger"]
    links = {link.get("name"): link for link in root.iter("link")}
    for name in moving:
        assert float(links[name].find("inertial/mass").get("value")) > 0
        assert links[name].findall("collision")


def test_velocity_envelope_shrinks_to_zero_at_the_position_limits():
    limits = load_embodiment(ROBOT).arms[0].limits
    _, at_upper = limits.velocity_bounds(limits.q_upper)
    _, in_middle = limits.velocity_bounds((limits.q_lower + limits.q_upper) / 2)
    assert (at_upper < 0.2).all()
    assert (in_middle == limits.velocity).all()


def test_every_problem_of_a_robot_file_is_named_at_once(edited):
    def break_it(content):
        arm = content["arms"][0]
        arm["q_home"] = [0.0, 1.0]
        arm["colour"] = "white"
        del arm["command"]["topic"]
        arm["limits"]["velocity"][2] = float("nan")

    with pytest.raises(ConfigError) as error:
        load_embodiment(edited(break_it))
    for fragment in ("q_home", "colour", "command.topic' is missing", "limits.velocity", "7 finite numbers"):
        assert fragment in str(error.value)


def test_limits_wider_than_the_urdf_are_refused_with_both_values(edited):
    def widen(content):
        content["arms"][0]["limits"]["q_upper"][1] = 2.5
        content["arms"][0]["ee_frame"] = "fr3_tool"

    with pytest.raises(ConfigError, match=r"(?s)fr3_tool.*upper limit 2\.5 exceeds the URDF's 1\.7837"):
        load_embodiment(edited(widen))


def test_missing_urdf_is_named_with_its_path(edited):
    with pytest.raises(ConfigError, match=r"other\.urdf, which does not exist"):
        load_embodiment(edited(lambda content: content.update(urdf="other.urdf")))


def test_missing_robot_file_lists_the_available_robots():
    with pytest.raises(ConfigError, match=r"available robots: \[.*'fr3'"):
        load_embodiment(ROBOT.with_name("fr4.yaml"))
