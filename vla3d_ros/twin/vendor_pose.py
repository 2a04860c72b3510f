"""Cartesian controllers in front of an arm: a stamped pose is where the tip should be.

Two kinds, told apart by their topic. CRISP (`target_pose`) ignores the frame its message names, whatever it is, and
pulls with a force that is clipped: towards a target far away it goes step by step. FZI's controllers (`target_frame`)
ignore a message whose frame is not their base link, and one with NaN. Neither has a timeout; on activation both hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.interface_specs import PoseTargetInterface
from vla3d_ros.adapter.interfaces.messages import PoseMessage, WireMessage
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.geometry import Transform, exp_se3, log_se3
from vla3d_ros.twin.arm_driver import not_understood
from vla3d_ros.twin.setpoint_follower import ServoLaw, SetpointFollower

Float = NDArray[np.float64]

_FZI_TOPIC = "target_frame"
_LAW = ServoLaw(bandwidth_rad_s=25.0)  # an impedance of 500 N/m, as stiff as the controllers' defaults; not measured
_CLIP_M, _CLIP_RAD = 0.1, 0.5
_STEPS = 8  # the inverse kinematics bends each joint by 0.25 rad at most per pose


class PoseTargetDriver:
    """One arm behind a Cartesian controller."""

    is_powered = True
    feedback_scale = 1.0

    def __init__(self, urdf_path: Path, arm: ArmSpec, command: PoseTargetInterface) -> None:
        """Build the controller's own kinematics; it holds until it is told where to go."""
        self._kinematics = ArmKinematics(urdf_path, arm)
        self._command = command
        self._is_fzi = command.topic.rsplit("/", 1)[-1] == _FZI_TOPIC
        links = self._kinematics.place_links(arm.q_home[None])
        poses = [Transform(links[name][0].copy()) for name in (command.frame, command.tip, arm.ee_frame)]
        self._T_base_frame, T_base_tip, T_base_ee = poses
        self._T_tip_ee = T_base_tip.inverse() @ T_base_ee
        self._follower = SetpointFollower()

    def receive(self, message: WireMessage, now_ns: int) -> str | None:
        """Take a target."""
        if not isinstance(message, PoseMessage):
            return not_understood(message)
        if self._is_fzi and message.frame_id != self._command.frame_id:
            return (
                f"Got target pose in wrong reference frame. Expected: {self._command.frame_id}, got {message.frame_id}"
            )
        q = self._follower.reference_q
        if q is None:
            return None
        T_base_ee = self._clipped(self._T_base_frame @ message.T_frame_tip @ self._T_tip_ee, q)
        solution = self._kinematics.solve_chunk(np.repeat(T_base_ee.matrix[None], _STEPS, axis=0), q)
        self._follower.follow(solution.q[-1], _LAW)
        return None

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period."""
        return self._follower.update(now_ns, q)

    def reset(self) -> None:
        """Freshly activated: hold."""
        self._follower.reset()

    def _clipped(self, T_base_target: Transform, q: Float) -> Transform:
        """Return a target no farther away than the controller's clipped error lets it pull."""
        if self._is_fzi:
            return T_base_target
        T_base_ee = self._kinematics.forward(q)
        twist = log_se3((T_base_ee.inverse() @ T_base_target).matrix)
        far = max(float(np.linalg.norm(twist[:3])) / _CLIP_M, float(np.linalg.norm(twist[3:])) / _CLIP_RAD, 1.0)
        return T_base_ee @ Transform(exp_se3(twist / far))
