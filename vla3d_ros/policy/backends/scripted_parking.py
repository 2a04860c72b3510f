"""Keeps an arm that has nothing to do out of the way: straight up, then to its parking place, and there it stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import RobotState
from vla3d_ros.policy.backends.scripted_config import ScriptedConfig
from vla3d_ros.policy.backends.scripted_motion import MotionProfile, ToolMotion, interpolate_motion, tool_position

Float = NDArray[np.float64]

_LEVEL_M = 0.02


class ParkingPlanner:
    """One plan, continued from observation to observation, like that of `ScriptedPlanner`."""

    def __init__(self, config: ScriptedConfig, place: Float) -> None:
        """Take the place: tool position (6,) as in `ToolMotion`."""
        self._place = place
        self._yaw = config.task.preferred_yaw_rad
        self._steps = config.chunk.steps
        self._step_s = 1.0 / config.chunk.rate_hz
        self._profile = MotionProfile(config.motion, self._step_s)
        self._rollout: list[ToolMotion] = []
        self._rollout_ns = 0

    def forget(self) -> None:
        """The next plan starts where the arm then is, at rest."""
        self._rollout = []

    def start_from(self, motion: ToolMotion, stamp_ns: int) -> None:
        """Begin with a motion that somebody else has planned so far, rather than at rest."""
        self._rollout, self._rollout_ns = [motion, motion], stamp_ns

    def motion_at(self, stamp_ns: int) -> ToolMotion | None:
        """Return the planned motion at an instant, None before the first plan."""
        if not self._rollout:
            return None
        steps = (stamp_ns - self._rollout_ns) * 1e-9 / self._step_s
        index = int(np.clip(np.floor(steps), 0, len(self._rollout) - 2))
        fraction = float(np.clip(steps - index, 0.0, 1.0))
        return interpolate_motion(self._rollout[index], self._rollout[index + 1], fraction, self._step_s)

    def plan(self, robot: RobotState, stamp_ns: int) -> Float:
        """Return tool positions (T, 6) of the next steps, the first due one step after the stamp."""
        motion = self.motion_at(stamp_ns) or self._resting(robot)
        self._rollout, self._rollout_ns = [motion], stamp_ns
        for _ in range(self._steps):
            motion = self._profile.step(motion, self._goal(motion.position))
            self._rollout.append(motion)
        return np.stack([motion.position for motion in self._rollout[1:]])

    def _resting(self, robot: RobotState) -> ToolMotion:
        position = tool_position(robot.T_base_ee.matrix, self._yaw)
        return ToolMotion(position=position, velocity=np.zeros(6), acceleration=np.zeros(6))

    def _goal(self, position: Float) -> Float:
        """Sideways only once it is nearly as high as the place."""
        if position[2] >= self._place[2] - _LEVEL_M:
            return self._place
        return np.array([*position[:2], *self._place[2:5], position[5]])
