"""Smooth motion of a tool that points down, as six numbers a profile generator understands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ruckig import InputParameter, OutputParameter, Result, Ruckig, RuckigError, Synchronization
from scipy.spatial.transform import Rotation

from vla3d_ros.policy.backends.scripted_config import MotionSettings

Float = NDArray[np.float64]

_AXES = 6
_ARRIVED = 1e-9  # m, rad and their derivatives: nearer than this is rounding, at which Ruckig 0.x may give up
_R_BASE_DOWN = np.diag([1.0, -1.0, -1.0])
_SYNCHRONIZATION = [Synchronization.Time, Synchronization.Time, *[Synchronization.No] * 4]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ToolMotion:
    """Position, velocity and acceleration of the tool: (6,) arrays x, y, z (m), tilt about x, y and yaw (rad).

    The tool's z axis points down where the tilt is zero; yaw is the angle of its x axis in base.
    """

    position: Float
    velocity: Float
    acceleration: Float


class MotionProfile:
    """Bounded speed, acceleration and jerk towards a goal that may change at every step."""

    def __init__(self, settings: MotionSettings, step_s: float) -> None:
        self._generator = Ruckig(_AXES, step_s)
        self._input = InputParameter(_AXES)
        self._output = OutputParameter(_AXES)
        self._input.max_velocity = [*settings.speed_m_s, *[settings.rotation_speed_rad_s] * 3]
        self._input.max_acceleration = [*settings.acceleration_m_s2, *[settings.rotation_acceleration_rad_s2] * 3]
        self._input.max_jerk = [*settings.jerk_m_s3, *[settings.rotation_jerk_rad_s3] * 3]

    def step(self, motion: ToolMotion, goal: Float) -> ToolMotion:
        """Advance one step.

        Args:
            motion: Where the tool is and how it moves.
            goal: (6,) position to come to rest at.

        Returns:
            The motion one step later.
        """
        motion = _without_rounding(motion, goal)
        self._input.current_position = motion.position.tolist()
        self._input.current_velocity = motion.velocity.tolist()
        self._input.current_acceleration = motion.acceleration.tolist()
        self._input.target_position = goal.tolist()
        result = self._update()
        if result not in (Result.Working, Result.Finished):
            raise RuntimeError(f"no motion profile from {motion} to {goal.tolist()}: {result}")
        return ToolMotion(
            position=np.array(self._output.new_position),
            velocity=np.array(self._output.new_velocity),
            acceleration=np.array(self._output.new_acceleration),
        )

    def _update(self) -> Result:
        """Let x and y arrive together, or, where Ruckig finds no such profile, each as soon as it can, as bounded."""
        self._input.per_dof_synchronization = _SYNCHRONIZATION
        try:
            return self._generator.update(self._input, self._output)
        except RuckigError:  # "error in step 2": it has each axis' profile and fails to stretch one (pantor/ruckig 160)
            self._input.per_dof_synchronization = [Synchronization.No] * _AXES
            return self._generator.update(self._input, self._output)


def _without_rounding(motion: ToolMotion, goal: Float) -> ToolMotion:
    """Put axes that have come to rest at their goal but for rounding exactly there (pantor/ruckig issue 160)."""
    parts = (motion.position - goal, motion.velocity, motion.acceleration)
    has_arrived = np.all([np.abs(part) < _ARRIVED for part in parts], axis=0)
    return ToolMotion(
        position=np.where(has_arrived, goal, motion.position),
        velocity=np.where(has_arrived, 0.0, motion.velocity),
        acceleration=np.where(has_arrived, 0.0, motion.acceleration),
    )


def interpolate_motion(before: ToolMotion, after: ToolMotion, fraction: float, step_s: float) -> ToolMotion:
    """Sample between two motions one step apart (cubic in position, linear in the derivatives)."""
    u, h = fraction, step_s
    position = (
        (1 + 2 * u) * (1 - u) ** 2 * before.position
        + u * (1 - u) ** 2 * h * before.velocity
        + u * u * (3 - 2 * u) * after.position
        + u * u * (u - 1) * h * after.velocity
    )
    return ToolMotion(
        position=position,
        velocity=(1 - u) * before.velocity + u * after.velocity,
        acceleration=(1 - u) * before.acceleration + u * after.acceleration,
    )


def tool_poses(positions: Float) -> Float:
    """Return the poses (N, 4, 4) in base of tool positions (N, 6)."""
    tilt = np.concatenate([positions[:, 3:5], np.zeros((len(positions), 1))], axis=1)
    turn = Rotation.from_rotvec(tilt) * Rotation.from_euler("z", positions[:, 5:6])
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, :3] = turn.as_matrix() @ _R_BASE_DOWN
    poses[:, :3, 3] = positions[:, :3]
    return poses


def tool_position(T_base_ee: Float, near_yaw: float) -> Float:
    """Return the tool position (6,) of a pose (4, 4), with the yaw written nearest to `near_yaw`."""
    turn = Rotation.from_matrix(T_base_ee[:3, :3] @ _R_BASE_DOWN)
    _, _, qz, qw = turn.as_quat()
    yaw = 2.0 * float(np.arctan2(qz, qw))
    tilt = (turn * Rotation.from_euler("z", yaw).inv()).as_rotvec()
    yaw += 2.0 * np.pi * round((near_yaw - yaw) / (2.0 * np.pi))
    return np.array([*T_base_ee[:3, 3], tilt[0], tilt[1], yaw])
