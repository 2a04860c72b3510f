"""`adapter`: chunks in, checked commands out. Nothing reaches an arm except through the gate in its pipeline."""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.clock import Clock, ClockType
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState, MultiDOFJointState
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.adapter.description_check import description_topic
from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.interfaces.feedback import JOINT_STATES, FeedbackNames
from vla3d_ros.adapter.interfaces.state_merge import StateMerger, merged_joints
from vla3d_ros.adapter.pose_plan import PosePlan
from vla3d_ros.datatypes import ActionChunk, RobotState
from vla3d_ros.errors import ShapeError
from vla3d_ros.execution import Execution, ExecutionConfig, ExecutionPipeline
from vla3d_ros.execution_result import ChunkSteps, PlannedChunk
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.arm_interfaces import ArmLink
from vla3d_ros.ros.background import BackgroundWorker
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter
from vla3d_ros.ros.period_meter import PeriodMeter
from vla3d_ros.ros.safety_link import SafetyLink
from vla3d_ros.ros.scheduling import request_realtime
from vla3d_ros.safety.verdict_log import VerdictLog

_METER_S = 60.0
_SWITCH_INTERVAL_S = 0.0002  # planning in its own thread lets go of the interpreter soon enough for the tick
_REQUESTS = ("arm", "disarm", "stop", "reset", "home")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterNodeParameters:
    """Parameters of `adapter`."""

    robot_file: str = parameter("Robot file: joints, frames, limits, interfaces")
    dry_run: bool = parameter("Plan and judge, but command nothing")
    execution: ExecutionConfig
    tick_hz: float = parameter("Rate of the watchdogs", unit="Hz", default=100.0)
    realtime_priority: int = parameter("Priority over ordinary processes, if the system grants it; 0: none", default=20)
    tf_hz: float = parameter("Rate of /tf for the end effectors; 0 if robot_state_publisher does it", unit="Hz")


