"""Speaks to one arm and its gripper in the words of their driver.

A trajectory controller gets each trajectory whole. Everything else gets setpoints: the newest trajectory, sampled when
a steady tick asks. Nothing here judges: what comes in has passed the gate.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.interface_specs import (
    ArmInterface,
    Float64ArrayInterface,
    ForwardPositionInterface,
    JointStateFingerInterface,
    JointStateInterface,
    JointTrajectoryInterface,
    PoseTargetInterface,
)
from vla3d_ros.adapter.interfaces.gripper_messages import GripperSpeaker
from vla3d_ros.adapter.interfaces.messages import (
    ArrayMessage,
    JointStateMessage,
    PoseMessage,
    TrajectoryMessage,
    WireMessage,
)
from vla3d_ros.adapter.interfaces.setpoints import SetpointStream
from vla3d_ros.adapter.urdf_chain import UrdfChain
from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

TopicMessage = TrajectoryMessage | JointStateMessage | ArrayMessage | PoseMessage

_GRIPPER_HZ = 50.0
_MESSAGES: dict[type[ArmInterface], type[TopicMessage]] = {
    JointTrajectoryInterface: TrajectoryMessage,
    ForwardPositionInterface: ArrayMessage,
    JointStateInterface: JointStateMessage,
    PoseTargetInterface: PoseMessage,
}


class _Phrase(Protocol):
    """Puts one setpoint q (J,) into the message of one kind of driver."""

    def __call__(self, q: Float, now_ns: int) -> WireMessage: ...


class ArmSpeaker:
    """Everything that is said to one arm and its gripper."""

    def __init__(self, arm: ArmSpec, urdf_path: Path) -> None:
        """Build what the arm's interface needs.

        Args:
            arm: The arm and its interfaces.
            urdf_path: The robot's URDF; pose targets are computed from it.
        """
        self._arm = arm
        self._opening: float | None = None
        self._stream = SetpointStream()
        self._phrase: _Phrase | None = self._choose_phrase(urdf_path)
        gripper = arm.gripper
        self._gripper = GripperSpeaker(gripper) if gripper and not self._rides_along() else None

    @property
    def tick_hz(self) -> float:
        """How often `tick` has to be called."""
        command = self._arm.command
        return _GRIPPER_HZ if isinstance(command, JointTrajectoryInterface) else command.rate_hz

    @property
    def streams_until_ns(self) -> int | None:
        """When the motion in execution comes to rest, if it rests only as long as ticks come; None otherwise."""
        return self._stream.end_ns

    @property
    def topics(self) -> dict[str, type[TopicMessage]]:
        """Topics on which arm and gripper are commanded, with the kind of message on each."""
        kinds: dict[str, type[TopicMessage]] = {self._arm.command.topic: _MESSAGES[type(self._arm.command)]}
        gripper = self._arm.gripper.command if self._arm.gripper else None
        if isinstance(gripper, JointStateFingerInterface):
            kinds[gripper.topic] = JointStateMessage
        elif isinstance(gripper, Float64ArrayInterface):
            kinds[gripper.topic] = ArrayMessage
        return kinds

    def follow(self, trajectory: JointTrajectory) -> tuple[WireMessage, ...]:
        """Take a checked trajectory, in force at once.

        Returns:
            What has to be sent now; setpoints follow with the ticks.
        """
        command = self._arm.command
        if isinstance(command, JointTrajectoryInterface):
            return (
                TrajectoryMessage(topic=command.topic, trajectory=replace(trajectory, joint_names=command.wire_names)),
            )
        self._stream.follow(trajectory)
        return ()

    def set_opening(self, opening: float, now_ns: int) -> tuple[WireMessage, ...]:
        """Take a target for the gripper, 0 closed ... 1 open.

        Returns:
            What has to be sent now; a target that has to wait follows with a tick.
        """
        self._opening = opening
        if self._gripper is None:
            return ()
        self._gripper.set_opening(opening)
        return self._gripper.due(now_ns)

    def notice_opening(self, opening: float) -> None:
        """Take note of the measured opening: a gripper that rides with the arm is held there until it is told more."""
        if self._opening is None:
            self._opening = opening

    def tick(self, now_ns: int) -> tuple[WireMessage, ...]:
        """Return the setpoint for now, and a gripper's target that has waited long enough."""
        gripper = self._gripper.due(now_ns) if self._gripper else ()
        q = self._stream.sample(now_ns)
        if q is None or self._phrase is None:
            return gripper
        return (*gripper, self._phrase(q, now_ns))

    # ------------------------------------------------------------------------------------------ private

    def _rides_along(self) -> bool:
        """Whether the gripper is an entry of the arm's own messages."""
        gripper = self._arm.gripper
        is_finger = gripper is not None and isinstance(gripper.command, JointStateFingerInterface)
        return (
            is_finger
            and gripper is not None
            and isinstance(self._arm.command, JointStateInterface)
            and isinstance(gripper.command, JointStateFingerInterface)
            and gripper.command.topic == self._arm.command.topic
        )

    def _choose_phrase(self, urdf_path: Path) -> _Phrase | None:
        command = self._arm.command
        if isinstance(command, ForwardPositionInterface):
            return lambda q, now_ns: ArrayMessage(topic=command.topic, values=tuple(q.tolist()))
        if isinstance(command, PoseTargetInterface):
            chain = UrdfChain(urdf_path, self._arm.base_frame, self._arm.joint_names)
            return lambda q, now_ns: _pose_message(command, chain.place_links(q[None]), now_ns)
        if isinstance(command, JointStateInterface):
            return lambda q, now_ns: self._joint_state(command, q, now_ns)
        return None

    def _joint_state(self, command: JointStateInterface, q: Float, now_ns: int) -> WireMessage:
        """All joints of the arm, always; the gripper as the last entry where it rides along.

        For the arm's joints velocity and effort stay empty, or NaN where the gripper needs the field: one driver reads
        any finite value there as a request for another control mode.
        """
        names, positions = command.wire_names, tuple(q.tolist())
        gripper = self._arm.gripper
        if gripper is None or self._opening is None or not self._rides_along():
            return JointStateMessage(topic=command.topic, stamp_ns=now_ns, names=names, positions=positions)
        assert isinstance(gripper.command, JointStateFingerInterface)
        width, effort = float(gripper.command_position(self._opening)), float(gripper.max_effort_n)
        blank = (math.nan,) * len(names)
        if command.speed_percent is not None:
            blank = (0.0,) * len(names)  # the one driver with a speed in this field knows no NaN
        return JointStateMessage(
            topic=command.topic,
            stamp_ns=now_ns,
            names=(*names, gripper.command.joint_name),
            positions=(*positions, width),
            velocities=() if command.speed_percent is None else (*blank, command.speed_percent),
            efforts=(*blank, effort),
        )


def _pose_message(command: PoseTargetInterface, Ts_base_link: dict[str, Float], now_ns: int) -> PoseMessage:
    T_base_frame, T_base_tip = (Transform(Ts_base_link[name][0].copy()) for name in (command.frame, command.tip))
    return PoseMessage(
        topic=command.topic,
        stamp_ns=now_ns,
        frame_id=command.frame_id,
        T_frame_tip=T_base_frame.inverse() @ T_base_tip,
    )
