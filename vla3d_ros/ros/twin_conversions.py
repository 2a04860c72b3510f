"""Messages only the twin speaks: trajectories as they came, and the truth for the judge."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, MultiDOFJointState
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.ros.conversions import duration_to_ns, stamp_from_ns, stamp_to_ns, transform_to_msg
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.trajectory_command import TrajectoryCommand, TrajectoryPoint
from vla3d_ros.twin.world import ObjectTruth, Truth

Float = NDArray[np.float64]

_EE = "_ee"


def trajectory_command_from_msg(msg: JointTrajectory) -> TrajectoryCommand:
    """Return a trajectory message as it is: what a controller makes of it is the controller's business."""
    points = tuple(
        TrajectoryPoint(
            time_from_start_ns=duration_to_ns(point.time_from_start),
            positions=tuple(point.positions),
            velocities=tuple(point.velocities),
            accelerations=tuple(point.accelerations),
            effort=tuple(point.effort),
        )
        for point in msg.points
    )
    return TrajectoryCommand(joint_names=tuple(msg.joint_names), stamp_ns=stamp_to_ns(msg.header.stamp), points=points)


def mask_to_msg(mask: NDArray[np.bool_], frame_id: str, stamp_ns: int) -> Image:
    """Return a mask (H, W) as a mono8 image, 255 where it is true."""
    height, width = mask.shape
    msg = Image(height=height, width=width, encoding="mono8", is_bigendian=0, step=width)
    msg.header.frame_id = frame_id
    msg.header.stamp = stamp_from_ns(stamp_ns)
    msg.data = array.array("B", (mask.astype(np.uint8) * 255).tobytes())
    return msg


def mask_from_msg(msg: Image) -> NDArray[np.bool_]:
    """Return the mask (H, W) of a mono8 image.

    Raises:
        ShapeError: If the encoding is another.
    """
    if msg.encoding != "mono8":
        raise ShapeError(f"mask has encoding '{msg.encoding}'; expected 'mono8'")
    rows = np.frombuffer(msg.data, dtype=np.uint8).reshape(msg.height, msg.step)
    mask: NDArray[np.bool_] = rows[:, : msg.width] > 0
    return mask


def truth_to_msg(truth: Truth, scene: SceneConfig, frame_id: str) -> MarkerArray:
    """Return where the cubes and pads really are, as boxes that RViz and Foxglove can draw."""
    cube_size_m = (scene.cubes.size_m,) * 3
    markers: list[Marker] = []
    for kind, objects, colours, size_m in (
        ("cube", truth.cubes, scene.cubes.colours, cube_size_m),
        ("pad", truth.pads, scene.pads.colours, tuple(float(x) for x in scene.pads.size_m)),
    ):
        for name, found in objects.items():
            marker = _box(found, size_m, tuple(float(x) for x in colours[name]))
            marker.header.frame_id, marker.header.stamp = frame_id, stamp_from_ns(truth.stamp_ns)
            marker.ns, marker.id, marker.text = kind, len(markers), name
            markers.append(marker)
    return MarkerArray(markers=markers)


def truth_positions_from_msg(msg: MarkerArray) -> dict[str, dict[str, Float]]:
    """Return the centres (3,) of cubes and pads by colour, in metres in the message's frame."""
    found: dict[str, dict[str, Float]] = {"cube": {}, "pad": {}}
    for marker in msg.markers:
        position = marker.pose.position
        found[marker.ns][marker.text] = np.array([position.x, position.y, position.z])
    return found


def ee_positions_from_msg(msg: MultiDOFJointState) -> dict[str, Float]:
    """Return where every arm's end effector is (3,), in metres in the message's frame."""
    return {
        name.removesuffix(_EE): np.array([t.translation.x, t.translation.y, t.translation.z])
        for name, t in zip(msg.joint_names, msg.transforms, strict=True)
        if name.endswith(_EE)
    }


def _box(found: ObjectTruth, size_m: tuple[float, ...], rgb: tuple[float, ...]) -> Marker:
    marker = Marker(type=Marker.CUBE, action=Marker.ADD)
    transform = transform_to_msg(found.T_world_object)
    marker.pose.orientation = transform.rotation
    position = marker.pose.position
    position.x, position.y, position.z = transform.translation.x, transform.translation.y, transform.translation.z
    marker.scale.x, marker.scale.y, marker.scale.z = size_m
    marker.color.r, marker.color.g, marker.color.b = rgb[:3]
    marker.color.a = 1.0
    return marker
