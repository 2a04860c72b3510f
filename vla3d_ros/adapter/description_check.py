"""Does the robot that a driver describes match the robot we were configured for?"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from vla3d_ros.adapter.embodiment import ArmSpec

_TOLERANCE = 1e-3
_REMEDY = "is this the right robot file?"
_TOPIC = "robot_description"


def description_topic(arms: Sequence[ArmSpec]) -> str:
    """Return where the driver of these arms publishes its URDF: beside its controllers, in their namespace.

    Args:
        arms: All arms. If their controllers lie in several namespaces, each driver describes a part of the robot only,
            and none of the descriptions can be compared with the whole.
    """
    controllers = [str(getattr(arm.command, "controller", "")) for arm in arms]
    namespaces = {name.rpartition("/")[0] + "/" if "/" in name else "" for name in controllers}
    return (namespaces.pop() if len(namespaces) == 1 else "") + _TOPIC


def description_problems(urdf: str, arms: Sequence[ArmSpec]) -> list[str]:
    """Compare the URDF on `robot_description` with our arms.

    Args:
        urdf: The driver's URDF.
        arms: What we were configured for.

    Returns:
        One sentence per joint that is missing, or whose limits are tighter than ours.
    """
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        return [f"robot_description is no XML: {error}"]
    joints = {str(joint.get("name")): joint for joint in root.findall("joint")}
    movable = sorted(name for name, joint in joints.items() if joint.get("type") != "fixed")
    problems = []
    for arm in arms:
        missing = [name for name in arm.joint_names if name not in joints]
        if missing:
            text = f"robot_description lacks joints {missing} of arm '{arm.name}'; it has {movable}"
            problems.append(f"{text}; {_REMEDY}")
            continue
        problems += [problem for i in range(len(arm.joint_names)) for problem in _tighter(arm, i, joints)]
    return problems


def _tighter(arm: ArmSpec, index: int, joints: dict[str, ElementTree.Element]) -> list[str]:
    name, limits = arm.joint_names[index], arm.limits
    element = joints[name].find("limit")
    if element is None:
        return []
    ours = {"lower": -limits.q_lower[index], "upper": limits.q_upper[index], "velocity": limits.velocity[index]}
    signs = {"lower": -1.0, "upper": 1.0, "velocity": 1.0}
    if joints[name].get("type") == "continuous":
        ours = {"velocity": ours["velocity"]}
    problems = []
    for key, value in ours.items():
        text = element.get(key)
        if text is not None and value > signs[key] * float(text) + _TOLERANCE:
            sentence = f"robot_description limits {key} of joint '{name}' to {text}, ours is {signs[key] * value:g}"
            problems.append(f"{sentence}; {_REMEDY}")
    return problems
