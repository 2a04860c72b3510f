"""How one arm and its gripper are spoken to: what a robot's YAML says under `command`, `feedback` and `gripper`.

Every kind of command has a `type` in the YAML and a class here; a new kind is one class, one reader and one speaker.
Topics, actions, services and controllers are ROS names: a relative one lies in the deployment's namespace, one that
begins with a slash is taken as it is, for drivers which can not be started in a namespace. Wherever a message carries
joint names, the names on the wire may differ from those in the URDF, because two arms of one robot may run the same
driver in two namespaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla3d_ros.adapter.config_reader import ConfigReader


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTrajectoryInterface:
    """A `trajectory_msgs/JointTrajectory` topic and the ros2_control controller which listens to it."""

    kind: ClassVar[str] = "joint_trajectory"
    topic: str
    controller: str
    wire_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointStateInterface:
    """A `sensor_msgs/JointState` topic that takes positions, streamed at `rate_hz`; wire_names (J,) as sent.

    Every message names every joint: such drivers move the joints they miss to zero. Velocity and effort stay empty,
    unless `speed_percent` is set: then the gripper rides in the same message, as its last entry (see
    `JointStateFingerInterface`), and that entry's velocity is the speed of the whole arm in percent, its effort the
    gripper's force.
    """

    kind: ClassVar[str] = "joint_state"
    topic: str
    rate_hz: float
    speed_percent: float | None
    wire_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPositionInterface:
    """A `std_msgs/Float64MultiArray` topic of positions in the order of the arm's joints, streamed at `rate_hz`."""

    kind: ClassVar[str] = "forward_position"
    topic: str
    controller: str
    rate_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseTargetInterface:
    """A `geometry_msgs/PoseStamped` topic, streamed at `rate_hz`: the pose of link `tip` in link `frame`.

    Both are links of the URDF; `frame_id` is what the header says, which some controllers compare with their own name
    for that link. `servo_switch`, if any, is a `moveit_msgs/ServoCommandType` service: whoever serves it takes poses
    only after it was asked to.
    """

    kind: ClassVar[str] = "pose_target"
    topic: str
    rate_hz: float
    frame: str
    tip: str
    frame_id: str
    servo_switch: str | None = None


