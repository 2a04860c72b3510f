"""The graph as a stranger sees it: separate processes, looked at through DDS only. Times are ROS time."""

import os
import signal

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.errors import TransportError
from vla3d_ros.evaluation.live_trials import go_home, run_live_trial
from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import stamp_to_ns
from vla3d_ros.ros.domain import check_nodes_absent
from vla3d_ros.ros.graph import running_nodes

pytestmark = [pytest.mark.ros, pytest.mark.slow]

CAMERAS = ("head", "side", "wrist")
S = 1_000_000_000
MOVING_RAD_S = 0.4
RESTING_RAD_S = 0.02


def stamp_of(msg) -> int:
    return stamp_to_ns(msg.header.stamp)


def rate_hz(stamps: list[int]) -> float:
    """The rate at which stamps follow one another, also where a slow ear has missed a few."""
    return S / float(np.median(np.diff(stamps)))


def joints_of(msg: JointState) -> tuple[int, np.ndarray, np.ndarray]:
    arm = [index for index, name in enumerate(msg.name) if "finger" not in name]
    return stamp_of(msg), np.array(msg.position)[arm], np.array(msg.velocity)[arm]


def start_moving(graph, seed: int) -> None:
    """Home, place, arm and instruct, and wait until the arm is on its way."""
    runner, ear = graph.runner, graph.ear
    go_home(runner)
    instruction = runner.place(seed)
    runner.arm()
    armed_ns = runner.status().now_ns  # what was not read yet is from the way home
    runner.instruct(instruction)
    ear.listen(JointState, "/fr3/joint_states", keep=joints_of)
    ear.clear()
    joints = ear.messages["/fr3/joint_states"]
    is_moving = lambda: joints[-1][0] > armed_ns and np.abs(joints[-1][2]).max() > MOVING_RAD_S  # noqa: E731
    ear.wait(lambda: bool(joints) and is_moving(), "the arm to move")


