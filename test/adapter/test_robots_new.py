"""A robot nobody has seen: what its URDF tells is filled in, everything else is asked for by name."""

from pathlib import Path

import pytest
import yaml

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.scaffold import scaffold_robot
from vla3d_ros.adapter.urdf_survey import survey_urdf
from vla3d_ros.errors import ConfigError

URDF = Path(__file__).parents[2] / "urdf"

BLANKS = {
    "topic": "arm_controller/joint_trajectory",
    "controller": "arm_controller",
    "type": "gripper_command",
    "action": "gripper/gripper_cmd",
    "position_closed": 0.0,
    "position_open": 0.04,
    "max_effort_n": 20.0,
    "limits_source": "the data sheet of a robot that does not exist",
}


def chain_urdf(tmp_path, joints, extra=""):
    """A serial robot: (type, limit attributes) per joint, one link each."""
    links = "".join(f'<link name="l{i}"/>' for i in range(len(joints) + 1))
    parts = "".join(
        f'<joint name="j{i}" type="{kind}"><parent link="l{i}"/><child link="l{i + 1}"/><origin xyz="0 0 0.1"/>'
        f'<axis xyz="0 {i % 2} {1 - i % 2}"/>{limit}</joint>'
        for i, (kind, limit) in enumerate(joints)
    )
    path = tmp_path / "mine.urdf"
    path.write_text(f'<robot name="mine">{links}{parts}{extra}</robot>')
    return path


LIMIT = '<limit lower="-1" upper="2" velocity="3" effort="4"/>'


@pytest.mark.parametrize("path", sorted(URDF.glob("*.urdf")), ids=lambda path: path.stem)
def test_survey_finds_the_arms_of_every_shipped_robot(path):
    shipped = load_embodiment(URDF.parent / "config" / "robots" / f"{path.stem}.yaml")
    survey = survey_urdf(path)
    assert survey.root == shipped.base_frame
    assert [tuple(j.name for j in arm.joints) for arm in survey.arms] == [arm.joint_names for arm in shipped.arms]
    assert [arm.ee_frame for arm in survey.arms] == [arm.ee_frame for arm in shipped.arms]
    found = [tuple(joint.name for joint in arm.fingers) for arm in survey.arms]
    assert found == [arm.gripper.finger_joints for arm in shipped.arms]


def test_draft_names_every_blank_when_it_is_loaded(tmp_path):
    survey = survey_urdf(URDF / "xarm6.urdf")
    path = write_draft(tmp_path, scaffold_robot(survey, name="mine", urdf_name="mine.urdf").yaml)
    with pytest.raises(ConfigError) as error:
        load_embodiment(path)
    for blank in ("limits_source", "q_home", "command.topic", "acceleration", "jerk", "gripper.command.type"):
        assert f"{blank}' is None" in str(error.value)


def test_draft_loads_once_its_blanks_are_filled(tmp_path):
    survey = survey_urdf(URDF / "dual_piper.urdf")
    content = yaml.safe_load(scaffold_robot(survey, name="mine", urdf_name="mine.urdf").yaml)
    for arm in content["arms"]:
        fill(arm, len(arm["joint_names"]))
    fill(content, 0)
    (tmp_path / "urdf").mkdir()
    (tmp_path / "urdf" / "mine.urdf").write_bytes((URDF / "dual_piper.urdf").read_bytes())
    robot = load_embodiment(write_draft(tmp_path, yaml.safe_dump(content)))
    shipped = load_embodiment(URDF.parent / "config" / "robots" / "dual_piper.yaml")
    assert [arm.joint_names for arm in robot.arms] == [arm.joint_names for arm in shipped.arms]
    assert [arm.name for arm in robot.arms] == ["left", "right"]
    assert robot.arms[0].gripper.stroke_m == pytest.approx(0.07)


def fill(node, count):
    """Put something into every blank of a mapping, in place."""
    for key, value in node.items():
        if isinstance(value, dict):
            fill(value, count)
        elif value is None:
            node[key] = BLANKS[key] if key in BLANKS else [0.5 if key == "q_home" else 5.0] * count
    if "q_home" in node and count:
        limits = node["limits"]
        node["q_home"] = [(low + high) / 2 for low, high in zip(limits["q_lower"], limits["q_upper"], strict=True)]


def write_draft(tmp_path, text):
    path = tmp_path / "config" / "robots" / "mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_a_urdf_does_not_say_is_left_blank_with_what_is_known(tmp_path):
    joints = [("revolute", LIMIT)] * 3 + [("continuous", ""), ("revolute", '<limit lower="-1" upper="2" effort="1"/>')]
    scaffold = scaffold_robot(survey_urdf(chain_urdf(tmp_path, joints)), name="mine", urdf_name="mine.urdf")
    limits = yaml.safe_load(scaffold.yaml)["arms"][0]["limits"]
    assert limits["q_lower"] is None and limits["velocity"] is None
    assert "the URDF says [-1, -1, -1, ?, -1]" in scaffold.yaml
    notes = "\n".join(scaffold.notes)
    for remark in ("['j3'] are continuous", "no speed limit for ['j3', 'j4']", "no gripper found", "took 'l5'"):
        assert remark in notes
    assert "no collision geometry" in notes and "no mass" in notes


def test_revolute_fingers_are_reported_and_not_guessed(tmp_path):
    fingers = "".join(
        f'<link name="f{i}"/><joint name="knuckle{i}" type="revolute"><parent link="l5"/><child link="f{i}"/>'
        f"{LIMIT}</joint>"
        for i in range(2)
    )
    scaffold = scaffold_robot(
        survey_urdf(chain_urdf(tmp_path, [("revolute", LIMIT)] * 5, fingers)), name="mine", urdf_name="mine.urdf"
    )
    assert "gripper" not in yaml.safe_load(scaffold.yaml)["arms"][0]
    assert any("knuckle0" in note and "prismatic" in note for note in scaffold.notes)


def test_a_file_without_an_arm_is_refused_with_its_joints(tmp_path):
    with pytest.raises(ConfigError, match=r"no chain of 4 or more turning joints; its joints: \{'j0': 'prismatic'"):
        survey_urdf(chain_urdf(tmp_path, [("prismatic", LIMIT)] * 3))


def test_a_xacro_file_is_refused_as_not_expanded(tmp_path):
    path = tmp_path / "mine.urdf.xacro"
    path.write_text("<robot><link name=")
    with pytest.raises(ConfigError, match="expand xacro files first"):
        survey_urdf(path)
