"""The camera node with a RealSense: the vendor's real pipeline on its software device, seen through DDS."""

import time
from collections import defaultdict

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("pyrealsense2", reason="no pyrealsense2: pip install 'vla3d_ros[realsense]'")

import sys
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, Image

sys.path.insert(0, str(Path(__file__).parents[1] / "camera"))
from software_realsense import FX, HEIGHT, WIDTH, SoftwareCamera, SoftwareContext
from waiting import wait_until

from vla3d_ros.camera.node import CameraNode
from vla3d_ros.camera.realsense import realsense_factory
from vla3d_ros.camera.source import CameraSources
from vla3d_ros.ros import conversions, qos

pytestmark = pytest.mark.ros

SERIALS = {"head": "SIM0021", "side": "SIM0022"}


@pytest.fixture
def cameras():
    cameras = {name: SoftwareCamera(SoftwareContext(), serial) for name, serial in SERIALS.items()}
    for camera in cameras.values():
        camera.start()
    yield cameras
    for camera in cameras.values():
        camera.stop()


@pytest.fixture
def graph(tmp_path, cameras):
    """A camera node with two RealSense cameras, and an ear, in one executor."""
    entries = {
        name: {
            "source": "realsense",
            "width_px": WIDTH,
            "height_px": HEIGHT,
            "K": [250.0, 0.0, 160.0, 0.0, 250.0, 120.0, 0.0, 0.0, 1.0],
            "mount": {
                "parent_frame": "base",
                "optical_frame": f"{name}_o",
                "position_m": [0, 0, 1],
                "xyzw": [0, 0, 0, 1],
            },
            "settings": {
                "serial": serial,
                "fps": 30,
                "timestamps": "hardware",
                "warm_up_frames": 15,
                "lost_after_s": 0.5,
                "depth": name == "head",
                "color": {"enable_auto_exposure": False, "exposure": 100},
            },
        }
        for name, serial in SERIALS.items()
    }
    rig = tmp_path / "rig.yaml"
    rig.write_text(yaml.safe_dump({"anchor": "head", "rate_hz": 30.0, "max_skew_ms": 17.0, "cameras": entries}))
    was_running = rclpy.ok()
    rclpy.try_shutdown()
    rclpy.init(args=["--ros-args", "-r", "__ns:=/t", "-p", f"rig_file:={rig}"])
    sources = CameraSources()
    node, ear = CameraNode(sources), rclpy.create_node("ear", start_parameter_services=False)
    factories = {
        name: realsense_factory(lambda: node.now_ns, lambda sdk, context=camera.home.context: context)
        for name, camera in cameras.items()
    }
    sources.offer("realsense", lambda spec: factories[spec.name](spec))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(ear)
    try:
        assert node.trigger_configure().name == "SUCCESS" and node.trigger_activate().name == "SUCCESS"
        yield node, ear, executor
    finally:
        node.shut_down()
        node.destroy_node()
        ear.destroy_node()
        rclpy.try_shutdown()
        if was_running:
            rclpy.init()


def spin(executor, is_done, what: str, limit_s: float = 25.0) -> None:
    wait_until(is_done, what, limit_s=limit_s, meanwhile=lambda: executor.spin_once(timeout_sec=0.01))


def test_sets_of_realsense_cameras_flow_and_an_unplugged_anchor_comes_back(graph, cameras):
    node, ear, executor = graph
    heard = defaultdict(list)
    for topic, kind in {"side/image_raw": Image, "head/depth": Image, "head/camera_info": CameraInfo}.items():
        ear.create_subscription(kind, f"camera/{topic}", heard[topic].append, qos.SENSOR)
    spin(executor, lambda: len(heard["head/depth"]) >= 40 and node.diagnose()[0], "a healthy start")
    info = heard["head/camera_info"][-1]
    assert (info.k[0], info.k[2], info.width) == (FX, 161.0, WIDTH), "the factory's intrinsics, not the rig's"
    depth = heard["head/depth"][-1]
    assert (depth.encoding, depth.height, depth.width) == ("16UC1", HEIGHT, WIDTH)
    assert set(np.unique(np.frombuffer(depth.data, "<u2"))) == {0, 1000, 2000}
    stamps = [conversions.stamp_to_ns(msg.header.stamp) for msg in heard["side/image_raw"]]
    assert stamps == sorted(set(stamps)) and abs(time.time_ns() - stamps[-1]) < 1e9
    assert node.diagnose()[2]["side.temperature_c"] == "41.5"
    spin(executor, lambda: abs(float(node.diagnose()[2]["head.rate_hz"]) - 30.0) < 3.0, "the camera's rate")

    cameras["head"].unplug()
    spin(executor, lambda: "RealSense 'SIM0021' is not connected" in node.diagnose()[1], "the missing camera's name")
    count = len(heard["side/image_raw"])
    spin(executor, lambda: len(heard["side/image_raw"]) >= count + 20, "images of the camera that is left")
    assert "missing views: head" in node.diagnose()[1]
    cameras["head"].plug()
    cameras["head"].start()
    spin(executor, lambda: node.diagnose()[0], "its return")
    assert node.diagnose()[2]["head.reconnects"] == "1"
