"""`adapter`: chunks in, checked commands out. Nothing reaches an arm except through the gate in its pipeline."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.clock import Clock, ClockType
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState, MultiDOFJointState
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMsg
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.datatypes import RobotState
from vla3d_ros.errors import ShapeError
from vla3d_ros.execution import Execution, ExecutionConfig, ExecutionPipeline
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.grippers import GripperClient
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter

_REQUESTS = ("arm", "disarm", "stop", "reset", "home")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterNodeParameters:
    """Parameters of `adapter`."""

    robot_file: str = parameter("Robot file: joints, frames, limits, interfaces")
    dry_run: bool = parameter("Plan and judge, but command nothing")
    execution: ExecutionConfig
    tick_hz: float = parameter("Rate of the watchdogs", unit="Hz", default=50.0)
    tf_hz: float = parameter("Rate of /tf for the end effectors; 0 if robot_state_publisher does it", unit="Hz")


class AdapterNode(ManagedNode):
    """Carries messages to and from one `ExecutionPipeline`."""

    def __init__(self) -> None:
        super().__init__("adapter")
        self._settings = declare(self, AdapterNodeParameters)
        self._is_active = False
        self._verdicts: Counter[str] = Counter()
        self._published_state: tuple[str, ...] | None = None
        self._next_tf_ns = 0
        self._is_wired = False

    def configure(self) -> None:
        """Build the pipeline for this robot and connect it."""
        self._embodiment = load_embodiment(Path(self._settings.robot_file))
        self._pipeline = ExecutionPipeline(self._embodiment, self._settings.execution, dry_run=self._settings.dry_run)
        self._strokes_m = {arm.name: arm.gripper.stroke_m if arm.gripper else 1.0 for arm in self._embodiment.arms}
        self._base_frame = self._embodiment.arms[0].base_frame
        if not self._is_wired:
            self._wire()

    def _wire(self) -> None:
        self._is_wired = True
        arms = self._embodiment.arms
        self._trajectory_publishers = {
            arm.name: self.create_publisher(JointTrajectoryMsg, arm.command.topic, qos.COMMAND) for arm in arms
        }
        self._grippers = {arm.name: GripperClient(self, arm.gripper) for arm in arms if arm.gripper}
        self._gripper_publisher = self.create_publisher(JointState, "~/gripper_command", qos.EVENT)
        self._verdict_publisher = self.create_publisher(DiagnosticStatus, "~/verdict", qos.EVENT)
        self._state_publisher = self.create_publisher(DiagnosticStatus, "~/state", qos.LATCHED)
        self._path_publishers = {arm.name: self._create_path_publisher(arm.name) for arm in arms}
        self._ee_publisher = self.create_publisher(MultiDOFJointState, "ee_state", qos.EVENT)
        self._tf_publisher = self.create_publisher(TFMessage, "/tf", qos.EVENT)
        self.create_subscription(MultiDOFJointTrajectory, "policy/chunk", self._on_chunk, qos.EVENT)
        self.create_subscription(JointState, "joint_states", self._on_joint_state, qos.SENSOR)
        for name in _REQUESTS:
            self.create_service(Trigger, f"~/{name}", partial(self._on_request, name))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self._settings.tick_hz, self._on_tick, clock=steady)

    def _create_path_publisher(self, arm: str) -> Publisher:
        return self.create_publisher(PoseArray, f"~/planned_path/{arm}", qos.EVENT)

    def activate(self) -> None:
        """Start listening; the arm stays disarmed."""
        self._is_active = True
        self._announce_state()

    def deactivate(self) -> None:
        """Bring the arm to rest and stop listening."""
        if self._is_active and self.context.ok():
            self._carry_out(self._pipeline.disarm(self.now_ns))
        self._is_active = False

    # ------------------------------------------------------------------------------------------- inputs

    def _on_joint_state(self, msg: JointState) -> None:
        if not self._is_active:
            return
        states = self._pipeline.on_joint_state(*conversions.joint_state_from_msg(msg))
        if states:
            self._ee_publisher.publish(conversions.ee_state_to_msg(states, self._base_frame, self._strokes_m))
            self._publish_tf(states)

    def _on_chunk(self, msg: MultiDOFJointTrajectory) -> None:
        if not self._is_active:
            return
        try:
            chunk = conversions.chunk_from_msg(msg, self._strokes_m)
        except ShapeError as error:
            self._carry_out(self._pipeline.stop(f"malformed chunk: {error}", self.now_ns))
            return
        self._carry_out(self._pipeline.on_chunk(chunk, self.now_ns))

    def _on_tick(self) -> None:
        if self._is_active:
            self._carry_out(self._pipeline.on_tick(self.now_ns))

    def _on_request(self, name: str, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if not self._is_active:
            response.success, response.message = False, "the adapter is not active; bring it up first"
            return response
        if name == "stop":
            execution = self._pipeline.stop("operator: stop service called", self.now_ns)
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
                self._trajectory_publishers[trajectory.arm].publish(conversions.joint_trajectory_to_msg(trajectory))
            for target in execution.gripper_targets:
                self._grippers[target.arm].send(target.opening)
        for target in execution.gripper_targets:
            position_m = target.opening * self._strokes_m[target.arm]
            msg = JointState(name=[target.arm], position=[position_m])
            msg.header.stamp = conversions.stamp_from_ns(execution.verdict.stamp_ns)
            self._gripper_publisher.publish(msg)
        for plan in execution.plans:
            path = conversions.path_to_msg(self._base_frame, plan.Ts_base_ee, int(plan.times_ns[0]))
            self._path_publishers[plan.arm].publish(path)
        if execution.trajectories or execution.verdict.reasons:
            self._publish_verdict(execution)
        self._announce_state()

    def _publish_verdict(self, execution: Execution) -> None:
        verdict = execution.verdict
        kind = verdict.kind.value
        self._verdicts[kind] += 1
        name = self.get_fully_qualified_name()
        values = {"dropped_steps": str(execution.dropped_steps), "stamp_ns": str(verdict.stamp_ns)}
        self._verdict_publisher.publish(conversions.verdict_to_msg(name, verdict, values))

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
        values = {f"verdict_{kind}": str(count) for kind, count in sorted(self._verdicts.items())}
        if reason:
            return False, f"stopped: {reason.check}: {reason.message}; call ~/reset when it is safe", values
        return True, ("armed" if self._pipeline.is_armed else "disarmed"), values
