"""Speaks to grippers that serve control_msgs/GripperCommand."""

from __future__ import annotations

from control_msgs.action import GripperCommand
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future

from vla3d_ros.adapter.embodiment import GripperSpec


class GripperClient:
    """Sends openings as action goals, one at a time, and logs what the gripper answers."""

    def __init__(self, node: Node, spec: GripperSpec) -> None:
        self._node = node
        self._spec = spec
        self._client = ActionClient(node, GripperCommand, spec.action)

    def send(self, opening: float) -> None:
        """Send a target.

        Args:
            opening: 0 closed ... 1 open.
        """
        if not self._client.server_is_ready():
            self._node.get_logger().error(
                f"gripper action '{self._spec.action}' is not served; opening {opening:.2f} was not sent; "
                "is the gripper's driver running?"
            )
            return
        goal = GripperCommand.Goal()
        goal.command.position = float(self._spec.command_position(opening))
        goal.command.max_effort = float(self._spec.max_effort_n)
        self._client.send_goal_async(goal).add_done_callback(self._on_response)

    def _on_response(self, future: Future) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._node.get_logger().error(f"gripper action '{self._spec.action}' rejected the goal")
