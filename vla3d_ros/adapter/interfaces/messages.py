"""What goes over the wire to arms and grippers, without ROS. Senders and the twin's drivers share these nouns."""

from __future__ import annotations

from dataclasses import dataclass

from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.geometry import Transform


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrajectoryMessage:
    """A `trajectory_msgs/JointTrajectory`; the trajectory carries the driver's joint names."""

    topic: str
    trajectory: JointTrajectory


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointStateMessage:
    """A `sensor_msgs/JointState` used as a command; fields as on the wire, empty where the message is empty."""

    topic: str
    stamp_ns: int
    names: tuple[str, ...]
    positions: tuple[float, ...]
    velocities: tuple[float, ...] = ()
    efforts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArrayMessage:
    """A `std_msgs/Float64MultiArray`: positions in an order both sides must know."""

    topic: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PoseMessage:
    """A `geometry_msgs/PoseStamped`: where the driver's tip should be in the frame its header names."""

    topic: str
    stamp_ns: int
    frame_id: str
    T_frame_tip: Transform


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GripperGoal:
    """A goal of a gripper's action; `kind` is `gripper_command` or `parallel_gripper_command`."""

    action: str
    kind: str
    joint_name: str
    position: float
    max_effort_n: float


WireMessage = TrajectoryMessage | JointStateMessage | ArrayMessage | PoseMessage | GripperGoal
