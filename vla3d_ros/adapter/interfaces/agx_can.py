"""A PiPER on a CAN bus through AgileX's own `piper_sdk`, for those who run no vendor node.

Takes the commands of `agx_arm_ros` (`control/move_js`, `control/joint_states`) with none of its traps: a message
that leaves out a joint, or holds a value that is not finite, moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vla3d_ros.adapter.interfaces.messages import JointStateMessage
from vla3d_ros.errors import DependencyError

_CAN_CONTROL, _MOVE_J, _FULL_SPEED, _JS = 0x01, 0x01, 100, 0xAD
_GRIPPER_ENABLE = 0x01
_MILLIDEGREES = 180_000.0 / math.pi
_MICROMETRES = 1e6
_MILLINEWTONS = 1e3
_GRIPPER_M = (0.0, 0.07)
_FORCES_N = (0.5, 3.0)


class AgxCan:
    """One arm with its gripper on one bus. Streamed positions are followed at once (JS), without a planner."""

    def __init__(self, names: Sequence[str], gripper_name: str, *, channel: str, bustype: str = "socketcan") -> None:
        """Open the bus and start listening; nothing is enabled yet.

        Args:
            names: (6,) names of the joints in commands.
            gripper_name: Name of the gripper in commands.
            channel: Name of the CAN interface, e.g. can0.
            bustype: As in python-can; `virtual` for a bus inside this process.

        Raises:
            DependencyError: If piper_sdk is not installed.
        """
        self._names = tuple(names)
        self._gripper_name = gripper_name
        self._sdk = _connect(channel, bustype)

    def enable(self) -> bool:
        """Ask for power; returns whether all motors have it. Call it until it is True."""
        return bool(self._sdk.EnablePiper())

    def send(self, message: JointStateMessage) -> str | None:
        """Send what a message has of arm and gripper.

        Returns:
            None if everything in it was sent, otherwise why something was not.
        """
        given = dict(zip(message.names, message.positions, strict=False))
        problems = []
        if any(name in given for name in self._names):
            problems.append(self._send_joints(given))
        if self._gripper_name in given:
            force_n = dict(zip(message.names, message.efforts, strict=False)).get(self._gripper_name, _FORCES_N[0])
            problems.append(self._send_gripper(given[self._gripper_name], force_n))
        return "; ".join(problem for problem in problems if problem) or None

    def positions(self) -> dict[str, float] | None:
        """Return what the arm reports, rad and m by name; None before its first report."""
        joints, gripper = self._sdk.GetArmJointMsgs(), self._sdk.GetArmGripperMsgs()
        if joints.time_stamp <= 0:
            return None
        found = {
            name: getattr(joints.joint_state, f"joint_{index}") / _MILLIDEGREES
            for index, name in enumerate(self._names, start=1)
        }
        return found | {self._gripper_name: gripper.gripper_state.grippers_angle / _MICROMETRES}

    def close(self) -> None:
        """Leave the bus. The arm stays enabled where it is: without power it would drop."""
        self._sdk.DisconnectPort()

    def _send_joints(self, given: dict[str, float]) -> str | None:
        missing = [name for name in self._names if name not in given]
        broken = [name for name in self._names if not math.isfinite(given.get(name, 0.0))]
        if missing or broken:
            return f"not sent: joints {missing} are missing, joints {broken} are not finite; expected all six"
        self._sdk.MotionCtrl_2(_CAN_CONTROL, _MOVE_J, _FULL_SPEED, _JS)
        self._sdk.JointCtrl(*(round(given[name] * _MILLIDEGREES) for name in self._names))
        return None

    def _send_gripper(self, width_m: float, force_n: float) -> str | None:
        if not (_GRIPPER_M[0] <= width_m <= _GRIPPER_M[1] and _FORCES_N[0] <= force_n <= _FORCES_N[1]):
            return f"gripper not sent: {width_m:g} m, {force_n:g} N; expected {_GRIPPER_M} m, {_FORCES_N} N"
        self._sdk.GripperCtrl(round(width_m * _MICROMETRES), round(force_n * _MILLINEWTONS), _GRIPPER_ENABLE, 0)
        return None


def _connect(channel: str, bustype: str) -> Any:
    try:
        from piper_sdk import C_PiperInterface_V2
    except ImportError as error:
        raise DependencyError(
            "an arm on this CAN bus needs the SDK of AgileX; run `pip install 'vla3d_ros[agx]'`"
        ) from error
    sdk = C_PiperInterface_V2(channel, judge_flag=False, can_auto_init=False)
    sdk.CreateCanBus(channel, bustype=bustype, judge_flag=False)
    sdk.ConnectPort()
    return sdk
