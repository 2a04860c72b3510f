"""Cartesian controllers in front of an arm: a stamped pose is where the tip should be.

Three kinds, told apart by their topic. CRISP (`target_pose`) ignores the frame its message names, whatever it is, and
pulls with a force that is clipped: towards a target far away it goes step by step. FZI's controllers (`target_frame`)
ignore a message whose frame is not their base link, and one with NaN. Neither has a timeout; on activation both hold.
MoveIt Servo (`pose_target_cmds`) takes poses only after it was switched to them, drops a message that is older than its
timeout, and goes no faster than its scale, here by one message at a time.
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
_SERVO_TOPIC = "pose_target_cmds"
_SERVO_TIMEOUT_S, _SERVO_M_S, _SERVO_RAD_S = 0.1, 0.4, 0.8  # the defaults of its parameters
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
        kind = command.topic.rsplit("/", 1)[-1]
        self._is_fzi, self._is_servo = kind == _FZI_TOPIC, kind == _SERVO_TOPIC
        self._takes_poses = not command.servo_switch
        self._previous_ns: int | None = None
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
        if self._is_servo and not self._takes_poses:
            return "Command type has not been set, cannot accept input"
        q = self._follower.reference_q
        if q is None or (self._is_servo and (now_ns - message.stamp_ns) * 1e-9 >= _SERVO_TIMEOUT_S):
            return None
        T_base_ee = self._clipped(self._T_base_frame @ message.T_frame_tip @ self._T_tip_ee, q, now_ns)
        solution = self._kinematics.solve_chunk(np.repeat(T_base_ee.matrix[None], _STEPS, axis=0), q)
        self._follower.follow(solution.q[-1], _LAW)
        return None

    def take_poses(self) -> None:
        """Switched to poses, as MoveIt Servo has to be."""
        self._takes_poses = True

    def update(self, now_ns: int, q: Float, dq: Float) -> tuple[Float, Float]:
        """Advance one control period."""
        return self._follower.update(now_ns, q)

    def reset(self) -> None:
        """Freshly activated: hold."""
        self._follower.reset()

    def _clipped(self, T_base_target: Transform, q: Float, now_ns: int) -> Transform:
        """Return a target no farther away than the controller's clipped error lets it pull, or its speed lets it go."""
        if self._is_fzi:
            return T_base_target
        clip_m, clip_rad = self._reach(now_ns) if self._is_servo else (_CLIP_M, _CLIP_RAD)
        T_base_ee = self._kinematics.forward(q)
        twist = log_se3((T_base_ee.inverse() @ T_base_target).matrix)
        far = max(float(np.linalg.norm(twist[:3])) / clip_m, float(np.linalg.norm(twist[3:])) / clip_rad, 1.0)
        return T_base_ee @ Transform(exp_se3(twist / far))

    def _reach(self, now_ns: int) -> tuple[float, float]:
        """Return how far (m, rad) Servo goes ahead of its reference for one message.

        What its speed allows since the message before, and the lag of the arm's own servo on top.
        """
        previous_ns = now_ns if self._previous_ns is None else self._previous_ns
        self._previous_ns = now_ns
        elapsed_s = min((now_ns - previous_ns) * 1e-9, _SERVO_TIMEOUT_S) + 2.0 / _LAW.bandwidth_rad_s
        return _SERVO_M_S * elapsed_s, _SERVO_RAD_S * elapsed_s
