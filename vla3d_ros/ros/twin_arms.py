"""One arm of the twin behind the topics, actions and services of its vendor's driver."""

from __future__ import annotations

from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Empty, SetBool
from trajectory_msgs.msg import JointTrajectory

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.interface_specs import (
    Float64ArrayInterface,
    ForwardPositionInterface,
    GripperActionInterface,
    JointStateFingerInterface,
    JointTrajectoryInterface,
    PoseTargetInterface,
)
from vla3d_ros.adapter.interfaces.messages import WireMessage
from vla3d_ros.ros import arm_messages, conversions, qos, twin_conversions
from vla3d_ros.ros.servo_switch import command_type_service
from vla3d_ros.ros.twin_grippers import TwinGripperAction, WorldCall
from vla3d_ros.twin.truth import JointSample
from vla3d_ros.twin.vendor_agx import AgxDriver
from vla3d_ros.twin.vendor_piper_ros import PiperRosDriver
from vla3d_ros.twin.vendor_pose import PoseTargetDriver
from vla3d_ros.twin.world import TwinWorld

_AGX_TOPICS = ("joint_states", "move_j", "move_js")


class TwinArm:
    """Subscriptions, actions and services of one arm; what its driver logs goes to the node's log."""

    def __init__(self, node: Node, arm: ArmSpec, world: TwinWorld, call: WorldCall) -> None:
        """Wire one arm.

        Args:
            node: Owner of everything created.
            arm: The arm.
            world: Only looked at for which driver the arm has.
            call: The way to the running world.
        """
        self._node, self._arm, self._call = node, arm, call
        self._said = ""
        self._listen_to_arm(world)
        self._action = self._listen_to_gripper()

    def answer(self) -> None:
        """Answer a gripper's goal that is over."""
        if self._action is not None:
            self._action.answer()

    # ------------------------------------------------------------------------------------------- wiring

    def _listen_to_arm(self, world: TwinWorld) -> None:
        command, node = self._arm.command, self._node
        driver = world.drivers[self._arm.name]
        if isinstance(command, JointTrajectoryInterface):
            node.create_subscription(JointTrajectory, command.topic, self._on_trajectory, qos.COMMAND)
        elif isinstance(command, ForwardPositionInterface):
            self._listen_to(Float64MultiArray, command.topic)
        elif isinstance(command, PoseTargetInterface):
            self._listen_to(PoseStamped, command.topic)
            if command.servo_switch:
                node.create_service(command_type_service(), command.servo_switch, self._on_command_type)
        elif isinstance(driver, AgxDriver):
            prefix = command.topic.rpartition("/")[0]
            for name in _AGX_TOPICS:
                self._listen_to(JointState, f"{prefix}/{name}" if prefix else name)
            self._serve_agx(prefix.rpartition("/")[0])
        else:
            self._listen_to(JointState, command.topic)
            if isinstance(driver, PiperRosDriver):
                prefix = command.topic.rpartition("/")[0]
                node.create_subscription(Bool, _join(prefix, "enable_flag"), self._on_enable_flag, qos.COMMAND)

    def _listen_to(self, kind: type, topic: str) -> None:
        on_message = {
            Float64MultiArray: self._on_array,
            JointState: self._on_joint_command,
            PoseStamped: self._on_pose,
        }[kind]
        self._node.create_subscription(kind, topic, partial(on_message, topic), qos.COMMAND)

    def _listen_to_gripper(self) -> TwinGripperAction | None:
        gripper = self._arm.gripper
        if gripper is None:
            return None
        interface = gripper.command
        if isinstance(interface, GripperActionInterface):
            return TwinGripperAction(self._node, self._arm.name, gripper, interface, self._call)
        if isinstance(interface, Float64ArrayInterface) and interface.topic != self._arm.command.topic:
            self._listen_to(Float64MultiArray, interface.topic)
        assert isinstance(interface, Float64ArrayInterface | JointStateFingerInterface)
        return None

    def _serve_agx(self, namespace: str) -> None:
        """Services of agx_arm_ros, in the driver's namespace."""
        node = self._node
        node.create_service(SetBool, _join(namespace, "enable_agx_arm"), partial(self._on_switch, "enable"))
        node.create_service(SetBool, _join(namespace, "control_enable"), partial(self._on_switch, "control"))
        node.create_service(Empty, _join(namespace, "emergency_stop"), partial(self._on_plain, "emergency_stop"))
        node.create_service(Empty, _join(namespace, "move_home"), partial(self._on_plain, "move_home"))

    # ------------------------------------------------------------------------------------------- topics

    def _on_trajectory(self, msg: JointTrajectory) -> None:
        command = twin_conversions.trajectory_command_from_msg(msg)
        self._log(self._call(lambda world: world.submit_trajectory(self._arm.name, command)))

    def _on_array(self, topic: str, msg: Float64MultiArray) -> None:
        self._deliver(arm_messages.array_from_msg(topic, msg))

    def _on_joint_command(self, topic: str, msg: JointState) -> None:
        self._deliver(arm_messages.joint_command_from_msg(topic, msg))

    def _on_pose(self, topic: str, msg: PoseStamped) -> None:
        self._deliver(arm_messages.pose_target_from_msg(topic, msg))

    def _deliver(self, message: WireMessage) -> None:
        self._log(self._call(lambda world: world.receive(self._arm.name, message)))

    def _log(self, text: str | None) -> None:
        """Write what the driver says, once until it says something else."""
        if text and text != self._said:
            self._node.get_logger().error(f"driver of arm '{self._arm.name}': {text}")
        self._said = text or ""

    # ----------------------------------------------------------------------------------------- services

    def _on_switch(self, what: str, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        def switch(world: TwinWorld) -> None:
            driver = world.drivers[self._arm.name]
            assert isinstance(driver, AgxDriver)
            if what == "enable":
                driver.enable(request.data)
            else:
                driver.control_enabled = request.data

        self._call(switch)
        response.success, response.message = True, f"{what}: {str(request.data).lower()}"
        return response

    def _on_command_type(self, request: Any, response: Any) -> Any:
        """Switch to poses; the twin's Servo knows nothing else."""
        response.success = request.command_type == command_type_service().Request.POSE
        if response.success:

            def switch(world: TwinWorld) -> None:
                driver = world.drivers[self._arm.name]
                assert isinstance(driver, PoseTargetDriver)
                driver.take_poses()

            self._call(switch)
        return response

    def _on_plain(self, what: str, request: Empty.Request, response: Empty.Response) -> Empty.Response:
        self._log(self._call(lambda world: getattr(world.drivers[self._arm.name], what)()))
        return response

    def _on_enable_flag(self, msg: Bool) -> None:
        def switch(world: TwinWorld) -> None:
            driver = world.drivers[self._arm.name]
            assert isinstance(driver, PiperRosDriver)
            driver.enable(msg.data)

        self._call(switch)


class TwinFeedback:
    """Publishes joints where, and under which names, each arm's driver does."""

    def __init__(self, node: Node, arms: tuple[ArmSpec, ...]) -> None:
        """Create a publisher per topic of the arms' feedback interfaces."""
        wire_of: dict[str, dict[str, str]] = {}
        for arm in arms:
            feedback, fingers = arm.feedback, arm.gripper.joint_names if arm.gripper else ()
            on_arm = zip(arm.joint_names, feedback.wire_names, strict=True)
            on_gripper = zip(fingers, feedback.gripper_wire_names, strict=True)
            wire_of.setdefault(feedback.topic, {}).update(on_arm)
            wire_of.setdefault(feedback.gripper_topic, {}).update(on_gripper)
        self._topics: list[tuple[Publisher, dict[str, str]]] = [
            (node.create_publisher(JointState, topic, qos.EVENT), wire) for topic, wire in wire_of.items() if wire
        ]

    def publish(self, sample: JointSample) -> None:
        """Publish what a sample has of each topic's joints."""
        for publisher, wire in self._topics:
            at = [index for index, name in enumerate(sample.names) if name in wire]
            names = [wire[sample.names[index]] for index in at]
            publisher.publish(
                conversions.joint_state_to_msg(names, sample.q[at], sample.dq[at], sample.effort[at], sample.stamp_ns)
            )


def _join(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
