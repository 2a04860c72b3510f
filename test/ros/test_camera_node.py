"""The camera node over DDS and over the exchange: same views, same stamps, same truth."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, MultiDOFJointState
from std_msgs.msg import String
from waiting import wait_until

from vla3d_ros.camera.node import CameraNode
from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.source import CameraSources, SourceHealth
from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import ActionChunk, ArmChunk, CameraImage, CameraModel, Observation, RobotState
from vla3d_ros.evaluation.referring import referring_prompt
from vla3d_ros.geometry import Transform
from vla3d_ros.policy import node as policy_module
from vla3d_ros.policy.backend import PolicyDescription
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.camera_topics import depth_from_msg, depth_to_msg
from vla3d_ros.ros.prompt_topic import prompt_to_msg

pytestmark = pytest.mark.ros

WIDTH, HEIGHT, PERIOD_S = 64, 48, 1 / 30
K = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
MOUNTS = {"head": ("base", [0.0, 0.0, 1.0], [0.5, -0.5, 0.5, -0.5]), "wrist": ("tool", [0.1, 0.0, 0.0], [0, 0, 0, 1])}


class DrawnSource:
    """A camera that draws its tick; it can die, and it can give depth."""

    dead: frozenset[str] = frozenset()

    def __init__(self, spec: CameraSpec) -> None:
        self.name, self.health, self._spec = spec.name, SourceHealth(temperature_c=36.6), spec
        self._last = -1

    def open(self) -> CameraModel:
        return self._spec.model

    def read(self, timeout_s: float) -> CameraImage | None:
        tick = int(time.time() / PERIOD_S)
        if tick == self._last:
            time.sleep(0.002)
            return None
        self._last = tick
        if self.name in DrawnSource.dead:
            return None
        stamp_ns = int(tick * PERIOD_S * 1e9) + len(self.name) * 1_000_000 - 5_000_000
        rgb = np.full((HEIGHT, WIDTH, 3), tick % 256, np.uint8)
        rgb[:, :, 1] = len(self.name)
        depth_m = np.full((HEIGHT, WIDTH), 0.5, np.float32) if self._spec.settings.get("depth") else None
        return CameraImage(camera=self.name, rgb=rgb, stamp_ns=stamp_ns, receive_ns=time.time_ns(), depth_m=depth_m)

    def close(self) -> None:
        pass


@pytest.fixture
def rig_file(tmp_path) -> Path:
    cameras = {
        name: {
            "source": "drawn",
            "width_px": WIDTH,
            "height_px": HEIGHT,
            "K": K,
            "distortion": [0.1, -0.2, 0.001, 0.002, 0.05],
            "mount": {"parent_frame": parent, "optical_frame": f"{name}_optical", "position_m": p, "xyzw": xyzw},
            "settings": {"depth": name == "head"},
        }
        for name, (parent, p, xyzw) in MOUNTS.items()
    }
    file = tmp_path / "rig.yaml"
    file.write_text(yaml.safe_dump({"anchor": "head", "rate_hz": 30.0, "max_skew_ms": 15.0, "cameras": cameras}))
    return file


@pytest.fixture
def ros(tmp_path, rig_file):
    """Give nodes a namespace and parameters as a process would; afterwards rclpy is as it was."""
    parameters = {
        "rig_file": str(rig_file),
        "backend": "watching",
        "backend_config": "none",
        "base_frame": "base",
        "arm_names": ["arm"],
        "ee_frames": ["tool"],
        "gripper_strokes_m": [0.08],
        "joint_counts": [1],
        "joint_names": ["joint1"],
        "min_views": 1,
    }
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    was_running = rclpy.ok()
    rclpy.try_shutdown()
    rclpy.init(args=["--ros-args", "-r", "__ns:=/t", "--params-file", str(file)])
    graph = Graph()
    try:
        yield graph
    finally:
        DrawnSource.dead = frozenset()
        graph.close()
        rclpy.try_shutdown()
        if was_running:
            rclpy.init()


class Graph:
    """Nodes and an ear in one executor, spun by the test."""

    def __init__(self) -> None:
        self.executor = SingleThreadedExecutor()
        self.ear = self.add(rclpy.create_node("ear", start_parameter_services=False))
        self.nodes: list = []
        self.messages: dict[str, list] = defaultdict(list)

    def add(self, node):
        self.executor.add_node(node)
        return node

    def camera(self, exchange: ViewExchange | None = None) -> CameraNode:
        sources = CameraSources()
        sources.offer("drawn", DrawnSource)
        return self.bring_up(CameraNode(sources, exchange))

    def bring_up(self, node):
        self.nodes.append(self.add(node))
        assert node.trigger_configure().name == "SUCCESS" and node.trigger_activate().name == "SUCCESS"
        return node

    def listen(self, kind: type, topic: str, profile=qos.SENSOR) -> list:
        self.ear.create_subscription(kind, topic, self.messages[topic].append, profile)
        return self.messages[topic]

    def spin(self, is_done: Callable[[], bool], what: str, each: Callable[[], None] = lambda: None) -> None:
        def go_on() -> None:
            each()
            self.executor.spin_once(timeout_sec=0.01)

        wait_until(is_done, what, limit_s=20.0, meanwhile=go_on)

    def close(self) -> None:
        for node in self.nodes:
            node.shut_down()
        for node in (*self.nodes, self.ear):
            node.destroy_node()


def stamps(messages: list) -> list[int]:
    return [conversions.stamp_to_ns(msg.header.stamp) for msg in messages]


def test_a_set_has_one_stamp_on_every_topic_and_depth_is_in_millimetres(ros):
    ros.camera()
    heads, wrists = (ros.listen(Image, f"camera/{name}/image_raw") for name in MOUNTS)
    infos = ros.listen(CameraInfo, "camera/wrist/camera_info")
    depths = ros.listen(Image, "camera/head/depth")
    mounts = ros.listen(TransformStamped, "camera/wrist/extrinsics", qos.LATCHED)
    ros.spin(lambda: min(map(len, (heads, wrists, infos, depths))) >= 10 and len(mounts) > 0, "ten sets")
    shared = set(stamps(heads)) & set(stamps(wrists)) & set(stamps(infos)) & set(stamps(depths))
    assert len(shared) >= 8
    assert (heads[0].encoding, heads[0].header.frame_id) == ("rgb8", "head_optical")
    assert (depths[0].encoding, depths[0].header.frame_id) == ("16UC1", "head_optical")
    assert set(np.frombuffer(depths[0].data, "<u2").tolist()) == {500}
    assert mounts[0].header.frame_id == "tool" and mounts[0].child_frame_id == "wrist_optical"
    topics = [name for name, _ in ros.ear.get_topic_names_and_types()]
    assert "/t/camera/wrist/depth" not in topics


def test_jpegs_are_encoded_only_while_somebody_looks(ros, monkeypatch):
    encoded = []
    encode = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *arguments: encoded.append(1) or encode(*arguments))
    ros.camera()
    heads = ros.listen(Image, "camera/head/image_raw")
    ros.spin(lambda: len(heads) >= 10, "ten raw images")
    assert encoded == []
    jpegs = ros.listen(CompressedImage, "camera/head/image_raw/compressed")
    ros.spin(lambda: len(jpegs) >= 5, "five jpegs")
    assert "jpeg" in jpegs[-1].format
    decoded = cv2.imdecode(np.asarray(jpegs[-1].data), cv2.IMREAD_COLOR)[:, :, ::-1]
    same = [msg for msg in heads if msg.header.stamp == jpegs[-1].header.stamp]
    if same:
        raw = conversions.image_from_msg("head", same[0], 0).rgb
        assert np.abs(decoded.astype(int) - raw).max() <= 4


@pytest.mark.parametrize("dead", MOUNTS)
def test_diagnostics_name_the_dead_camera_while_the_other_goes_on(ros, dead):
    camera = ros.camera()
    other = next(name for name in MOUNTS if name != dead)
    images = ros.listen(Image, f"camera/{other}/image_raw")
    reports = ros.listen(DiagnosticArray, "/diagnostics", qos.EVENT)
    ros.spin(lambda: len(images) >= 10 and camera.diagnose()[0], "a healthy start")
    values = camera.diagnose()[2]
    assert float(values[f"{other}.rate_hz"]) == pytest.approx(30, abs=6)
    assert values[f"{other}.temperature_c"] == "36.6" and int(values[f"{other}.captured"]) >= 10
    assert {f"{dead}.dropped", f"{dead}.late", "skew_p50_ms", "skew_p99_ms", "age_ms"} <= set(values)
    DrawnSource.dead = frozenset({dead})
    ros.spin(lambda: f"missing views: {dead}" in camera.diagnose()[1], "the dead camera's name")
    count = len(images)
    ros.spin(lambda: len(images) >= count + 20, "images of the camera that is alive")
    ros.spin(lambda: any(f"missing views: {dead}" in msg.status[0].message for msg in reports), "/diagnostics")
    DrawnSource.dead = frozenset()
    ros.spin(lambda: camera.diagnose()[0], "its return")


class WatchingBackend:
    """Remembers what it is shown."""

    description = PolicyDescription(name="watching", cameras=tuple(MOUNTS), arms=("arm",), steps=2, dt_ns=33_333_333)

    def __init__(self, **needs) -> None:
        self.seen: dict[int, Observation] = {}
        self.description = replace(self.description, **needs)

    def reset(self, instruction: str) -> None: ...

    def infer(self, observation: Observation) -> ActionChunk:
        self.seen[observation.stamp_ns] = observation
        arm = ArmChunk(arm="arm", Ts_ee0_ee=np.stack([np.eye(4)] * 2), gripper_opening=np.ones(2))
        return ActionChunk(stamp_ns=observation.stamp_ns, dt_ns=33_333_333, arms=(arm,))

    def close(self) -> None: ...


class Robot:
    """Publishes the states of an arm that swings, and instructions."""

    def __init__(self, ear) -> None:
        self._joints = ear.create_publisher(JointState, "joint_states", qos.SENSOR)
        self._ee = ear.create_publisher(MultiDOFJointState, "ee_state", qos.EVENT)
        self._instruction = ear.create_publisher(String, "instruction", qos.LATCHED)

    def instruct(self, instruction: str) -> None:
        self._instruction.publish(String(data=instruction))

    def move(self) -> None:
        now_ns = time.time_ns()
        q = np.array([np.sin(now_ns / 1e9)])
        self._joints.publish(conversions.joint_state_to_msg(["joint1"], q, np.zeros(1), np.zeros(1), now_ns))
        T_base_ee = Transform.from_rotation(np.eye(3), (float(q[0]), 0, 0.5))
        state = RobotState(
            arm="arm",
            stamp_ns=now_ns,
            joint_names=("joint1",),
            q=q,
            dq=np.zeros(1),
            T_base_ee=T_base_ee,
            gripper_opening=0.5,
        )
        self._ee.publish(conversions.ee_state_to_msg([state], "base", {"arm": 0.08}))


def watch_both_ways(ros, monkeypatch, **needs) -> tuple[WatchingBackend, WatchingBackend]:
    """Show one policy messages and another arrays of the same process, until they have seen 20 observations alike."""
    over_dds, in_process = WatchingBackend(**needs), WatchingBackend(**needs)
    backends = iter((over_dds, in_process))
    monkeypatch.setattr(policy_module, "load_backend", lambda kind, config: next(backends))
    exchange = ViewExchange()
    ros.bring_up(policy_module.PolicyNode())
    ros.bring_up(policy_module.PolicyNode(exchange))
    ros.camera(exchange)
    robot = Robot(ros.ear)
    robot.instruct("look")
    ros.spin(lambda: len(set(over_dds.seen) & set(in_process.seen)) >= 20, "20 observations seen both ways", robot.move)
    return over_dds, in_process


def test_arrays_and_messages_give_the_policy_the_same_observations(ros, monkeypatch):
    over_dds, in_process = watch_both_ways(ros, monkeypatch)
    for stamp_ns in set(over_dds.seen) & set(in_process.seen):
        assert_same(over_dds.seen[stamp_ns], in_process.seen[stamp_ns])


def test_a_policy_that_looks_at_depth_gets_it_both_ways_where_a_camera_gives_any(ros, monkeypatch):
    for backend in watch_both_ways(ros, monkeypatch, depth_cameras=tuple(MOUNTS)):
        later = list(backend.seen.values())[5:]
        with_depth = [view for seen in later for view in seen.views if view.depth_m is not None]
        assert {view.camera for view in with_depth} == {"head"}, "the wrist camera gives none, and none is made up"
        heads = [view for seen in later for view in seen.views if view.camera == "head"]
        assert len(with_depth) >= 0.8 * len(heads)
        for view in with_depth:
            assert view.depth_m.shape == (HEIGHT, WIDTH)
            np.testing.assert_allclose(view.depth_m, 0.5, atol=5e-4)


def test_a_prompt_goes_with_the_instruction_that_speaks_of_its_mask_and_with_no_other(ros, monkeypatch):
    backend = WatchingBackend()
    monkeypatch.setattr(policy_module, "load_backend", lambda kind, config: backend)
    node = ros.bring_up(policy_module.PolicyNode())
    ros.camera()
    robot = Robot(ros.ear)
    publisher = ros.ear.create_publisher(Image, "policy/prompt", qos.LATCHED)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:40] = True
    drawn = referring_prompt("wrist", np.full((HEIGHT, WIDTH, 3), 90, np.uint8), mask, "green")

    def seen_with(words: str) -> list[Observation]:
        return [seen for seen in backend.seen.values() if seen.instruction == words]

    robot.instruct("take the object with the green-colored mask")
    ros.spin(lambda: "green mask" in node.diagnose()[1], "the refusal", robot.move)
    assert not node.diagnose()[0] and "policy/prompt" in node.diagnose()[1] and not backend.seen
    publisher.publish(prompt_to_msg(drawn, "wrist_optical", 1))
    ros.spin(lambda: len(backend.seen) >= 3, "observations with the prompt", robot.move)
    for seen in backend.seen.values():
        assert (seen.prompt.camera, seen.prompt.colour) == ("wrist", "green")
        np.testing.assert_array_equal(seen.prompt.rgb, drawn.rgb)
    robot.instruct("take the mug")
    ros.spin(lambda: len(seen_with("take the mug")) >= 3, "observations of the next task", robot.move)
    assert all(seen.prompt is None for seen in seen_with("take the mug"))
    count = len(backend.seen)
    robot.instruct("now the object with the green-colored mask")
    ros.spin(lambda: "green mask" in node.diagnose()[1], "the refusal of a prompt that was used before", robot.move)
    assert not seen_with("now the object with the green-colored mask") and len(backend.seen) <= count + 3


def test_a_policy_that_needs_a_prompt_is_shown_nothing_without_one_and_says_so(ros, monkeypatch):
    backend = WatchingBackend(requires_prompt=True)
    monkeypatch.setattr(policy_module, "load_backend", lambda kind, config: backend)
    node = ros.bring_up(policy_module.PolicyNode())
    ros.camera()
    robot = Robot(ros.ear)
    robot.instruct("take the mug")
    ros.spin(lambda: "needs a prompt picture" in node.diagnose()[1], "the refusal", robot.move)
    assert not node.diagnose()[0] and not backend.seen


def assert_same(one: Observation, other: Observation) -> None:
    assert (one.stamp_ns, one.missing_views, one.instruction) == (
        other.stamp_ns,
        other.missing_views,
        other.instruction,
    )
    assert [view.camera for view in one.views] == [view.camera for view in other.views]
    for a, b in zip(one.views, other.views, strict=True):
        assert a.stamp_ns == b.stamp_ns and a.depth_m is None and b.depth_m is None
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.model.K, b.model.K)
        np.testing.assert_array_equal(a.model.distortion, b.model.distortion)
        assert (a.model.width_px, a.model.height_px) == (b.model.width_px, b.model.height_px)
        if a.camera == "head":
            np.testing.assert_allclose(a.T_base_camera.matrix, b.T_base_camera.matrix, atol=1e-12)


def test_depth_survives_the_message_and_what_does_not_fit_is_no_return():
    depth_m = np.array([[0.5, np.nan, 70.0], [1.2344, 0.0, 65.535]], np.float32)
    back_m = depth_from_msg(depth_to_msg(depth_m, "head_optical", 5))
    np.testing.assert_allclose(back_m, [[0.5, np.nan, np.nan], [1.234, np.nan, 65.535]], atol=1e-6)
