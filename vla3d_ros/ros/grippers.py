"""Speaks to grippers that serve an action: control_msgs/GripperCommand or ParallelGripperCommand."""

from __future__ import annotations

from typing import Any

from control_msgs.action import GripperCommand, ParallelGripperCommand
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState

from vla3d_ros.adapter.interface_specs import GripperActionInterface
from vla3d_ros.adapter.interfaces.messages import GripperGoal

PARALLEL = "parallel_gripper_command"
ACTION_TYPES: dict[str, Any] = {"gripper_command": GripperCommand, PARALLEL: ParallelGripperCommand}
"""Action type of each kind of gripper action in a robot's file."""


class GripperClient:
    """Sends goals, one at a time, and logs what the gripper answers."""

    def __init__(self, node: Node, interface: GripperActionInterface) -> None:
        self._node = node
        self._interface = interface
        self._client = ActionClient(node, ACTION_TYPES[interface.kind], interface.action)

    def send(self, goal: GripperGoal) -> None:
        """Send a goal; one that nobody serves is reported and lost."""
        if not self._client.server_is_ready():
            self._node.get_logger().error(
                f"gripper action '{goal.action}' is not served; the goal {goal.position:.4f} was not sent; "
                "is the gripper's driver running?"
            )
            return
        self._client.send_goal_async(goal_to_msg(goal)).add_done_callback(self._on_response)

    def _on_response(self, future: Future) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._node.get_logger().error(f"gripper action '{self._interface.action}' rejected the goal")


def goal_to_msg(goal: GripperGoal) -> Any:
    """Return the action goal of a gripper's command."""
    if goal.kind == PARALLEL:
        command = JointState(name=[goal.joint_name], position=[goal.position], effort=[goal.max_effort_n])
        return ParallelGripperCommand.Goal(command=command)
    msg = GripperCommand.Goal()
    msg.command.position, msg.command.max_effort = goal.position, goal.max_effort_n
    return msg


def goal_from_msg(interface: GripperActionInterface, msg: Any, default_effort_n: float) -> GripperGoal:
    """Return the command of an action goal, either kind.

    Args:
        interface: Kind and name of the action.
        msg: The goal's message.
        default_effort_n: For a ParallelGripperCommand without an effort.
    """
    if interface.kind == PARALLEL:
        position, efforts = msg.command.position[0], list(msg.command.effort) or [default_effort_n]
        effort = efforts[0]
    else:
        position, effort = msg.command.position, msg.command.max_effort
    return GripperGoal(
        action=interface.action,
        kind=interface.kind,
        joint_name=interface.joint_name,
        position=position,
        max_effort_n=effort,
    )
