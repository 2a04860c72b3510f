"""Topics of the devices that speak ROS: keys of a terminal, a leader arm, tracked hands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String

from vla3d_ros.errors import Vla3dError
from vla3d_ros.geometry import Transform
from vla3d_ros.ros import qos
from vla3d_ros.teleop.device import TeleopDevice
from vla3d_ros.teleop.devices.leader import LeaderArm
from vla3d_ros.teleop.devices.poses import TrackedHands
from vla3d_ros.teleop.keys import KeyStream
from vla3d_ros.teleop.settings import TeleopSettings

KEYS_TOPIC = "teleop/keys"
"""std_msgs/String: what a terminal sent, or an empty text as its heartbeat."""


class TeleopInputs:
    """Hands messages to a device. A message that cannot be read is left out, and what is missing ages."""

    def __init__(self, node: Node, keys: KeyStream, clock_s: Callable[[], float]) -> None:
        """Listen to the terminal.

        Args:
            node: In the robot's namespace.
            keys: The terminal's keys.
            clock_s: Steady time in seconds.
        """
        self._node = node
        self._clock_s = clock_s
        self._subscriptions = [
            node.create_subscription(String, KEYS_TOPIC, lambda msg: keys.hear(msg.data, clock_s()), qos.EVENT)
        ]

    def connect(self, device: TeleopDevice, settings: TeleopSettings) -> None:
        """Listen to what the device speaks; a device that is no topic speaks by itself."""
        if isinstance(device, LeaderArm):
            namespace = str(settings.options["namespace"]).rstrip("/")
            for topic in device.topics:
                on_state = partial(self._on_joint_state, device, topic)
                self._listen(JointState, f"{namespace}/{topic}", on_state)
        if isinstance(device, TrackedHands):
            for index, topic in enumerate(device.pose_topics):
                self._listen(PoseStamped, topic, partial(self._on_pose, device, index))
            for index, topic in enumerate(device.joy_topics):
                self._listen(Joy, topic, partial(self._on_joy, device, index))

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _listen(self, kind: type, topic: str, callback: Callable[..., None]) -> None:
        self._subscriptions.append(self._node.create_subscription(kind, topic, callback, qos.SENSOR))

    def _on_joint_state(self, device: LeaderArm, topic: str, msg: JointState) -> None:
        q = np.array(msg.position, dtype=np.float64)
        if len(q) == len(msg.name):
            device.hear(topic, tuple(msg.name), q, self._clock_s())

    def _on_pose(self, device: TrackedHands, index: int, msg: PoseStamped) -> None:
        p, r = msg.pose.position, msg.pose.orientation
        try:
            T_device_hand = Transform.from_xyzw((p.x, p.y, p.z), (r.x, r.y, r.z, r.w))
        except Vla3dError as error:
            self._node.get_logger().warning(f"hand {index}: {error}", throttle_duration_sec=5.0)
            return
        device.hear_pose(index, T_device_hand, self._clock_s())

    def _on_joy(self, device: TrackedHands, index: int, msg: Joy) -> None:
        device.hear_joy(index, tuple(msg.axes), tuple(msg.buttons), self._clock_s())
