"""MoveIt Servo takes twists, joint jogs or poses, one kind at a time: asks it for poses whenever a motion begins."""

from __future__ import annotations

import importlib
from typing import Any

from rclpy.node import Node

from vla3d_ros.errors import ConfigError
from vla3d_ros.ros.persistent_client import PersistentClient, Question, ask_again

_MODULE = "moveit_msgs.srv"


def command_type_service() -> Any:
    """Return the type `moveit_msgs/srv/ServoCommandType` of the ROS this process runs in.

    Raises:
        ConfigError: If that ROS has no moveit_msgs.
    """
    try:
        return importlib.import_module(_MODULE).ServoCommandType
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"'servo_switch' needs the service type {_MODULE}.ServoCommandType, which this Python can not import "
            f"({error}); expected a ROS with MoveIt: install ros-$ROS_DISTRO-moveit-msgs and source it, or leave the "
            "key out and switch by hand"
        ) from error


class ServoSwitch:
    """Client of one Servo's `switch_command_type`. A Servo that was started anew has forgotten what it was asked."""

    def __init__(self, node: Node, service: str) -> None:
        """Create the client.

        Args:
            node: Its owner.
            service: Name of the service.

        Raises:
            ConfigError: If this ROS has no moveit_msgs.
        """
        self._node, self._service = node, service
        self._kind = command_type_service()
        self._client = PersistentClient(node, self._kind, service)

    def ask_for_poses(self) -> None:
        """Ask, and log a refusal. Nothing waits for the answer: an arm that does not move is a `tracking` stop."""
        if not self._client.is_ready:
            self._node.get_logger().error(
                f"service '{self._service}' is not served, so poses may be ignored; is MoveIt Servo running, and is "
                "its name the one in the robot's file?"
            )
            return
        request = self._kind.Request()
        request.command_type = self._kind.Request.POSE
        self._client.ask(request, on_silence=ask_again, on_over=self._on_over)

    def _on_over(self, question: Question) -> None:
        if question.response is None:
            self._node.get_logger().error(f"poses may be ignored: {question.problem}")
        elif not question.response.success:
            self._node.get_logger().error(f"'{self._service}' refused to take poses")
