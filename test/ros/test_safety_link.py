"""What safety hears of a graph, with a node of our own on the other side."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, Empty, String
from waiting import wait_until

from vla3d_ros.ros import qos
from vla3d_ros.ros.safety_link import STOP_TOPIC, SafetyLink

pytestmark = pytest.mark.ros
TOPIC = "/cell/cmd"


class Heard:
    """Stands for the watch and remembers what it was told."""

    def __init__(self):
        self.publishers, self.urdf, self.heartbeats, self.joints = {}, "", [], None

    def hear_publishers(self, publishers):
        self.publishers = publishers

    def hear_robot_description(self, urdf):
        self.urdf = urdf

    def hear_heartbeat(self, now_ns):
        self.heartbeats.append(now_ns)

    def hear_controller_joints(self, arm, controller, joints):
        self.joints = (arm, controller, list(joints))


@pytest.fixture
def graph():
    context = rclpy.Context()
    rclpy.init(context=context)
    ours, theirs = (rclpy.create_node(name, namespace="/cell", context=context) for name in ("adapter", "ctrl"))
    theirs.declare_parameter("joints", Parameter("joints", Parameter.Type.STRING_ARRAY, ["a", "b"]).value)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(ours)
    executor.add_node(theirs)
    heard = Heard()
    command = ours.create_publisher(Empty, TOPIC, qos.COMMAND)
    link = SafetyLink(ours, lambda: heard, [TOPIC], lambda: 7, {"left": "ctrl"})
    yield heard, link, theirs, executor, command
    executor.shutdown()
    ours.destroy_node()
    theirs.destroy_node()
    rclpy.shutdown(context=context)


def spin_until(executor, is_so, what):
    wait_until(is_so, what, limit_s=20.0, meanwhile=lambda: executor.spin_once(timeout_sec=0.05))


def test_the_watch_hears_of_publishers_drivers_controllers_and_the_operator(graph):
    heard, _, theirs, executor, _ = graph
    spin_until(executor, lambda: heard.publishers.get(TOPIC) == ["/cell/adapter"], "our own publisher")
    theirs.create_publisher(String, "robot_description", qos.LATCHED).publish(String(data="<robot/>"))
    heartbeat = theirs.create_publisher(Empty, "heartbeat", qos.SENSOR)
    theirs.create_timer(0.05, lambda: heartbeat.publish(Empty()))
    theirs.create_publisher(Empty, TOPIC, qos.COMMAND)
    spin_until(executor, lambda: len(heard.publishers.get(TOPIC, [])) == 2, "the second publisher")
    assert sorted(heard.publishers[TOPIC]) == ["/cell/adapter", "/cell/ctrl"]
    spin_until(executor, lambda: heard.urdf == "<robot/>", "the robot description")
    spin_until(executor, lambda: 7 in heard.heartbeats, "a heartbeat")
    spin_until(executor, lambda: heard.joints == ("left", "ctrl", ["a", "b"]), "the controller's joints")


def test_a_controller_whose_answer_was_lost_is_asked_again(graph):
    heard, link, _, executor, _ = graph
    client = link._unanswered["left"]
    ask, lost = client.get_parameters, []

    def get_parameters(names, callback):
        return ask(names, callback) if lost else lost.append(names)

    client.get_parameters = get_parameters
    spin_until(executor, client.services_are_ready, "the controller")
    link.look()
    assert lost == [["joints"]]
    link.look()
    spin_until(executor, lambda: heard.joints == ("left", "ctrl", ["a", "b"]), "the controller's joints")
    assert not link._unanswered


def test_a_late_joiner_sees_the_stop_state(graph):
    _, link, theirs, executor, _ = graph
    link.announce(True)
    seen = []
    theirs.create_subscription(Bool, STOP_TOPIC, lambda msg: seen.append(msg.data), qos.LATCHED)
    spin_until(executor, lambda: seen == [True], "the latched stop state")


def test_the_description_of_a_driver_outside_our_namespace_is_heard_where_it_is_published(graph):
    heard, _, theirs, executor, _ = graph
    elsewhere, ours = Heard(), executor.get_nodes()[0]
    SafetyLink(ours, lambda: elsewhere, [TOPIC], lambda: 7, {}, "/robot_description")
    theirs.create_publisher(String, "/robot_description", qos.LATCHED).publish(String(data="<robot/>"))
    spin_until(executor, lambda: elsewhere.urdf == "<robot/>", "the robot description")
    assert heard.urdf == ""
