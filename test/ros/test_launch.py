"""`ros2 launch vla3d_ros bringup.launch.py`, for real where launch exists.

launch and launch_pytest are not on the package index; they come with an apt ROS 2, or from their public sources.
"""

import pytest

pytest.importorskip(
    "launch_pytest",
    reason="launch and launch_pytest are not on the package index; run this where an apt ROS 2 is sourced",
)

import launch_pytest
from diagnostic_msgs.msg import DiagnosticArray
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_pytest.actions import ReadyToTest
from rclpy.executors import SingleThreadedExecutor
from waiting import wait_until

from vla3d_ros.deployment import load_deployment
from vla3d_ros.resources import config_dir, share_dir
from vla3d_ros.ros import qos

pytestmark = [pytest.mark.ros, pytest.mark.slow]

DEPLOYMENT = "fr3_tabletop_twin"
WALL_LIMIT_S = 60.0


@launch_pytest.fixture
def bring_up() -> LaunchDescription:
    """Launch the demo's deployment as a user does."""
    source = PythonLaunchDescriptionSource(str(share_dir() / "launch" / "bringup.launch.py"))
    included = IncludeLaunchDescription(source, launch_arguments={"deployment": DEPLOYMENT}.items())
    return LaunchDescription([included, ReadyToTest()])


@pytest.mark.launch(fixture=bring_up)
def test_launch_brings_every_node_of_the_deployment_to_active(ros_context):
    """A node reports 'not active' until bring-up has activated it."""
    import rclpy

    expected = set(load_deployment(DEPLOYMENT, config_dir()).node_names)
    node = rclpy.create_node("launch_test")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    latest: dict[str, str] = {}

    def on_diagnostics(msg: DiagnosticArray) -> None:
        latest.update({status.name: status.message for status in msg.status})

    node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, qos.EVENT)
    wait_until(
        lambda: expected <= set(latest) and not [text for text in latest.values() if text.startswith("not ")],
        f"all of {sorted(expected)} to become active",
        limit_s=WALL_LIMIT_S,
        meanwhile=lambda: executor.spin_once(timeout_sec=0.1),
        told=lambda: latest,
    )
    node.destroy_node()
