"""What goes over the wire to arms <-> ROS messages. Pure functions, in pairs."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla3d_ros.adapter.interfaces.messages import (
    ArrayMessage,
    JointStateMessage,
    PoseMessage,
    TrajectoryMessage,
    WireMessage,
)
from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform
from vla3d_ros.ros import conversions

MESSAGE_TYPES: dict[type[Any], type[Any]] = {
    TrajectoryMessage: JointTrajectory,
    JointStateMessage: JointState,
    ArrayMessage: Float64MultiArray,
    PoseMessage: PoseStamped,
}
"""ROS type of each kind of command that has a topic."""


def to_msg(message: WireMessage) -> Any:
    """Return the ROS message of a command.

    Raises:
        ShapeError: If it is not one that has a topic.
    """
    if isinstance(message, TrajectoryMessage):
        return conversions.joint_trajectory_to_msg(message.trajectory)
    if isinstance(message, JointStateMessage):
        return joint_command_to_msg(message)
    if isinstance(message, ArrayMessage):
        return Float64MultiArray(data=list(message.values))
    if isinstance(message, PoseMessage):
        return pose_target_to_msg(message)
    raise ShapeError(f"{type(message).__name__} is no message of a topic; expected one of {list(MESSAGE_TYPES)}")


def joint_command_to_msg(message: JointStateMessage) -> JointState:
    """Return a JointState used as a command; empty fields stay empty."""
    msg = JointState(
        name=list(message.names),
        position=list(message.positions),
        velocity=list(message.velocities),
        effort=list(message.efforts),
    )
    msg.header.stamp = conversions.stamp_from_ns(message.stamp_ns)
    return msg


def joint_command_from_msg(topic: str, msg: JointState) -> JointStateMessage:
    """Return a JointState as it came, lengths that disagree included: what a driver makes of it is its business."""
    return JointStateMessage(
        topic=topic,
        stamp_ns=conversions.stamp_to_ns(msg.header.stamp),
        names=tuple(msg.name),
        positions=tuple(msg.position),
        velocities=tuple(msg.velocity),
        efforts=tuple(msg.effort),
    )


def array_from_msg(topic: str, msg: Float64MultiArray) -> ArrayMessage:
    """Return the values of an array; its layout is ignored, as by the controllers."""
    return ArrayMessage(topic=topic, values=tuple(msg.data))


def pose_target_to_msg(message: PoseMessage) -> PoseStamped:
    """Return the stamped pose of the driver's tip."""
    msg = PoseStamped()
    msg.header.frame_id = message.frame_id
    msg.header.stamp = conversions.stamp_from_ns(message.stamp_ns)
    transform = conversions.transform_to_msg(message.T_frame_tip)
    msg.pose.orientation = transform.rotation
    position = msg.pose.position
    position.x, position.y, position.z = transform.translation.x, transform.translation.y, transform.translation.z
    return msg


def pose_target_from_msg(topic: str, msg: PoseStamped) -> PoseMessage:
    """Return the target of a stamped pose.

    Raises:
        ShapeError: If the quaternion is not of unit length.
    """
    p, r = msg.pose.position, msg.pose.orientation
    return PoseMessage(
        topic=topic,
        stamp_ns=conversions.stamp_to_ns(msg.header.stamp),
        frame_id=msg.header.frame_id,
        T_frame_tip=Transform.from_xyzw((p.x, p.y, p.z), (r.x, r.y, r.z, r.w)),
    )
