"""The first draft of a robot's YAML, from its URDF: what can be known is filled in, the rest is left blank and named.

A blank is an empty YAML value. Loading the draft reports all blanks at once, each with what is expected there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vla3d_ros.adapter.urdf_survey import SurveyedArm, SurveyedJoint, UrdfSurvey

_HEADER = """\
# Draft from {urdf}. Every empty value must be filled in before this robot can be used.
# Units: rad, rad/s, rad/s^2, rad/s^3, m, N. Lists follow `joint_names`.
robot: {name}
urdf: {urdf}
limits_source: # where the numbers under `limits` come from, and what you chose yourself

arms:
"""

_ARM = """\
  - name: {name}
    base_frame: {base} # all poses of the robot are in this frame; z = 0 should be the table
    ee_frame: {ee} # z towards the object, fingers moving along y
    joint_names: [{joints}]
    q_home: # {count} values: a safe place above the table, gripper pointing down, away from singularities
    command:
      type: joint_trajectory # or joint_state, forward_position, pose_target: how the driver wants to be spoken to
      topic: # e.g. my_arm_controller/joint_trajectory
      controller: # e.g. my_arm_controller
    feedback: {{topic: joint_states}}
    limits:
      q_lower: {lower}
      q_upper: {upper}
      velocity: {velocity}
      acceleration: # {count} values; no URDF has them. Unknown: 5 rad/s^2 is slow for most arms
      jerk: # {count} values. Unknown: 50 times the acceleration reaches it in 20 ms
"""

_GRIPPER = """\
    gripper:
      stroke_m: {stroke:g} # between the pads when open: the fingers' travel in the URDF
      joint_names: [{fingers}] # as the gripper's driver names them in joint states
      position_closed: {closed}
      position_open: {opened}
      finger_joints: [{fingers}]
      command:
        type: # gripper_command, parallel_gripper_command, joint_state_finger or float64_array
        action: # e.g. gripper/gripper_cmd; for a topic instead of an action, rename this key to `topic`
        position_closed: # what the driver takes for closed
        position_open: # what it takes for open
      max_effort_n: # force of a grasp
"""


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The draft and, in sentences, what could not be inferred or should be looked at."""

    yaml: str
    notes: tuple[str, ...]


def scaffold_robot(survey: UrdfSurvey, *, name: str, urdf_name: str) -> Scaffold:
    """Draft a robot's YAML.

    Args:
        survey: Of its URDF.
        name: The robot's name.
        urdf_name: File name of the URDF in `urdf/`.
    """
    text = _HEADER.format(urdf=urdf_name, name=name)
    notes = []
    for index, arm in enumerate(survey.arms):
        arm_name = name if len(survey.arms) == 1 else _arm_name(arm, index)
        text += _arm_text(survey, arm, arm_name)
        notes += _arm_notes(arm, arm_name)
    return Scaffold(yaml=text, notes=(*notes, *_link_notes(survey)))


def _arm_name(arm: SurveyedArm, index: int) -> str:
    sides = [side for side in ("left", "right") if side in arm.joints[0].name.lower()]
    return sides[0] if len(sides) == 1 else f"arm{index + 1}"


def _arm_text(survey: UrdfSurvey, arm: SurveyedArm, name: str) -> str:
    joints = arm.joints
    text = _ARM.format(
        name=name,
        base=survey.root,
        ee=arm.ee_frame,
        joints=_list(joint.name for joint in joints),
        count=len(joints),
        lower=_values([joint.lower if joint.kind != "continuous" else None for joint in joints]),
        upper=_values([joint.upper if joint.kind != "continuous" else None for joint in joints]),
        velocity=_values([joint.velocity for joint in joints]),
    )
    fingers = _sliding_fingers(arm)
    if fingers:
        opened = [finger.upper or 0.0 for finger in fingers]
        text += _GRIPPER.format(
            stroke=sum(opened),
            fingers=_list(finger.name for finger in fingers),
            closed=[finger.lower for finger in fingers],
            opened=opened,
        )
    return text


def _sliding_fingers(arm: SurveyedArm) -> list[SurveyedJoint]:
    """Return the fingers if all of them slide from 0 = closed upwards, as the twin needs them; else nothing."""
    fits = all(f.kind == "prismatic" and f.lower == 0.0 and (f.upper or 0.0) > 0.0 for f in arm.fingers)
    return arm.fingers if fits else []


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _values(values: list[float | None]) -> str:
    """Write a list, or a blank with what is known beside it if a value is missing."""
    if None not in values:
        return f"[{_list(f'{value:.6g}' for value in values)}]"
    known = _list("?" if value is None else f"{value:.6g}" for value in values)
    return f"# {len(values)} values, the URDF says [{known}]"


def _arm_notes(arm: SurveyedArm, name: str) -> list[str]:
    where = f"arm '{name}'"
    notes = [
        f"{where}: q_home, acceleration, jerk and the topic of its controller are not in a URDF",
        f"{where}: position and speed limits are the URDF's; compare them with the data sheet and take the smaller",
    ]
    if not arm.ee_is_named:
        notes.append(f"{where}: no link is named like a tool's tip; took '{arm.ee_frame}': is that where it grasps?")
    endless = [joint.name for joint in arm.joints if joint.kind == "continuous"]
    if endless:
        notes.append(f"{where}: joints {endless} are continuous; choose limits, so that cables survive")
    silent = [joint.name for joint in arm.joints if joint.velocity is None]
    if silent:
        notes.append(f"{where}: the URDF has no speed limit for {silent}")
    if arm.fingers and not _sliding_fingers(arm):
        kinds = {finger.name: finger.kind for finger in arm.fingers}
        notes.append(
            f"{where}: the gripper's joints {kinds} are left out; the twin needs prismatic fingers with 0 = closed: "
            "replace them in the URDF by two sliding ones, and add a section `gripper`"
        )
    if not arm.fingers:
        notes.append(f"{where}: no gripper found; add a section `gripper` if it has one")
    return notes


def _link_notes(survey: UrdfSurvey) -> list[str]:
    notes = [f"base_frame is the root link '{survey.root}'; put a link below the robot at the table if it is not there"]
    if survey.mesh_only_links:
        notes.append(
            f"links {list(survey.mesh_only_links)} have meshes for collision; safety needs cylinders (cores of "
            "capsules), boxes or spheres there"
        )
    if survey.bare_links:
        notes.append(f"links {list(survey.bare_links)} have no collision geometry: safety can not see them")
    if survey.massless_links:
        notes.append(f"links {list(survey.massless_links)} have no mass: the twin can not move them")
    return notes