def assert_inside_limits(graph, joints: list) -> None:
    limits = graph.deployment.embodiment.arms[0].limits
    q = np.array([entry[1] for entry in joints])
    dq = np.array([entry[2] for entry in joints])
    assert (q >= limits.q_lower).all() and (q <= limits.q_upper).all()
    lower, upper = limits.velocity_bounds(q)
    assert (dq >= lower).all() and (dq <= upper).all()
    stamps = np.array([entry[0] for entry in joints])
    over_20_ms = np.searchsorted(stamps, stamps + S // 50)
    has_later = over_20_ms < len(stamps)
    seconds = (stamps[over_20_ms[has_later]] - stamps[has_later])[:, None] / S
    ddq = (dq[over_20_ms[has_later]] - dq[has_later]) / seconds
    worst = np.unravel_index(np.argmax(np.abs(ddq) / limits.acceleration), ddq.shape)
    at_s = (stamps[-1] - stamps[worst[0]]) / S
    message = f"{ddq[worst]:.2f} rad/s^2 at joint {worst[1]}, {at_s:.3f} s before the end"
    assert (np.abs(ddq) <= limits.acceleration).all(), message


def test_nodes_carry_the_names_of_the_drawing(graph):
    names = {f"{ns}/{name}" for name, ns in graph.ear.node.get_node_names_and_namespaces()}
    assert {"/fr3/camera", "/fr3/policy", "/fr3/adapter", "/fr3/recorder", "/fr3/twin"} <= names


def test_topics_have_the_types_and_qos_that_rviz_and_ros2_control_expect(graph):
    node = graph.ear.node
    types = dict(node.get_topic_names_and_types())
    assert types["/fr3/camera/head/image_raw"] == ["sensor_msgs/msg/Image"]
    assert types["/fr3/policy/chunk"] == ["trajectory_msgs/msg/MultiDOFJointTrajectory"]
    assert types["/fr3/fr3_arm_controller/joint_trajectory"] == ["trajectory_msgs/msg/JointTrajectory"]
    assert types["/tf_static"] == ["tf2_msgs/msg/TFMessage"]
    (command,) = node.get_publishers_info_by_topic("/fr3/fr3_arm_controller/joint_trajectory")
    assert command.node_name == "adapter"
    assert command.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert command.qos_profile.durability == DurabilityPolicy.VOLATILE
    for topic in ("/tf_static", "/fr3/camera/wrist/extrinsics", "/fr3/adapter/state"):
        assert node.get_publishers_info_by_topic(topic)[0].qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def test_nobody_who_acts_looks_at_the_truth(graph):
    node = graph.ear.node
    truths = [topic for topic, _ in node.get_topic_names_and_types() if topic.startswith("/twin/")]
    assert {"/twin/truth", "/twin/judge"} <= set(truths)
    for topic in truths:
        readers = {info.node_name for info in node.get_subscriptions_info_by_topic(topic)}
        assert readers <= {"recorder", "trial_runner"}


def test_rates_hold_in_ros_time_and_a_chunk_is_stamped_with_its_observation(graph):
    ear, runner = graph.ear, graph.runner
    for camera in CAMERAS:
        ear.listen_to_stamps(Image, f"/fr3/camera/{camera}/image_raw")
        ear.listen_to_stamps(CameraInfo, f"/fr3/camera/{camera}/camera_info")
    ear.listen(JointState, "/fr3/joint_states", keep=joints_of)
    ear.listen(MultiDOFJointTrajectory, "/fr3/policy/chunk", qos.EVENT, keep=stamp_of)
    runner.reset_stop()
    runner.instruct(runner.place(3))  # disarmed: the policy looks and plans, nothing moves
    heard = ear.messages
    ear.wait(lambda: bool(heard["/fr3/policy/chunk"]), "the first chunk")
    ear.clear()
    heard = ear.messages
    first_ns = graph.runner.status().now_ns
    ear.wait(lambda: graph.runner.status().now_ns > first_ns + 5 * S, "five seconds of ROS time")
    for camera in CAMERAS:
        assert rate_hz(heard[f"/fr3/camera/{camera}/image_raw"]) == pytest.approx(30.0, rel=0.05)
        assert rate_hz(heard[f"/fr3/camera/{camera}/camera_info"]) == pytest.approx(30.0, rel=0.05)
    assert rate_hz([entry[0] for entry in heard["/fr3/joint_states"]]) >= 100.0
    chunks = heard["/fr3/policy/chunk"]
    assert rate_hz(chunks) == pytest.approx(30.0, rel=0.1)
    topics = [f"/fr3/camera/{camera}/{name}" for camera in CAMERAS for name in ("image_raw", "camera_info")]
    images = {stamp for topic in topics for stamp in heard[topic]}
    inside = {stamp for stamp in chunks if min(images) <= stamp <= max(images)}
    assert len(inside) >= 100
    assert inside <= images
    moved = np.ptp([entry[1] for entry in heard["/fr3/joint_states"]], axis=0)
    assert moved.max() < 1e-3
    runner.instruct("")


def test_every_camera_frame_is_connected_to_the_base(graph):
    ear = graph.ear
    ear.listen(TFMessage, "/tf", qos.EVENT)
    ear.listen(TFMessage, "/tf_static", qos.LATCHED)
    ear.wait(lambda: bool(ear.messages["/tf"]) and bool(ear.messages["/tf_static"]), "/tf and /tf_static")
    parents = {
        transform.child_frame_id: transform.header.frame_id
        for topic in ("/tf", "/tf_static")
        for msg in ear.messages[topic]
        for transform in msg.transforms
    }
    arm = graph.deployment.embodiment.arms[0]
    assert parents["wrist_optical_frame"] == arm.ee_frame
    for camera in CAMERAS:
        frame = f"{camera}_optical_frame"
        while frame in parents:
            frame = parents[frame]
        assert frame == arm.base_frame


def test_every_node_reports_its_health(graph):
    ear = graph.ear
    ear.listen(DiagnosticArray, "/diagnostics", qos.EVENT, keep=lambda msg: [status.name for status in msg.status])
    heard = ear.messages["/diagnostics"]
    expected = set(graph.deployment.node_names)
    ear.wait(lambda: expected <= {name for names in heard for name in names}, f"diagnostics of {sorted(expected)}")


def test_a_trial_succeeds_and_its_bag_holds_everything(graph):
    trial = run_live_trial(graph.runner, trial=1, seed=17, timeout_s=40.0)
    assert trial.outcome == "success", trial.reason
    counts = BagReader(trial.bag).counts
    for camera in CAMERAS:
        assert counts[f"/fr3/camera/{camera}/image_raw"] > 100
        assert counts[f"/fr3/camera/{camera}/camera_info"] > 100
        assert counts[f"/fr3/camera/{camera}/extrinsics"] >= 1
    for topic in (
        "/fr3/joint_states", "/fr3/ee_state", "/fr3/policy/chunk", "/fr3/policy/report", "/fr3/adapter/verdict",
        "/fr3/fr3_arm_controller/joint_trajectory", "/fr3/adapter/gripper_command", "/fr3/instruction", "/fr3/session",
        "/tf", "/tf_static", "/diagnostics",
    ):  # fmt: skip
        assert counts.get(topic, 0) >= 1, f"{topic} is not in the bag"


def test_an_unknown_colour_leaves_the_policy_idle_and_says_what_it_knows(graph):
    ear = graph.ear
    heard: list[str] = []
    graph.ear.node.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda msg: heard.extend(status.message for status in msg.status if status.name == "/fr3/policy"),
        qos.EVENT,
    )
    graph.runner.instruct("pick up the pink cube and place it on the cyan pad")
    ear.wait(lambda: any("pink" in message for message in heard), "the policy to object")
    objection = next(message for message in heard if "pink" in message)
    assert all(colour in objection for colour in ("red", "green", "blue", "yellow"))
    graph.runner.instruct("")


