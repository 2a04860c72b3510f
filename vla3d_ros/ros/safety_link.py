"""What safety hears of the graph and the operator, and the stop state everybody can see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future
from std_msgs.msg import Bool, Empty, String

from vla3d_ros.execution_watch import ExecutionWatch
from vla3d_ros.ros import qos

STOP_TOPIC = "/vla3d/stop"
_LOOK_S = 1.0


class SafetyLink:
    """Feeds one `ExecutionWatch`: who commands the arm, what driver and controller say they are, the heartbeat."""

    def __init__(
        self,
        node: Node,
        watch: Callable[[], ExecutionWatch],
        command_topics: Sequence[str],
        now_ns: Callable[[], int],
        controllers: Mapping[str, str],
        description_topic: str = "robot_description",
    ) -> None:
        """Subscribe, and look at the graph every second.

        Args:
            node: The node that commands the arm.
            watch: Gives the watch of the pipeline that is running now.
            command_topics: Topics on which this node must be alone.
            now_ns: The ROS clock.
            controllers: Arm name -> name of its ros2_control controller's node, for arms that have one.
            description_topic: Where the robot's driver publishes its URDF.
        """
        self._node = node
        self._watch = watch
        self._topics = tuple(command_topics)
        self._stop_publisher = node.create_publisher(Bool, STOP_TOPIC, qos.LATCHED)
        self._subscriptions = [
            node.create_subscription(Empty, "heartbeat", lambda _: watch().hear_heartbeat(now_ns()), qos.SENSOR),
            node.create_subscription(String, description_topic, self._on_robot_description, qos.LATCHED),
        ]
        self._unanswered = {arm: AsyncParameterClient(node, controller) for arm, controller in controllers.items()}
        self._controllers = dict(controllers)
        self._timer = node.create_timer(_LOOK_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def look(self) -> None:
        """Tell the watch who publishes on the command topics now; ask controllers that have come up what they move.

        They are asked at every look until they have answered: an answer may be lost.
        """
        self._watch().hear_publishers(self._publishers())
        for arm, client in self._unanswered.items():
            if client.services_are_ready():
                client.get_parameters(["joints"], partial(self._on_controller_joints, arm))

    def announce(self, is_stopped: bool) -> None:
        """Publish the latched stop state."""
        self._stop_publisher.publish(Bool(data=is_stopped))

    def _publishers(self) -> Mapping[str, list[str]]:
        found = {}
        for topic in self._topics:
            infos = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
            found[topic] = [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos]
        return found

    def _on_robot_description(self, msg: String) -> None:
        self._watch().hear_robot_description(msg.data)

    def _on_controller_joints(self, arm: str, future: Future) -> None:
        self._unanswered.pop(arm, None)
        values = future.result().values
        if values and values[0].string_array_value:
            self._watch().hear_controller_joints(arm, self._controllers[arm], values[0].string_array_value)
