"""Topics in front, the vendor's SDK behind, a virtual CAN bus and a fake arm at its end."""

import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python")
pytest.importorskip("piper_sdk", reason="pip install 'vla3d_ros[agx]'")

sys.path.insert(0, str(Path(__file__).parents[1] / "adapter"))
from fake_piper import FakePiper
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState

from vla3d_ros.ros import qos
from vla3d_ros.ros.agx_can_node import AgxCanNode

pytestmark = pytest.mark.ros


def test_commands_reach_the_arm_and_its_joints_come_back(ros_context, monkeypatch):
    import rclpy

    fake = FakePiper("node_bus")
    monkeypatch.setattr(
        "vla3d_ros.ros.agx_can_node.declare",
        lambda node, kind: kind(channel="node_bus", bustype="virtual"),
    )
    node, user = AgxCanNode(), rclpy.create_node("user")
    heard: list[JointState] = []
    user.create_subscription(JointState, "feedback/joint_states", heard.append, qos.SENSOR)
    publisher = user.create_publisher(JointState, "control/move_js", qos.COMMAND)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(user)
    try:
        node.trigger_configure()
        node.trigger_activate()
        names = [f"joint{i}" for i in range(1, 7)]
        deadline = time.monotonic() + 20.0
        while fake.joints[1] != 57_296:
            assert time.monotonic() < deadline, "the command never reached the arm"
            publisher.publish(JointState(name=names, position=[0.0, 1.0, -1.0, 0.0, 0.5, 0.0]))
            executor.spin_once(timeout_sec=0.05)
        while not heard or heard[-1].position[1] != pytest.approx(1.0, abs=1e-5):
            assert time.monotonic() < deadline, "the report never came"
            executor.spin_once(timeout_sec=0.05)
        assert list(heard[-1].name) == [*names, "gripper"]
        assert node.diagnose()[0]
        publisher.publish(JointState(name=names[:3], position=[0.0, 0.0, 0.0]))
        while node.diagnose()[0]:
            assert time.monotonic() < deadline, "nobody complained"
            executor.spin_once(timeout_sec=0.05)
        assert fake.joints[1] == 57_296
    finally:
        node.shut_down()
        executor.shutdown()
        node.destroy_node()
        user.destroy_node()
        fake.close()
