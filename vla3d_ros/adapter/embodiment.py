"""What one robot is: names, frames, limits and how it is spoken to, read from its YAML and its URDF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.datatypes import JointLimits, VelocityEnvelope
from vla3d_ros.errors import ConfigError, join_problems

Float = NDArray[np.float64]

_LIMIT_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryInterface:
    """The trajectory topic of one arm (relative name) and the controller which listens to it."""

    topic: str
    controller: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GripperSpec:
    """A parallel gripper as its driver speaks of it.

    The gap between the pads in metres is `metres_per_joint_position` times the SUM of the positions of `joint_names`
    in joint_states. The action takes `position_per_metre` times the gap.
    """

    stroke_m: float
    joint_names: tuple[str, ...]
    metres_per_joint_position: float
    action: str
    position_per_metre: float
    max_effort_n: float

    def opening(self, positions: Float) -> float:
        """Return the opening, 0 closed ... 1 open, for the finger positions (F,) of joint_states."""
        gap_m = self.metres_per_joint_position * float(np.sum(positions))
        return float(np.clip(gap_m / self.stroke_m, 0.0, 1.0))

    def command_position(self, opening: float) -> float:
        """Return the action's position for an opening, 0 closed ... 1 open."""
        return opening * self.stroke_m * self.position_per_metre


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmSpec:
    """One arm: frames, joints (J), home configuration q_home (J,) rad, limits, gripper and interfaces."""

    name: str
    base_frame: str
    ee_frame: str
    joint_names: tuple[str, ...]
    q_home: Float
    limits: JointLimits
    gripper: GripperSpec | None
    command: TrajectoryInterface


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Embodiment:
    """A robot: one URDF, one or more arms, and where its limits come from."""

    name: str
    urdf_path: Path
    arms: tuple[ArmSpec, ...]
    limits_source: str

    def arm(self, name: str) -> ArmSpec:
        """Return the arm of that name.

        Raises:
            ConfigError: If there is none; lists the arms.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = [arm.name for arm in self.arms]
        raise ConfigError(f"robot '{self.name}' has no arm '{name}'; expected one of {known}")


def load_embodiment(path: Path) -> Embodiment:
    """Read `config/robots/<robot>.yaml` and check it against the URDF it names.

    The URDF lies in the directory `urdf` beside `config`.

    Args:
        path: The robot's YAML file.

    Returns:
        The robot.

    Raises:
        ConfigError: Lists every missing, unknown or contradicting value at once.
    """
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"robot file {path} does not exist; available robots: {available}")
    reader = ConfigReader(yaml.safe_load(path.read_text(encoding="utf-8")), where="")
    name = reader.text("robot")
    urdf_path = path.resolve().parent.parent.parent / "urdf" / reader.text("urdf")
    limits_source = reader.text("limits_source")
    arms = tuple(_read_arm(arm) for arm in reader.sections("arms"))
    reader.finish()
    problems = reader.problems or _contradictions(arms, urdf_path)
    if problems:
        raise ConfigError(join_problems(f"robot file {path}", problems))
    return Embodiment(name=name, urdf_path=urdf_path, arms=arms, limits_source=limits_source)


def _read_arm(reader: ConfigReader) -> ArmSpec:
    joint_names = reader.names("joint_names")
    command = reader.section("command")
    gripper = reader.section("gripper") if reader.has("gripper") else None
    arm = ArmSpec(
        name=reader.text("name"),
        base_frame=reader.text("base_frame"),
        ee_frame=reader.text("ee_frame"),
        joint_names=joint_names,
        q_home=reader.vector("q_home", len(joint_names)),
        limits=_read_limits(reader.section("limits"), joint_names),
        gripper=_read_gripper(gripper) if gripper else None,
        command=TrajectoryInterface(topic=command.text("topic"), controller=command.text("controller")),
    )
    command.finish()
    reader.finish()
    return arm


def _read_limits(reader: ConfigReader, joint_names: tuple[str, ...]) -> JointLimits:
    count = len(joint_names)
    envelope = None
    if reader.has("velocity_envelope"):
        section = reader.section("velocity_envelope")
        keys = ("offset", "gain", "q_stop_lower", "q_stop_upper")
        envelope = VelocityEnvelope(**{key: section.vector(key, count) for key in keys})
        section.finish()
    vectors: dict[str, Any] = {
        key: reader.vector(key, count) for key in ("q_lower", "q_upper", "velocity", "acceleration", "jerk")
    }
    reader.finish()
    return JointLimits(joint_names=joint_names, envelope=envelope, **vectors)


def _read_gripper(reader: ConfigReader) -> GripperSpec:
    spec = GripperSpec(
        stroke_m=reader.positive("stroke_m"),
        joint_names=reader.names("joint_names"),
        metres_per_joint_position=reader.positive("metres_per_joint_position"),
        action=reader.text("action"),
        position_per_metre=reader.positive("position_per_metre"),
        max_effort_n=reader.positive("max_effort_n"),
    )
    reader.finish()
    return spec


def _contradictions(arms: tuple[ArmSpec, ...], urdf_path: Path) -> list[str]:
    if not urdf_path.is_file():
        return [f"'urdf' names {urdf_path}, which does not exist; put the robot's URDF there"]
    root = ElementTree.parse(urdf_path).getroot()
    links = {str(link.get("name")) for link in root.iter("link")}
    joints = {str(joint.get("name")): joint for joint in root.findall("joint")}
    problems = [f"arm name '{arm.name}' is used twice" for i, arm in enumerate(arms) if arm.name in _names(arms[:i])]
    for arm in arms:
        for key, frame in (("base_frame", arm.base_frame), ("ee_frame", arm.ee_frame)):
            if frame not in links:
                problems.append(
                    f"arm '{arm.name}': {key} '{frame}' is no link of {urdf_path.name}; has {sorted(links)}"
                )
        fingers = arm.gripper.joint_names if arm.gripper else ()
        for joint in (*arm.joint_names, *fingers):
            if joint not in joints:
                problems.append(f"arm '{arm.name}': no joint '{joint}' in {urdf_path.name}; has {sorted(joints)}")
        problems += _limit_contradictions(arm, joints)
    return problems


def _names(arms: tuple[ArmSpec, ...]) -> set[str]:
    return {arm.name for arm in arms}


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