class AdapterNode(ManagedNode):
    """Carries messages to and from one `ExecutionPipeline`."""

    def __init__(self) -> None:
        super().__init__("adapter")
        self._settings = declare(self, AdapterNodeParameters)
        self._is_active = False
        self._verdicts = VerdictLog()
        self._published_state: tuple[str, ...] | None = None
        self._next_tf_ns = 0
        self._refused_priority = ""
        self._is_wired = False
        self._tick_meter = PeriodMeter(memory=round(_METER_S * self._settings.tick_hz))

    def configure(self) -> None:
        """Build the pipeline for this robot and connect it."""
        self._embodiment = load_embodiment(Path(self._settings.robot_file))
        self._pipeline = ExecutionPipeline(self._embodiment, self._settings.execution, dry_run=self._settings.dry_run)
        self._strokes_m = {arm.name: arm.gripper.stroke_m if arm.gripper else 1.0 for arm in self._embodiment.arms}
        self._base_frame = self._embodiment.arms[0].base_frame
        self._feedback = FeedbackNames(self._embodiment.arms)
        self._merger = StateMerger([arm.name for arm in self._embodiment.arms], self._pipeline.robot_state)
        if not self._is_wired:
            self._wire()

    def _wire(self) -> None:
        self._is_wired = True
        arms = self._embodiment.arms
        urdf = self._embodiment.urdf_path
        self._arms = {arm.name: ArmLink(self, arm, urdf, lambda: self.now_ns) for arm in arms}
        self._gripper_publisher = self.create_publisher(JointState, "~/gripper_command", qos.EVENT)
        self._verdict_publisher = self.create_publisher(DiagnosticStatus, "~/verdict", qos.EVENT)
        self._state_publisher = self.create_publisher(DiagnosticStatus, "~/state", qos.LATCHED)
        self._path_publishers = {arm.name: self._create_path_publisher(arm.name) for arm in arms}
        self._ee_publisher = self.create_publisher(MultiDOFJointState, "ee_state", qos.EVENT)
        self._tf_publisher = self.create_publisher(TFMessage, "/tf", qos.EVENT)
        self.create_subscription(MultiDOFJointTrajectory, "policy/chunk", self._on_chunk, qos.EVENT, raw=True)
        for topic in self._feedback.topics:
            self.create_subscription(JointState, topic, partial(self._on_joint_state, topic), qos.SENSOR)
        if self._feedback.needs_merging:
            self._joint_publisher = self.create_publisher(JointState, JOINT_STATES, qos.EVENT)
        for name in _REQUESTS:
            self.create_service(Trigger, f"~/{name}", partial(self._on_request, name))
        topics = [topic for arm in self._arms.values() for topic in arm.topic_names]
        controllers = {arm.name: str(name) for arm in arms if (name := getattr(arm.command, "controller", ""))}
        self._link = SafetyLink(
            self, lambda: self._pipeline.watch, topics, lambda: self.now_ns, controllers, description_topic(arms)
        )
        self._planner: BackgroundWorker[Any] = BackgroundWorker(self, "planner")
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self._settings.tick_hz, self._on_tick, clock=steady)

    def _create_path_publisher(self, arm: str) -> Publisher:
        return self.create_publisher(PoseArray, f"~/planned_path/{arm}", qos.EVENT)

    def activate(self) -> None:
        """Start listening; the arm stays disarmed."""
        self._is_active = True
        self._prepare_to_be_on_time()
        self._tick_meter.restart()
        self._announce_state()

    def _prepare_to_be_on_time(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        gc.collect()
        gc.freeze()  # modules and models stay: looking through them for garbage takes tens of ms
        self._refused_priority = request_realtime(self._settings.realtime_priority)
        if self._refused_priority:
            self.get_logger().warning(f"{self._refused_priority}; a busy machine will delay commands")

    def deactivate(self) -> None:
        """Bring the arm to rest and stop listening."""
        if self._is_active and self.context.ok():
            self._planner.wait()
            self._carry_out(self._pipeline.disarm(self.now_ns))
            for arm in self._arms.values():
                arm.finish()
        self._is_active = False

    # ------------------------------------------------------------------------------------------- inputs

    def _on_joint_state(self, topic: str, msg: JointState) -> None:
        if not self._is_active:
            return
        try:
            names, q, dq, stamp_ns = conversions.joint_state_from_msg(msg)
            states = self._pipeline.on_joint_state(self._feedback.urdf_names(topic, names), q, dq, stamp_ns)
        except ShapeError as error:  # not a state: if no other comes, the state's age stops the arm
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        for state in states:
            self._arms[state.arm].notice(state)
        if merged := self._merger.add(states):
            self._publish_state(merged)

    def _on_chunk(self, cdr: bytes) -> None:
        """Have the chunk read beside the node's thread: that takes milliseconds, and the tick is due every ten."""
        if self._is_active:
            self._planner.wait()
            self._planner.begin(partial(self._read_chunk, cdr), self._plan_chunk)

    def _read_chunk(self, cdr: bytes) -> ActionChunk | ShapeError:
        try:
            msg = deserialize_message(cdr, MultiDOFJointTrajectory)
            return conversions.chunk_from_msg(msg, self._strokes_m)
        except ShapeError as error:
            return error

    def _plan_chunk(self, chunk: ActionChunk | ShapeError) -> None:
        if not self._is_active:
            return
        if isinstance(chunk, ShapeError):
            self._carry_out(self._pipeline.on_malformed_chunk(str(chunk), self.now_ns))
            return
        steps = self._pipeline.chunk_steps(chunk, self.now_ns)
        try:
            work = next(steps)
        except StopIteration as end:
            self._carry_out(end.value)
            return
        self._planner.begin(work, partial(self._release, steps))

    def _release(self, steps: ChunkSteps, planned: PlannedChunk) -> None:
        try:
            steps.send((planned, self.now_ns))
        except StopIteration as end:
            self._carry_out(end.value)

    def _on_tick(self) -> None:
        if self._is_active:
            self._tick_meter.note(time.monotonic_ns())
            self._carry_out(self._pipeline.on_tick(self.now_ns))

    def _on_request(self, name: str, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._is_active:
            response.success, response.message = False, "the adapter is not active; bring it up first"
            return response
        self._planner.wait()
        if name == "stop":
            execution = self._pipeline.stop("stop service called", self.now_ns)
        else:
            execution = getattr(self._pipeline, name)(self.now_ns)
        self._carry_out(execution)
        response.success, response.message = execution.accepted, execution.message
        self.get_logger().info(execution.message)
        return response

    # ------------------------------------------------------------------------------------------ outputs

    def _carry_out(self, execution: Execution) -> None:
        """Publish what the pipeline decided; in a dry run only the plan and the verdict."""
        if not self._settings.dry_run:
            for trajectory in execution.trajectories:
                self._arms[trajectory.arm].follow(trajectory)
            for target in execution.gripper_targets:
                self._arms[target.arm].set_opening(target.opening)
        for target in execution.gripper_targets:
            position_m = target.opening * self._strokes_m[target.arm]
            msg = JointState(name=[target.arm], position=[position_m])
            msg.header.stamp = conversions.stamp_from_ns(execution.verdict.stamp_ns)
            self._gripper_publisher.publish(msg)
        if execution.plans and not self._planner.is_busy:
            self._planner.begin(partial(self._publish_paths, execution.plans), lambda done: None)
        if execution.trajectories or execution.verdict.reasons:
            self._publish_verdict(execution)
        self._announce_state()

    def _publish_paths(self, plans: tuple[PosePlan, ...]) -> None:
        for plan in plans:
            path = conversions.path_to_msg(self._base_frame, plan.Ts_base_ee, int(plan.times_ns[0]))
            self._path_publishers[plan.arm].publish(path)

    def _publish_verdict(self, execution: Execution) -> None:
        verdict = execution.verdict
        for reason in self._verdicts.note(verdict):
            self.get_logger().warning(f"{verdict.kind.value}: {reason.check}: {reason.message}")
        name = self.get_fully_qualified_name()
        values = {"dropped_steps": str(execution.dropped_steps), "stamp_ns": str(verdict.stamp_ns)}
        for steps in execution.executed_steps:
            values |= steps.values()
        self._verdict_publisher.publish(conversions.verdict_to_msg(name, verdict, values))

    def _publish_state(self, states: tuple[RobotState, ...]) -> None:
        """Show all arms at one stamp; and their joints, if no driver does that under the URDF's names."""
        if self._feedback.needs_merging:
            names, q, dq = merged_joints(self._embodiment.arms, states)
            nothing = np.zeros(0)
            self._joint_publisher.publish(conversions.joint_state_to_msg(names, q, dq, nothing, states[0].stamp_ns))
        self._ee_publisher.publish(conversions.ee_state_to_msg(states, self._base_frame, self._strokes_m))
        self._publish_tf(states)

    def _publish_tf(self, states: tuple[RobotState, ...]) -> None:
        stamp_ns = states[0].stamp_ns
        if self._settings.tf_hz <= 0 or self._next_tf_ns - 1_000_000_000 < stamp_ns < self._next_tf_ns:
            return
        self._next_tf_ns = stamp_ns + int(1e9 / self._settings.tf_hz)
        transforms = []
        for state in states:
            arm = self._embodiment.arm(state.arm)
            transforms.append(
                conversions.transform_stamped_msg(arm.base_frame, arm.ee_frame, state.T_base_ee, state.stamp_ns)
            )
        self._tf_publisher.publish(TFMessage(transforms=transforms))

    def _announce_state(self) -> None:
        """Latch armed, dry run and stop state whenever one changes; log the change."""
        reason = self._pipeline.stop_reason
        stopped = f"{reason.check}: {reason.message}" if reason else ""
        state = ("armed" if self._pipeline.is_armed else "disarmed", stopped)
        if state == self._published_state:
            return
        self._published_state = state
        if stopped:
            self.get_logger().error(f"STOP {stopped}")
        self._link.announce(bool(stopped))
        values = {"armed": state[0], "stopped": stopped, "dry_run": str(self._settings.dry_run).lower()}
        message = f"stopped: {stopped}" if stopped else state[0]
        self._state_publisher.publish(
            conversions.status_msg(self.get_fully_qualified_name(), not stopped, message, values)
        )
        self.publish_diagnostics()

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report armed and stop state and verdict counts."""
        if not self._is_active:
            return True, "not active", {}
        reason = self._pipeline.stop_reason
        values = self._verdicts.counts() | self._tick_meter.values("tick")
        values["realtime"] = self._refused_priority or str(self._settings.realtime_priority)
        if reason:
            return False, f"stopped: {reason.check}: {reason.message}; call ~/reset when it is safe", values
        return True, ("armed" if self._pipeline.is_armed else "disarmed"), values