def test_a_second_graph_in_the_same_domain_is_refused(graph, tmp_path):
    with (
        pytest.raises(TransportError, match=r"namespace '/fr3' is already running on this machine; .*ROS_DOMAIN_ID"),
        running_graph(graph.deployment, tmp_path, is_private=True),
    ):
        pass
    seen: set[str] = set()

    def is_discovered() -> bool:
        seen.update(running_nodes(1.0))
        return "/fr3/adapter" in seen

    graph.ear.wait(is_discovered, "discovery of the first graph")
    with pytest.raises(TransportError, match=r"node '/fr3/adapter' is already running; .*ROS_DOMAIN_ID"):
        check_nodes_absent(seen, graph.deployment.node_names, domain_id=0)


def test_the_stop_service_halts_the_arm_within_100_ms_inside_its_limits(graph):
    ear = graph.ear
    ear.listen(DiagnosticStatus, "/fr3/adapter/verdict", qos.EVENT)
    start_moving(graph, seed=5)
    graph.runner._trigger("adapter/stop")
    verdicts = ear.messages["/fr3/adapter/verdict"]
    ear.wait(lambda: any(verdict.message == "stop" for verdict in verdicts), "the verdict")
    stop = next(verdict for verdict in verdicts if verdict.message == "stop")
    stop_ns = int(next(value.value for value in stop.values if value.key == "stamp_ns"))
    assert any(value.key == "operator" for value in stop.values)
    joints = ear.messages["/fr3/joint_states"]
    ear.wait(lambda: joints[-1][0] > stop_ns + S, "a second after the stop")
    after = [entry for entry in joints if entry[0] >= stop_ns + S // 10]
    assert max(np.abs(entry[2]).max() for entry in after) < RESTING_RAD_S
    assert_inside_limits(graph, joints)
    resting = np.ptp([entry[1] for entry in after], axis=0).max()
    assert resting < 0.005, "the arm crept after the stop"
    assert "operator" in graph.runner.status().stop_reason


def test_killing_the_policy_brings_the_arm_to_rest_and_names_the_reason(graph):
    """Last: there is no policy after it."""
    ear = graph.ear
    start_moving(graph, seed=6)
    joints = ear.messages["/fr3/joint_states"]
    os.kill(graph.supervisor.pid("policy"), signal.SIGKILL)
    killed_ns = graph.runner.status().now_ns  # what was not read yet is from before
    ear.wait(lambda: joints[-1][0] > killed_ns + 2 * S, "two seconds after the kill")
    after = [entry for entry in joints if entry[0] > killed_ns + int(1.2 * S)]
    assert max(np.abs(entry[2]).max() for entry in after) < RESTING_RAD_S
    assert_inside_limits(graph, joints)
    assert "chunk_timeout" in graph.runner.status().stop_reason
    assert "process 'policy' ended with code -9" in graph.supervisor.newly_dead_processes()[0]
