"""Pairs of an image and the joint positions at its time, from the running graph, for guided capture."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState

from vla3d_ros.datatypes import CameraImage
from vla3d_ros.ros import conversions, qos

_SPIN_S = 0.05
_STATES = 1000
_NEAREST_NS = 50_000_000


def camera_stream(
    namespace: str, camera: str, *, every_s: float, silence_s: float
) -> Iterator[tuple[CameraImage, dict[str, float]]]:
    """Yield the newest image and the joint positions nearest in time; empty if none are near.

    Args:
        namespace: Of the deployment's nodes.
        camera: Name of the camera.
        every_s: Least wall time between two images.
        silence_s: End after that long without an image.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("calibration", namespace=namespace, context=context, start_parameter_services=False)
        newest: deque[CameraImage] = deque(maxlen=1)
        states: deque[tuple[int, dict[str, float]]] = deque(maxlen=_STATES)
        known: dict[str, float] = {}

        def on_image(msg: Image) -> None:
            newest.append(conversions.image_from_msg(camera, msg, time.time_ns()))

        def on_joint_state(msg: JointState) -> None:
            known.update(zip(msg.name, msg.position, strict=False))
            states.append((conversions.stamp_to_ns(msg.header.stamp), dict(known)))

        node.create_subscription(Image, f"camera/{camera}/image_raw", on_image, qos.SENSOR)
        node.create_subscription(JointState, "joint_states", on_joint_state, qos.SENSOR)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        yielded = time.monotonic()
        while time.monotonic() - yielded < silence_s:
            executor.spin_once(timeout_sec=_SPIN_S)
            if newest and time.monotonic() - yielded >= every_s:
                image = newest.pop()
                yielded = time.monotonic()
                yield image, _nearest(states, image.stamp_ns)
    finally:
        rclpy.shutdown(context=context)


def _nearest(states: deque[tuple[int, dict[str, float]]], stamp_ns: int) -> dict[str, float]:
    if not states:
        return {}
    stamps = np.array([stamp for stamp, _ in states])
    index = int(np.abs(stamps - stamp_ns).argmin())
    return states[index][1] if abs(int(stamps[index]) - stamp_ns) <= _NEAREST_NS else {}
