"""Topics in front, the vendor's SDK behind, a virtual CAN bus and a fake arm at its end."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python")
pytest.importorskip("piper_sdk", reason="pip install 'vla3d_ros[agx]'")

sys.path.insert(0, str(Path(__file__).parents[1] / "adapter"))
from fake_piper import FakePiper
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from waiting import wait_until

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

        def spin() -> None:
            executor.spin_once(timeout_sec=0.05)

        def command() -> None:
            publisher.publish(JointState(name=names, position=[0.0, 1.0, -1.0, 0.0, 0.5, 0.0]))
            spin()

        wait_until(lambda: fake.joints[1] == 57_296, "the command at the arm", limit_s=20.0, meanwhile=command)
        is_reported = lambda: bool(heard) and heard[-1].position[1] == pytest.approx(1.0, abs=1e-5)  # noqa: E731
        wait_until(is_reported, "the report", limit_s=20.0, meanwhile=spin)
        assert list(heard[-1].name) == [*names, "gripper"]
        assert node.diagnose()[0]
        publisher.publish(JointState(name=names[:3], position=[0.0, 0.0, 0.0]))
        wait_until(lambda: not node.diagnose()[0], "a complaint", limit_s=20.0, meanwhile=spin)
        assert fake.joints[1] == 57_296
    finally:
        node.shut_down()
        executor.shutdown()
        node.destroy_node()
        user.destroy_node()
        fake.close()
