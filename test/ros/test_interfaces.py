import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python")

from rosbags.typesys import Stores, get_typestore

from vla3d_ros.ros.environment import ros_environment

pytestmark = pytest.mark.ros

GRIPPER_SERVER = """
import rclpy
from control_msgs.action import GripperCommand
from rclpy.action import ActionServer

def close(goal):
    goal.succeed()
    return GripperCommand.Result(position=goal.request.command.position, reached_goal=True)

rclpy.init()
node = rclpy.create_node("gripper")
server = ActionServer(node, GripperCommand, "gripper/command", close)
print("serving", flush=True)
rclpy.spin(node)
"""


def described_hash(package: str, kind: str, name: str) -> str:
    """Read the type hash that was generated with an interface."""
    from ament_index_python.packages import get_package_share_directory

    description = Path(get_package_share_directory(package)) / kind / f"{name}.json"
    hashes = json.loads(description.read_text())["type_hashes"]
    return next(entry["hash_string"] for entry in hashes if entry["type_name"] == f"{package}/{kind}/{name}")


def test_transform_message_has_the_type_hash_of_the_real_one():
    assert described_hash("tf2_msgs", "msg", "TFMessage") == get_typestore(Stores.ROS2_KILTED).hash_rihs01(
        "tf2_msgs/msg/TFMessage"
    )


def test_gripper_action_has_the_fields_drivers_serve():
    from control_msgs.action import GripperCommand

    assert GripperCommand.Goal().command.get_fields_and_field_types() == {"position": "double", "max_effort": "double"}
    expected = {"position": "double", "effort": "double", "stalled": "boolean", "reached_goal": "boolean"}
    assert GripperCommand.Result.get_fields_and_field_types() == expected
    assert GripperCommand.Feedback.get_fields_and_field_types() == expected


def test_gripper_goal_reaches_a_server_in_another_process(ros_context):
    import rclpy
    from control_msgs.action import GripperCommand
    from rclpy.action import ActionClient

    node = rclpy.create_node("gripper_client")
    client = ActionClient(node, GripperCommand, "gripper/command")
    server = subprocess.Popen([sys.executable, "-c", GRIPPER_SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "serving\n"
        assert client.wait_for_server(timeout_sec=10.0)
        goal = GripperCommand.Goal()
        goal.command.position = 0.04
        handle = spin_until_done(node, client.send_goal_async(goal))
        assert handle.accepted
        result = spin_until_done(node, handle.get_result_async()).result
        assert (result.position, result.reached_goal) == (0.04, True)
    finally:
        server.kill()
        server.wait()
        client.destroy()
        node.destroy_node()


def spin_until_done(node, future):
    import rclpy

    rclpy.spin_until_future_complete(node, future, timeout_sec=10.0)
    assert future.done()
    return future.result()


def test_environment_needs_nothing_more():
    assert ros_environment(os.environ) == {}
