"""What a gripper is told, in its own units, rate-limited: gripper drivers are not made for streams."""

from __future__ import annotations

from vla3d_ros.adapter.embodiment import GripperSpec
from vla3d_ros.adapter.interface_specs import Float64ArrayInterface, GripperActionInterface
from vla3d_ros.adapter.interfaces.messages import ArrayMessage, GripperGoal, JointStateMessage, WireMessage

_LEAST_INTERVAL_NS = 100_000_000


class GripperSpeaker:
    """One gripper that is commanded by messages of its own.

    A target that comes too soon after the last message waits; of several that wait only the newest is sent.
    """

    def __init__(self, spec: GripperSpec) -> None:
        """Take the gripper's interface."""
        self._spec = spec
        self._waiting: float | None = None
        self._sent_ns: int | None = None

    def set_opening(self, opening: float) -> None:
        """Take a target, 0 closed ... 1 open; `due` sends it."""
        self._waiting = opening

    def due(self, now_ns: int) -> tuple[WireMessage, ...]:
        """Return the message for the newest target, if there is one and the last one is old enough."""
        if self._waiting is None or not self._is_free(now_ns):
            return ()
        opening, self._waiting, self._sent_ns = self._waiting, None, now_ns
        return (gripper_message(self._spec, opening, now_ns),)

    def _is_free(self, now_ns: int) -> bool:
        since_ns = None if self._sent_ns is None else now_ns - self._sent_ns
        return since_ns is None or since_ns < 0 or since_ns >= _LEAST_INTERVAL_NS


def gripper_message(spec: GripperSpec, opening: float, now_ns: int) -> WireMessage:
    """Return what moves a gripper to an opening.

    Args:
        spec: The gripper.
        opening: 0 closed ... 1 open.
        now_ns: Stamp, where the message has one.
    """
    interface, position = spec.command, float(spec.command_position(opening))
    if isinstance(interface, GripperActionInterface):
        return GripperGoal(
            action=interface.action,
            kind=interface.kind,
            joint_name=interface.joint_name,
            position=position,
            max_effort_n=float(spec.max_effort_n),
        )
    if isinstance(interface, Float64ArrayInterface):
        return ArrayMessage(topic=interface.topic, values=(position,) * interface.count)
    return JointStateMessage(
        topic=interface.topic,
        stamp_ns=now_ns,
        names=(interface.joint_name,),
        positions=(position,),
        efforts=(float(spec.max_effort_n),),
    )