ArmInterface = JointTrajectoryInterface | JointStateInterface | ForwardPositionInterface | PoseTargetInterface
_ARM_KINDS = (
    JointTrajectoryInterface.kind,
    JointStateInterface.kind,
    ForwardPositionInterface.kind,
    PoseTargetInterface.kind,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GripperActionInterface:
    """A gripper action: `gripper_command` or `parallel_gripper_command` of control_msgs.

    joint_name is what a ParallelGripperCommand names in its JointState; GripperCommand has no use for it.
    """

    kind: str
    action: str
    joint_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JointStateFingerInterface:
    """A `sensor_msgs/JointState` topic that takes the gripper as a joint `joint_name`, its effort in N.

    If it is the topic of the arm's own `joint_state` command, the gripper is the last entry of the arm's messages;
    otherwise it is sent alone, on change.
    """

    kind: ClassVar[str] = "joint_state_finger"
    topic: str
    joint_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Float64ArrayInterface:
    """A `std_msgs/Float64MultiArray` topic that takes `count` times the gripper's position, on change."""

    kind: ClassVar[str] = "float64_array"
    topic: str
    count: int


GripperInterface = GripperActionInterface | JointStateFingerInterface | Float64ArrayInterface

_ACTION_KINDS = ("gripper_command", "parallel_gripper_command")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackInterface:
    """Where an arm's `sensor_msgs/JointState` comes from, and how the driver names the joints.

    wire_names (J,) and gripper_wire_names (F,) follow the arm's and the gripper's `joint_names`.
    """

    topic: str
    wire_names: tuple[str, ...]
    gripper_topic: str
    gripper_wire_names: tuple[str, ...]


def read_command(reader: ConfigReader, joint_names: tuple[str, ...], base_frame: str, ee_frame: str) -> ArmInterface:
    """Read the section `command` of an arm.

    Args:
        reader: The section.
        joint_names: (J,) of the arm, used on the wire unless `names` says otherwise.
        base_frame: Frame of pose targets unless `frame` says otherwise.
        ee_frame: Commanded link of pose targets unless `tip` says otherwise.

    Returns:
        The interface; a harmless one if the reader has problems.
    """
    kind = reader.choice("type", _ARM_KINDS)
    topic = reader.text("topic")
    interface: ArmInterface
    if kind == JointStateInterface.kind:
        speed_percent = reader.positive("speed_percent") if reader.has("speed_percent") else None
        wire_names = reader.names("names", len(joint_names)) if reader.has("names") else joint_names
        interface = JointStateInterface(
            topic=topic, rate_hz=reader.positive("rate_hz"), speed_percent=speed_percent, wire_names=wire_names
        )
    elif kind == ForwardPositionInterface.kind:
        controller, rate_hz = reader.text("controller"), reader.positive("rate_hz")
        interface = ForwardPositionInterface(topic=topic, controller=controller, rate_hz=rate_hz)
    elif kind == PoseTargetInterface.kind:
        interface = _read_pose_target(reader, topic, base_frame, ee_frame)
    else:
        wire_names = reader.names("names", len(joint_names)) if reader.has("names") else joint_names
        interface = JointTrajectoryInterface(topic=topic, controller=reader.text("controller"), wire_names=wire_names)
    reader.finish(("names", "speed_percent", "frame", "tip", "frame_id", "servo_switch"))
    return interface


def _read_pose_target(reader: ConfigReader, topic: str, base_frame: str, ee_frame: str) -> PoseTargetInterface:
    frame = reader.text("frame") if reader.has("frame") else base_frame
    return PoseTargetInterface(
        topic=topic,
        rate_hz=reader.positive("rate_hz"),
        frame=frame,
        tip=reader.text("tip") if reader.has("tip") else ee_frame,
        frame_id=reader.text("frame_id") if reader.has("frame_id") else frame,
        servo_switch=reader.text("servo_switch") if reader.has("servo_switch") else None,
    )


def read_gripper_command(reader: ConfigReader, joint_name: str) -> GripperInterface:
    """Read the keys of a gripper's section `command` that say where a command goes; the caller finishes the reader.

    Args:
        reader: The section.
        joint_name: Name of the gripper's joint in messages unless `joint` says otherwise.
    """
    kind = reader.choice("type", [*_ACTION_KINDS, JointStateFingerInterface.kind, Float64ArrayInterface.kind])
    if kind == Float64ArrayInterface.kind:
        count = int(reader.positive("count")) if reader.has("count") else 1
        return Float64ArrayInterface(topic=reader.text("topic"), count=count)
    named = reader.text("joint") if reader.has("joint") else joint_name
    if kind == JointStateFingerInterface.kind:
        return JointStateFingerInterface(topic=reader.text("topic"), joint_name=named)
    return GripperActionInterface(kind=kind, action=reader.text("action"), joint_name=named)


def read_feedback(
    reader: ConfigReader, joint_names: tuple[str, ...], gripper_names: tuple[str, ...]
) -> FeedbackInterface:
    """Read the section `feedback` of an arm.

    Args:
        reader: The section: `topic`, and if they differ `names`, `gripper_topic`, `gripper_names`.
        joint_names: (J,) of the arm.
        gripper_names: (F,) of its gripper, empty without one.
    """
    topic = reader.text("topic")
    feedback = FeedbackInterface(
        topic=topic,
        wire_names=reader.names("names", len(joint_names)) if reader.has("names") else joint_names,
        gripper_topic=reader.text("gripper_topic") if reader.has("gripper_topic") else topic,
        gripper_wire_names=(
            reader.names("gripper_names", len(gripper_names)) if reader.has("gripper_names") else gripper_names
        ),
    )
    reader.finish(("names", "gripper_topic", "gripper_names"))
    return feedback
