"""What the adapter says about the steps it executed, as the policy's node hears it."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from vla3d_ros.datatypes import ExecutedSteps
from vla3d_ros.errors import ShapeError
from vla3d_ros.ros import qos


class ExecutedStepsListener:
    """Keeps the newest account of every arm."""

    def __init__(self, node: Node, arms: Sequence[str]) -> None:
        """Subscribe to `adapter/verdict`.

        Args:
            node: Whose executor listens.
            arms: Arms of the policy.
        """
        self._node = node
        self._arms = tuple(arms)
        self._newest: dict[str, ExecutedSteps] = {}
        node.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT)

    @property
    def newest(self) -> tuple[ExecutedSteps, ...]:
        """The newest account of every arm that was heard of, in the policy's order."""
        return tuple(self._newest[arm] for arm in self._arms if arm in self._newest)

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        try:
            self._newest |= {steps.arm: steps for steps in executed_steps_from_msg(msg, self._arms)}
        except ShapeError as error:
            self._node.get_logger().warning(str(error))


def executed_steps_from_msg(msg: DiagnosticStatus, arms: Sequence[str]) -> tuple[ExecutedSteps, ...]:
    """Return the accounts that a message carries among its values, as `ExecutedSteps.values` names them.

    Args:
        msg: A verdict of the adapter, or a report of the policy.
        arms: Arms to look for.

    Raises:
        ShapeError: If an account is incomplete or not of whole numbers.
    """
    values = {entry.key: entry.value for entry in msg.values}
    accounts = []
    for arm in arms:
        keys = [f"{arm}_executed_{what}" for what in ("stamp_ns", "first", "steps")]
        if not any(key in values for key in keys):
            continue
        try:
            stamp_ns, first, count = (int(values[key]) for key in keys)
        except (KeyError, ValueError) as error:
            got = {key: values.get(key) for key in keys}
            raise ShapeError(f"'{msg.name}' says {got} of arm '{arm}'; expected three whole numbers") from error
        accounts.append(ExecutedSteps(arm=arm, chunk_stamp_ns=stamp_ns, first=first, count=count))
    return tuple(accounts)
