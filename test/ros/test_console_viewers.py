"""The layouts for Foxglove and RViz name what the running graph really has: topics, services, types and QoS."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from sensor_msgs.msg import JointState

from vla3d_ros.commands.console_viewers import viewed_of
from vla3d_ros.console.viewers import rviz_config

pytestmark = [pytest.mark.ros, pytest.mark.slow]

RELIABILITY = {"Reliable": ReliabilityPolicy.RELIABLE, "Best Effort": ReliabilityPolicy.BEST_EFFORT}
DURABILITY = {"Transient Local": DurabilityPolicy.TRANSIENT_LOCAL, "Volatile": DurabilityPolicy.VOLATILE}


def test_every_topic_of_the_layouts_is_published_with_its_type_and_every_service_offered(graph):
    viewed, node = viewed_of(graph.deployment), graph.ear.node

    def missing() -> dict[str, str]:
        topics = {
            (name, info.topic_type) for name in viewed.topics() for info in node.get_publishers_info_by_topic(name)
        }
        services = {(name, kind) for name, kinds in node.get_service_names_and_types() for kind in kinds}
        wanted = viewed.topics() | viewed.services()
        return {name: kind for name, kind in wanted.items() if (name, kind) not in topics | services}

    graph.ear.wait(lambda: not missing(), "topics and services of the layouts")
    assert not missing()


def test_rviz_asks_for_no_more_than_what_is_offered(graph):
    viewed, node = viewed_of(graph.deployment), graph.ear.node
    graph.ear.wait(lambda: bool(node.get_publishers_info_by_topic(viewed.topic("policy/spatial"))), "the policy")
    asked = [
        value
        for display in rviz_config(viewed)["Visualization Manager"]["Displays"]
        for setting, value in display.items()
        if setting.endswith("Topic")
    ]
    assert len(asked) > len(viewed.cameras)
    for wish in asked:
        profile = QoSProfile(
            depth=wish["Depth"],
            reliability=RELIABILITY[wish["Reliability Policy"]],
            durability=DURABILITY[wish["Durability Policy"]],
        )
        for info in node.get_publishers_info_by_topic(wish["Value"]):
            verdict, reason = qos_check_compatible(info.qos_profile, profile)
            assert verdict is not QoSCompatibility.ERROR, f"{wish['Value']}: {reason}"


def test_joints_are_published_in_the_order_that_plots_count_in(graph):
    viewed = viewed_of(graph.deployment)
    topic = viewed.topic("joint_states")
    graph.ear.listen(JointState, topic)
    graph.ear.wait(lambda: bool(graph.ear.messages[topic]), "joint states")
    assert tuple(graph.ear.messages[topic][-1].name) == viewed.state_joints
