"""Gives every arm of the twin the driver which the robot's file says it is spoken to through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.interface_specs import (
    ForwardPositionInterface,
    JointStateFingerInterface,
    JointStateInterface,
    JointTrajectoryInterface,
)
from vla3d_ros.twin.arm_driver import ArmDriver, TrajectoryDriver
from vla3d_ros.twin.trajectory_controller import Distribution, TrajectoryController
from vla3d_ros.twin.vendor_agx import AgxDriver, AgxSettings
from vla3d_ros.twin.vendor_forward import ForwardPositionDriver
from vla3d_ros.twin.vendor_piper_ros import PiperRosDriver
from vla3d_ros.twin.vendor_pose import PoseTargetDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """Which versions of the vendors' software the twin imitates."""

    distribution: Distribution = Distribution.JAZZY
    path_tolerance_rad: float = 0.0
    agx: AgxSettings = field(default_factory=AgxSettings)


def create_driver(
    arm: ArmSpec, urdf_path: Path, *, period_ns: int, settings: DriverSettings, grip: Callable[[float, float], None]
) -> ArmDriver:
    """Build the driver of one arm.

    Args:
        arm: The arm and its interfaces.
        urdf_path: The robot's URDF, for drivers with kinematics of their own.
        period_ns: Control period.
        settings: Versions.
        grip: Moves the gripper, for drivers which serve both: (position in the gripper's measure, force in N).
    """
    command = arm.command
    if isinstance(command, JointTrajectoryInterface):
        return TrajectoryDriver(
            TrajectoryController(
                command.wire_names,
                update_period_ns=period_ns,
                distribution=settings.distribution,
                path_tolerance_rad=settings.path_tolerance_rad,
            )
        )
    if isinstance(command, ForwardPositionInterface):
        return ForwardPositionDriver(len(arm.joint_names), distribution=settings.distribution)
    if isinstance(command, JointStateInterface):
        return _joint_state_driver(arm, command, settings, grip)
    return PoseTargetDriver(urdf_path, arm, command)


def _joint_state_driver(
    arm: ArmSpec, command: JointStateInterface, settings: DriverSettings, grip: Callable[[float, float], None]
) -> ArmDriver:
    """A speed that travels in the message is the mark of the older node."""
    if command.speed_percent is not None:
        return PiperRosDriver(command.wire_names, arm.limits, grip=grip)
    gripper = arm.gripper.command if arm.gripper else None
    name = gripper.joint_name if isinstance(gripper, JointStateFingerInterface) else ""
    return AgxDriver(command.wire_names, name, arm.limits, grip=grip, settings=settings.agx)
