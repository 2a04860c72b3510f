"""The publishing end of `vla3d bench record`: what a table with three cameras and an arm sends, counted.

python -m vla3d_ros.ros.bench_record_stream 60 --ros-args -r __ns:=/bench

Waits until every topic has a reader, says "ready", waits for a line, publishes, and prints what it published as JSON.
"""

from __future__ import annotations

import array
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState

from vla3d_ros.ros.process import tune_process
from vla3d_ros.ros.qos import EVENT, SENSOR

WIDTH_PX, HEIGHT_PX = 640, 480
CAMERAS = ("head", "side", "wrist")
IMAGE_HZ, JOINT_HZ = 30.0, 200.0
JOINTS = 9
_DIFFERENT_IMAGES = 8
_NOISE_LEVELS = 4.0
_PATIENCE_S = 30.0
_DRAIN_S = 1.0


def colour_images() -> list[bytes]:
    """Make images like those of a camera: a scene, and noise of four levels that no compressor can remove."""
    rng = np.random.default_rng(0)
    scene = np.linspace(40, 200, WIDTH_PX)[None, :, None] * np.ones((HEIGHT_PX, 1, 3))
    noisy = (scene + rng.normal(0.0, _NOISE_LEVELS, (HEIGHT_PX, WIDTH_PX, 3)) for _ in range(_DIFFERENT_IMAGES))
    return [np.clip(image, 0, 255).astype(np.uint8).tobytes() for image in noisy]


def depth_images() -> list[bytes]:
    """Make depth images: a table 0.8 m away, with 2 mm of noise, in millimetres."""
    rng = np.random.default_rng(1)
    return [rng.normal(800.0, 2.0, (HEIGHT_PX, WIDTH_PX)).astype(np.uint16).tobytes() for _ in range(_DIFFERENT_IMAGES)]


class _Stream:
    """One topic with its rate, and how many messages it has sent."""

    def __init__(self, publisher: Publisher, rate_hz: float, message: Callable[[int], Any]) -> None:
        self.publisher, self._rate_hz, self._message = publisher, rate_hz, message
        self.sent = 0

    def due_s(self) -> float:
        """Seconds after the start at which the next message is due."""
        return self.sent / self._rate_hz

    def send(self) -> None:
        """Publish the next message."""
        message = self._message(self.sent)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        self.publisher.publish(message)
        self.sent += 1


def _streams(node: Any) -> list[_Stream]:
    pictures = [array.array("B", data) for data in colour_images()]
    depths = [array.array("B", data) for data in depth_images()]

    def image(index: int) -> Image:
        return Image(height=HEIGHT_PX, width=WIDTH_PX, step=WIDTH_PX * 3, encoding="rgb8", data=pictures[index % 8])

    def depth(index: int) -> Image:
        return Image(height=HEIGHT_PX, width=WIDTH_PX, step=WIDTH_PX * 2, encoding="16UC1", data=depths[index % 8])

    def joints(index: int) -> JointState:
        names = [f"joint{number}" for number in range(JOINTS)]
        return JointState(name=names, position=[index * 1e-4] * JOINTS, velocity=[0.0] * JOINTS)

    cameras = [
        _Stream(node.create_publisher(Image, f"camera/{name}/image_raw", SENSOR), IMAGE_HZ, image) for name in CAMERAS
    ]
    return [
        *cameras,
        _Stream(node.create_publisher(Image, f"camera/{CAMERAS[-1]}/depth", SENSOR), IMAGE_HZ, depth),
        _Stream(node.create_publisher(JointState, "joint_states", EVENT), JOINT_HZ, joints),
    ]


def main() -> int:
    """Publish when told to."""
    seconds = float(sys.argv[1])
    tune_process()
    rclpy.init(args=sys.argv[2:])
    node = rclpy.create_node("bench_stream", start_parameter_services=False)
    streams = _streams(node)
    patience_end = time.monotonic() + _PATIENCE_S
    while not all(stream.publisher.get_subscription_count() for stream in streams):
        if time.monotonic() > patience_end:
            print("nobody listens", flush=True)
            return 1
        time.sleep(0.05)
    print("ready", flush=True)
    sys.stdin.readline()
    start, cpu_start = time.monotonic(), time.process_time()
    while True:
        stream = min(streams, key=_Stream.due_s)
        if stream.due_s() >= seconds:
            break
        time.sleep(max(0.0, start + stream.due_s() - time.monotonic()))
        stream.send()
    late_s = time.monotonic() - start - seconds
    cpu_s = time.process_time() - cpu_start
    time.sleep(_DRAIN_S)
    sent = {stream.publisher.topic_name: stream.sent for stream in streams}
    print(json.dumps({"sent": sent, "cpu_s": cpu_s, "late_s": max(0.0, late_s)}), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
