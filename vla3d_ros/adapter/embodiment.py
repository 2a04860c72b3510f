"""What one robot is: names, frames, limits and how it is spoken to, read from its YAML and its URDF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.adapter.interface_specs import (
    ArmInterface,
    FeedbackInterface,
    GripperInterface,
    read_command,
    read_feedback,
    read_gripper_command,
)
from vla3d_ros.datatypes import JointLimits, VelocityEnvelope
from vla3d_ros.errors import ConfigError, join_problems

Float = NDArray[np.float64]

__all__ = ["ArmSpec", "Embodiment", "GripperSpec", "load_embodiment"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GripperSpec:
    """A parallel gripper: how its driver speaks of it, and the fingers that stand for it in the URDF.

    Drivers count in joint positions of their own: of one finger, of both, or of a crank that grows as the gripper
    closes. Each is taken as linear between closed and open.

    Attributes:
        stroke_m: Gap between the pads when open.
        joint_names: (F,) joints in joint states, unique in the robot.
        position_closed: (F,) their positions when closed.
        position_open: (F,) their positions when open.
        finger_joints: Prismatic joints of the URDF, 0 = closed; their sum is the gap.
        command: Where commands go.
        command_closed: The command for closed.
        command_open: The command for open.
        max_effort_n: Force of a grasp.
        actuation_latency_s: From a command to the fingers' motion; commands are sent that much earlier.
    """

    stroke_m: float
    joint_names: tuple[str, ...]
    position_closed: Float
    position_open: Float
    finger_joints: tuple[str, ...]
    command: GripperInterface
    command_closed: float
    command_open: float
    max_effort_n: float
    actuation_latency_s: float = 0.0

    def opening(self, positions: Float) -> float:
        """Return the opening, 0 closed ... 1 open, for the positions (F,) of joint states."""
        travel = self.position_open - self.position_closed
        return float(np.clip(np.sum(positions - self.position_closed) / np.sum(travel), 0.0, 1.0))

    def positions(self, opening: float) -> Float:
        """Return the positions (F,) that joint states show at an opening, 0 closed ... 1 open."""
        return self.position_closed + opening * (self.position_open - self.position_closed)

    def command_position(self, opening: float) -> float:
        """Return the commanded position for an opening, 0 closed ... 1 open."""
        return self.command_closed + opening * (self.command_open - self.command_closed)

    def command_gap_m(self, position: float) -> float:
        """Return the gap between the pads a commanded position asks for, metres."""
        return self.stroke_m * (position - self.command_closed) / (self.command_open - self.command_closed)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmSpec:
    """One arm: frames, joints (J), home configuration q_home (J,) rad, limits, gripper and interfaces.

    base_frame is the frame in which the policy thinks and every pose of the robot is expressed: the same for all arms
    of a robot. An arm that is bolted elsewhere has its mounting link below it in the URDF.
    """

    name: str
    base_frame: str
    ee_frame: str
    joint_names: tuple[str, ...]
    q_home: Float
    limits: JointLimits
    gripper: GripperSpec | None
    command: ArmInterface
    feedback: FeedbackInterface
    actuation_latency_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Embodiment:
    """A robot: one URDF, one or more arms, and where its limits come from."""

    name: str
    urdf_path: Path
    arms: tuple[ArmSpec, ...]
    limits_source: str

    @property
    def base_frame(self) -> str:
        """The frame in which all poses of the robot are expressed."""
        return self.arms[0].base_frame

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
    from vla3d_ros.adapter.embodiment_checks import contradictions

    problems = reader.problems or contradictions(arms, urdf_path)
    if problems:
        raise ConfigError(join_problems(f"robot file {path}", problems))
    return Embodiment(name=name, urdf_path=urdf_path, arms=arms, limits_source=limits_source)


def _read_arm(reader: ConfigReader) -> ArmSpec:
    joint_names = reader.names("joint_names")
    base_frame, ee_frame = reader.text("base_frame"), reader.text("ee_frame")
    gripper = _read_gripper(reader.section("gripper")) if reader.has("gripper") else None
    arm = ArmSpec(
        name=reader.text("name"),
        base_frame=base_frame,
        ee_frame=ee_frame,
        joint_names=joint_names,
        q_home=reader.vector("q_home", len(joint_names)),
        limits=_read_limits(reader.section("limits"), joint_names),
        gripper=gripper,
        command=read_command(reader.section("command"), joint_names, base_frame, ee_frame),
        feedback=read_feedback(reader.section("feedback"), joint_names, gripper.joint_names if gripper else ()),
        actuation_latency_s=_read_latency(reader),
    )
    reader.finish(("gripper",))
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
    joint_names = reader.names("joint_names")
    command = reader.section("command")
    spec = GripperSpec(
        stroke_m=reader.positive("stroke_m"),
        joint_names=joint_names,
        position_closed=reader.vector("position_closed", len(joint_names)),
        position_open=reader.vector("position_open", len(joint_names)),
        finger_joints=reader.names("finger_joints"),
        command=read_gripper_command(command, joint_names[0] if joint_names else ""),
        command_closed=command.number("position_closed"),
        command_open=command.number("position_open"),
        max_effort_n=reader.positive("max_effort_n"),
        actuation_latency_s=_read_latency(reader),
    )
    command.finish(("joint", "count", "topic", "action"))
    reader.finish()
    return spec


def _read_latency(reader: ConfigReader) -> float:
    return reader.positive("actuation_latency_s") if reader.has("actuation_latency_s") else 0.0
