"""What can not be right about a robot although every value of its file is well formed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from vla3d_ros.adapter.interface_specs import JointStateFingerInterface, JointStateInterface, PoseTargetInterface

if TYPE_CHECKING:
    from vla3d_ros.adapter.embodiment import ArmSpec, GripperSpec

_LIMIT_TOLERANCE = 1e-9
_STROKE_TOLERANCE_M = 1e-6


def contradictions(arms: tuple[ArmSpec, ...], urdf_path: Path) -> list[str]:
    """Compare arms with the URDF and with one another.

    Args:
        arms: As read from the robot's file.
        urdf_path: The file it names.

    Returns:
        One sentence per problem.
    """
    if not urdf_path.is_file():
        return [f"'urdf' names {urdf_path}, which does not exist; put the robot's URDF there"]
    root = ElementTree.parse(urdf_path).getroot()
    links = {str(link.get("name")) for link in root.iter("link")}
    joints = {str(joint.get("name")): joint for joint in root.findall("joint")}
    problems = _between_arms(arms)
    for arm in arms:
        for key, frame in _frames(arm):
            if frame not in links:
                problems.append(
                    f"arm '{arm.name}': {key} '{frame}' is no link of {urdf_path.name}; has {sorted(links)}"
                )
        fingers = arm.gripper.finger_joints if arm.gripper else ()
        for joint in (*arm.joint_names, *fingers):
            if joint not in joints:
                problems.append(f"arm '{arm.name}': no joint '{joint}' in {urdf_path.name}; has {sorted(joints)}")
        problems += _limit_contradictions(arm, joints)
        problems += _gripper_contradictions(arm, arm.gripper, joints) if arm.gripper else []
    return problems


def _frames(arm: ArmSpec) -> list[tuple[str, str]]:
    frames = [("base_frame", arm.base_frame), ("ee_frame", arm.ee_frame)]
    if isinstance(arm.command, PoseTargetInterface):
        frames += [("command.frame", arm.command.frame), ("command.tip", arm.command.tip)]
    return frames


def _between_arms(arms: tuple[ArmSpec, ...]) -> list[str]:
    problems = []
    for i, arm in enumerate(arms):
        others = arms[:i]
        if arm.name in {other.name for other in others}:
            problems.append(f"arm name '{arm.name}' is used twice")
        shared = set(_names(arm)) & {name for other in others for name in _names(other)}
        if shared:
            problems.append(f"arm '{arm.name}' shares joints {sorted(shared)} with another arm")
        if others and arm.base_frame != others[0].base_frame:
            problems.append(
                f"arm '{arm.name}' has base_frame '{arm.base_frame}', arm '{others[0].name}' has "
                f"'{others[0].base_frame}'; expected one frame for all arms (a link above both mounts)"
            )
        problems += [
            f"arms '{arm.name}' and '{other.name}' hear the same joint names {sorted(both)} on '{topic}'"
            for other in others
            for topic, names in _heard(arm).items()
            if (both := set(names) & set(_heard(other).get(topic, ())))
        ]
    return problems


def _names(arm: ArmSpec) -> tuple[str, ...]:
    return (*arm.joint_names, *(arm.gripper.joint_names if arm.gripper else ()))


def _heard(arm: ArmSpec) -> dict[str, tuple[str, ...]]:
    feedback = arm.feedback
    heard = {feedback.topic: feedback.wire_names}
    heard[feedback.gripper_topic] = (*heard.get(feedback.gripper_topic, ()), *feedback.gripper_wire_names)
    return heard


def _gripper_contradictions(arm: ArmSpec, gripper: GripperSpec, joints: dict[str, ElementTree.Element]) -> list[str]:
    where, problems = f"arm '{arm.name}', gripper", []
    if (gripper.position_open == gripper.position_closed).any():
        problems.append(f"{where}: position_open equals position_closed; it would not move")
    if gripper.command_open == gripper.command_closed:
        problems.append(f"{where}: command.position_open equals command.position_closed; it would not move")
    fingers = [joints[name] for name in gripper.finger_joints if name in joints]
    wrong = [str(joint.get("name")) for joint in fingers if joint.get("type") != "prismatic"]
    if wrong:
        problems.append(f"{where}: finger_joints {wrong} are not prismatic; the twin moves pads on straight lines")
    reach_m = sum(float(limit.get("upper", "nan")) for joint in fingers for limit in joint.findall("limit"))
    if not wrong and abs(reach_m - gripper.stroke_m) > _STROKE_TOLERANCE_M:
        problems.append(f"{where}: stroke_m is {gripper.stroke_m}, but the fingers of the URDF travel {reach_m:g} m")
    with_arm = isinstance(gripper.command, JointStateFingerInterface) and gripper.command.topic == arm.command.topic
    paced = isinstance(arm.command, JointStateInterface) and arm.command.speed_percent is not None
    if paced and not with_arm:
        problems.append(
            f"arm '{arm.name}': speed_percent travels in the gripper's entry of the arm's messages; "
            f"expected a gripper command of type joint_state_finger on '{arm.command.topic}'"
        )
    return problems


def _limit_contradictions(arm: ArmSpec, joints: dict[str, ElementTree.Element]) -> list[str]:
    limits, problems = arm.limits, []
    for i, name in enumerate(arm.joint_names):
        where = f"arm '{arm.name}', joint '{name}'"
        lower, upper = limits.q_lower[i], limits.q_upper[i]
        if not lower < upper:
            problems.append(f"{where}: q_lower {lower} is not below q_upper {upper}")
        if not lower <= arm.q_home[i] <= upper:
            problems.append(f"{where}: q_home {arm.q_home[i]} lies outside [{lower}, {upper}]")
        for key in ("velocity", "acceleration", "jerk"):
            if not getattr(limits, key)[i] > 0:
                problems.append(f"{where}: {key} limit {getattr(limits, key)[i]} is not positive")
        element = joints[name].find("limit") if name in joints else None
        if element is None:
            continue
        for key, value, sign in (("lower", -lower, -1.0), ("upper", upper, 1.0), ("velocity", limits.velocity[i], 1.0)):
            bound = sign * float(element.get(key, "inf" if sign > 0 else "-inf"))
            if value > bound + _LIMIT_TOLERANCE:
                problems.append(f"{where}: {key} limit {sign * value} exceeds the URDF's {sign * bound}")
    return problems
