"""Listen to the cameras and joint states of a running graph: evidence for the rig check."""

from __future__ import annotations

import time
from collections import deque
from functools import partial

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.camera.outline_fit import RobotFrame
from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.camera.rig_check import CameraEvidence
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.ros import conversions, qos

_SPIN_S = 0.05
_FRAMES = 8
_STATES = 4000
_NEAREST_NS = 50_000_000


def collect_evidence(
    namespace: str, embodiment: Embodiment, rig: CameraRig, seconds: float
) -> dict[str, CameraEvidence]:
    """Subscribe for a while.

    Args:
        namespace: Of the deployment's nodes.
        embodiment: The robot, for the poses of its links.
        rig: The cameras to listen to.
        seconds: Wall time.

    Returns:
        Evidence per camera: up to 8 images spread over the time, each with the joint state nearest to its stamp.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("rig_check", namespace=namespace, context=context, start_parameter_services=False)
        listener = _Listener(node, embodiment, rig, seconds)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=_SPIN_S)
        return {camera.name: listener.evidence(camera.name) for camera in rig.cameras}
    finally:
        rclpy.shutdown(context=context)


class _Listener:
    """Keeps a few images per camera, all joint states, and counts."""

    def __init__(self, node: Node, embodiment: Embodiment, rig: CameraRig, seconds: float) -> None:
        self._robot, self._rig = RobotPoses(embodiment), rig
        self._every = max(1, int(seconds * rig.rate_hz / _FRAMES))
        self._stamps_ns: dict[str, list[int]] = {camera.name: [] for camera in rig.cameras}
        self._images: dict[str, deque[CameraImage]] = {camera.name: deque(maxlen=_FRAMES) for camera in rig.cameras}
        self._models: dict[str, CameraModel] = {}
        self._states: deque[tuple[int, dict[str, float]]] = deque(maxlen=_STATES)
        self._known: dict[str, float] = {}
        for camera in rig.cameras:
            base = f"camera/{camera.name}"
            node.create_subscription(Image, f"{base}/image_raw", partial(self._on_image, camera.name), qos.SENSOR)
            node.create_subscription(CameraInfo, f"{base}/camera_info", partial(self._on_info, camera.name), qos.SENSOR)
        node.create_subscription(JointState, "joint_states", self._on_joint_state, qos.SENSOR)

    def _on_image(self, camera: str, msg: Image) -> None:
        stamps = self._stamps_ns[camera]
        stamps.append(conversions.stamp_to_ns(msg.header.stamp))
        if len(stamps) % self._every == 1 or self._every == 1:
            self._images[camera].append(conversions.image_from_msg(camera, msg, stamps[-1]))

    def _on_info(self, camera: str, msg: CameraInfo) -> None:
        self._models[camera] = conversions.camera_model_from_msg(msg)

    def _on_joint_state(self, msg: JointState) -> None:
        self._known |= dict(zip(msg.name, msg.position, strict=False))
        self._states.append((conversions.stamp_to_ns(msg.header.stamp), dict(self._known)))

    def evidence(self, camera: str) -> CameraEvidence:
        """Return what was seen of one camera."""
        mount = self._rig.camera(camera).mount
        frames = []
        for image in self._images[camera]:
            Ts_base_link = self._links_at(image.stamp_ns)
            parent = Ts_base_link.get(mount.parent_frame)
            if parent is not None:
                frames.append(RobotFrame(rgb=image.rgb, Ts_base_link=Ts_base_link, T_base_parent=parent))
        stamps = self._stamps_ns[camera]
        span_s = (stamps[-1] - stamps[0]) * 1e-9 if len(stamps) > 1 else 0.0
        rate_hz = (len(stamps) - 1) / span_s if span_s > 0 else 0.0
        return CameraEvidence(frames=frames, rate_hz=rate_hz, reported=self._models.get(camera))

    def _links_at(self, stamp_ns: int) -> dict:
        """Poses of all links from the joint state nearest in time; empty if none is near or complete."""
        if not self._states:
            return {}
        stamps = np.array([stamp for stamp, _ in self._states])
        nearest = int(np.abs(stamps - stamp_ns).argmin())
        if abs(int(stamps[nearest]) - stamp_ns) > _NEAREST_NS:
            return {}
        known = self._states[nearest][1]
        try:
            return self._robot.place(tuple(known), np.array(list(known.values())))
        except StaleObservationError:
            return {}
