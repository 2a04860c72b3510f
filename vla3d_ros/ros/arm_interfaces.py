"""One arm as the adapter node reaches it: publishers, a gripper's action, and a steady tick for setpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.interface_specs import GripperActionInterface, PoseTargetInterface
from vla3d_ros.adapter.interfaces.arm_speaker import ArmSpeaker
from vla3d_ros.adapter.interfaces.messages import GripperGoal, WireMessage
from vla3d_ros.datatypes import JointTrajectory, RobotState
from vla3d_ros.ros import qos
from vla3d_ros.ros.arm_messages import MESSAGE_TYPES, to_msg
from vla3d_ros.ros.grippers import GripperClient
from vla3d_ros.ros.servo_switch import ServoSwitch

_LONGEST_END_S = 1.0


class ArmLink:
    """Carries what an `ArmSpeaker` says. Says nothing that was not handed to `follow` or `set_opening` before."""

    def __init__(self, node: Node, arm: ArmSpec, urdf_path: Path, now_ns: Callable[[], int]) -> None:
        """Create publishers, client and timer.

        Args:
            node: Their owner.
            arm: The arm.
            urdf_path: The robot's URDF.
            now_ns: ROS time; setpoints are sampled at it, however the tick jitters.

        Raises:
            ConfigError: If the arm's interface needs messages which this ROS does not have.
        """
        self._speaker = ArmSpeaker(arm, urdf_path)
        self._now_ns = now_ns
        self._publishers: dict[str, Publisher] = {
            topic: node.create_publisher(MESSAGE_TYPES[kind], topic, qos.COMMAND)
            for topic, kind in self._speaker.topics.items()
        }
        command = arm.gripper.command if arm.gripper else None
        self._gripper = GripperClient(node, command) if isinstance(command, GripperActionInterface) else None
        service = arm.command.servo_switch if isinstance(arm.command, PoseTargetInterface) else None
        self._servo_switch = ServoSwitch(node, service) if service else None
        self._timer = node.create_timer(
            1.0 / self._speaker.tick_hz, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def topic_names(self) -> tuple[str, ...]:
        """Full names of the topics on which arm and gripper are commanded."""
        return tuple(publisher.topic_name for publisher in self._publishers.values())

    @property
    def is_silent(self) -> bool:
        """Whether nothing is streamed: no motion was asked for, or the last one was over a while ago."""
        return self._speaker.streams_until_ns is None

    def follow(self, trajectory: JointTrajectory) -> None:
        """Execute a checked trajectory from now on."""
        if self._servo_switch is not None and self.is_silent:
            self._servo_switch.ask_for_poses()
        self._send(self._speaker.follow(trajectory))

    def set_opening(self, opening: float) -> None:
        """Move the gripper, 0 closed ... 1 open."""
        self._send(self._speaker.set_opening(opening, self._now_ns()))

    def notice(self, state: RobotState) -> None:
        """Take note of the arm's measured state."""
        self._speaker.notice_opening(state.gripper_opening)

    def finish(self) -> None:
        """Stream on, here and now, until the motion has come to rest: a controller would do that by itself.

        For the moment at which nobody spins the node any more; time goes on by the wall clock.
        """
        end_ns, start_ns, started_s = self._speaker.streams_until_ns, self._now_ns(), time.monotonic()
        if end_ns is None:
            return
        while (elapsed_s := time.monotonic() - started_s) < min((end_ns - start_ns) * 1e-9, _LONGEST_END_S):
            self._send(self._speaker.tick(start_ns + int(elapsed_s * 1e9)))
            time.sleep(1.0 / self._speaker.tick_hz)
        self._send(self._speaker.tick(max(start_ns, end_ns)))

    def _on_tick(self) -> None:
        self._send(self._speaker.tick(self._now_ns()))

    def _send(self, messages: Iterable[WireMessage]) -> None:
        for message in messages:
            if isinstance(message, GripperGoal):
                if self._gripper is not None:
                    self._gripper.send(message)
            else:
                self._publishers[message.topic].publish(to_msg(message))
