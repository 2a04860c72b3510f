"""From hands to the same `ActionChunk` a policy gives. Pure: no clock, no device, no ROS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.arm_reference import ArmReference
from vla3d_ros.teleop.clutch import Clutch
from vla3d_ros.teleop.device import HandState
from vla3d_ros.teleop.gripper import GripperReference
from vla3d_ros.teleop.motion import Box, Wish, rest, wish_pose, wish_twist
from vla3d_ros.teleop.settings import TeleopSettings

EeState = Mapping[str, tuple[Transform, float]]
"""Arm -> (T_base_ee, opening 0..1), all at one stamp."""


class ArmHand:
    """One arm in somebody's hand: clutch, anchor, reference, gripper."""

    def __init__(self, name: str, settings: TeleopSettings, box: Box | None, T_base_device: Transform) -> None:
        """Start locked, without a pose."""
        self.name = name
        self.clutch = Clutch()
        self.gripper = GripperReference(settings.limits.gripper_per_s)
        self._reference = ArmReference(settings, box)
        self._settings = settings
        self._is_tool = np.array([frame == "tool" for frame in settings.frames])
        self._R_base_device = T_base_device.rotation
        self._hand: HandState | None = None
        self._T_device_closed: Transform | None = None
        self._anchor: tuple[Transform, Transform, float] | None = None

    def hold(self) -> None:
        """Hold until the clutch was seen released."""
        self.clutch.lock()
        self._hand = self._anchor = None

    def follow_arm(self) -> None:
        """Hold, from where the arm is."""
        self.hold()
        self._reference.forget()

    def look(self, hand: HandState) -> None:
        """Take a look at the hand that has this arm."""
        if self.clutch.update(hand.clutch):
            self._T_device_closed = hand.T_device_hand  # it moves on until the next chunk is due
        self._hand = hand
        if not self.clutch.is_closed:
            self._anchor = None
        elif hand.opening is not None:
            self.gripper.want(hand.opening)
        for press in hand.presses:
            self.gripper.press(press)

    def plan(self, stamp_ns: int, T_base_ee: Transform, opening: float, scale: float) -> ArmChunk:
        """Return this arm's part of a chunk, for where the arm is at its stamp."""
        s = self._settings
        wish = self._wish(stamp_ns, T_base_ee, scale)
        return ArmChunk(
            arm=self.name,
            Ts_ee0_ee=self._reference.plan(stamp_ns, T_base_ee, wish),
            gripper_opening=self.gripper.plan(stamp_ns, opening, s.steps, s.dt_s),
        )

    def _wish(self, stamp_ns: int, T_base_ee: Transform, scale: float) -> Wish:
        hand, limits = self._hand, self._settings.limits
        if hand is None or not self.clutch.is_closed:
            return rest
        if hand.twist is not None:
            return wish_twist(hand.twist, self._is_tool, limits, scale)
        if hand.T_device_hand is None:
            return rest
        if self._anchor is None or self._anchor[2] != scale:
            T_base_start = Transform(self._reference.at(stamp_ns, T_base_ee).T_base_ee)
            is_first = self._anchor is None
            T_device_start = self._T_device_closed if is_first and self._T_device_closed else hand.T_device_hand
            self._anchor = (T_base_start, T_device_start, scale)
        return wish_pose(self._target(hand.T_device_hand, self._anchor), limits)

    def _target(self, T_device_hand: Transform, anchor: tuple[Transform, Transform, float]) -> Transform:
        """Return the pose that has moved since the clutch closed as the hand has."""
        T_base_start, T_device_start, scale = anchor
        moved = T_device_hand.translation - T_device_start.translation
        if self._is_tool[0]:
            shift = T_base_start.rotation @ T_device_start.rotation.T @ moved
        else:
            shift = self._R_base_device @ moved
        if self._is_tool[3]:
            R = T_base_start.rotation @ T_device_start.rotation.T @ T_device_hand.rotation
        else:
            turned = T_device_hand.rotation @ T_device_start.rotation.T
            R = self._R_base_device @ turned @ self._R_base_device.T @ T_base_start.rotation
        R = Rotation.from_matrix(R).as_matrix()
        return Transform.from_rotation(R, T_base_start.translation + scale * shift)


class ChunkMaker:
    """All arms of a robot: hands in, chunks out.

    An arm without a hand, with an open clutch or with a lost device holds: its part of the chunk brakes to rest and
    stays. Every chunk ends at rest, so that the arm does, too, if none follows.
    """

    def __init__(
        self,
        settings: TeleopSettings,
        arms: Sequence[str],
        box: Box | None = None,
        T_base_device: Transform | None = None,
    ) -> None:
        """Start with every clutch locked.

        Args:
            settings: Limits, frames and the chunk's shape.
            arms: Names of the arms, in the robot's order.
            box: Where the end effectors may go; None for anywhere.
            T_base_device: How the device's axes lie in the base's; only its rotation counts.
        """
        self._dt_ns = round(settings.dt_s * 1e9)
        T_base_device = T_base_device or Transform.identity()
        self.arms = {arm: ArmHand(arm, settings, box, T_base_device) for arm in arms}

    def look(self, hands: Mapping[str, HandState]) -> None:
        """Take a look at the hand of each arm that has one; the others hold."""
        for name, arm in self.arms.items():
            if name in hands:
                arm.look(hands[name])
            else:
                arm.hold()

    def make(self, stamp_ns: int, ee: EeState, scale: float) -> ActionChunk:
        """Return the chunk for one instant.

        Args:
            stamp_ns: When the arms were measured.
            ee: Where they were.
            scale: Share of full speed, above 0 and at most 1.
        """
        parts = tuple(arm.plan(stamp_ns, *ee[name], scale) for name, arm in self.arms.items())
        return ActionChunk(stamp_ns=stamp_ns, dt_ns=self._dt_ns, arms=parts)

    def hold(self) -> None:
        """Hold everywhere until the clutches were seen released."""
        for arm in self.arms.values():
            arm.hold()

    def follow_arms(self) -> None:
        """Hold, from where the arms are: they do not do what was asked."""
        for arm in self.arms.values():
            arm.follow_arm()
