"""Strikes a running graph with faults, from outside, and hears what it says about them."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, MultiDOFJointState
from std_msgs.msg import Empty
from trajectory_msgs.msg import JointTrajectory, MultiDOFJointTrajectory

from vla3d_ros.errors import TransportError
from vla3d_ros.evaluation.live_trials import LiveSession, TrialError, go_home
from vla3d_ros.ros import conversions, fault_chunks, qos
from vla3d_ros.ros.persistent_client import PersistentClient, ask_again
from vla3d_ros.ros.robot_services import RobotServices
from vla3d_ros.twin.motion_log import MotionRecord

_TIMEOUT_S = 10.0
_SERVICES = ("adapter/stop", "adapter/home", "/twin/save_log")
_HEARTBEAT_S = 0.05
_CHUNK_S = 1.0 / 30.0
_LEAP_S = 0.5
_BETWEEN_S = 0.05  # after the policy's chunk: sooner, the gate would refuse any chunk
_NOT_REASONS = ("dropped_steps", "stamp_ns")
_ACCOUNT = "_executed_"  # what was executed of a chunk, in the same message
_FULL_BYTES = 4096


class FaultInjector:
    """Implements `FaultTools` over topics, services and signals; spins a node of its own in a thread."""

    def __init__(
        self, session: LiveSession, pid: Callable[[str], int], *, namespace: str, base_frame: str,
        strokes_m: dict[str, float], command_topic: str, seed: int = 0,
    ) -> None:  # fmt: skip
        """Join the graph in the context that the session has opened.

        Args:
            session: Drives the graph.
            pid: Process name -> process id, of children of ours.
            namespace: Namespace of the robot, without slashes.
            base_frame: Frame of the chunks.
            strokes_m: Arm name -> stroke of its gripper.
            command_topic: Where the first arm's controller listens.
            seed: Of the random policy.
        """
        self._session, self._pid = session, pid
        self._base_frame, self._strokes_m, self._command_topic = base_frame, strokes_m, command_topic
        self._generator = np.random.default_rng(seed)
        self.refusals: list[str] = []
        self.fastest_rad_s = 0.0
        self._template: MultiDOFJointTrajectory | None = None
        self._ee_state: MultiDOFJointState | None = None
        self._intruder: Publisher | None = None
        self._full_pid: int | None = None
        self._is_holding = True
        self._is_closing = threading.Event()
        self._node = rclpy.create_node("fault_injector", namespace=f"/{namespace}", start_parameter_services=False)
        self._wire()
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="fault_injector", daemon=True)
        self._thread.start()

    def _wire(self) -> None:
        node = self._node
        self._chunks = node.create_publisher(MultiDOFJointTrajectory, "policy/chunk", qos.EVENT)
        self._clock = node.create_publisher(Clock, "/clock", qos.CLOCK)
        heartbeat = node.create_publisher(Empty, "heartbeat", qos.SENSOR)
        self._services = RobotServices(node, _SERVICES, patience_s=_TIMEOUT_S)
        self._twin = PersistentClient(node, SetParameters, "twin/set_parameters", patience_s=_TIMEOUT_S)
        node.create_subscription(MultiDOFJointTrajectory, "policy/chunk", self._on_chunk, qos.EVENT)
        node.create_subscription(MultiDOFJointState, "ee_state", self._on_ee_state, qos.SENSOR)
        node.create_subscription(JointState, "joint_states", self._on_joint_state, qos.SENSOR)
        node.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_HEARTBEAT_S, lambda: heartbeat.publish(Empty()) if self._is_holding else None, clock=steady)

    def close(self) -> None:
        """Leave the graph."""
        self._is_closing.set()
        self._thread.join(timeout=2.0)
        self._executor.shutdown(timeout_sec=2.0)
        self._node.destroy_node()

    def clear(self) -> None:
        """Undo everything that can be undone, and forget what was heard."""
        self._is_holding = True
        if self._intruder is not None:
            self._node.destroy_publisher(self._intruder)
            self._intruder = None
        if self._full_pid is not None and Path(f"/proc/{self._full_pid}").exists():
            _, hard = resource.prlimit(self._full_pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self._full_pid, resource.RLIMIT_FSIZE, (hard, hard))
        self._full_pid = None
        self.refusals.clear()
        self._template = None

    def save_log(self) -> MotionRecord:
        """Return the twin's own log.

        Raises:
            TrialError: If the twin keeps none, or is gone.
        """
        return MotionRecord.load(Path(self._trigger("/twin/save_log")))

    # ---------------------------------------------------------------------------------------- FaultTools

    def kill(self, process: str) -> None:
        """See `FaultTools`."""
        os.kill(self._pid(process), signal.SIGKILL)

    def pause(self, process: str, seconds: float) -> None:
        """See `FaultTools`."""
        pid = self._pid(process)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def fill_disk(self, process: str) -> None:
        """See `FaultTools`."""
        self._session.start_recording()
        self._full_pid = self._pid(process)
        _, hard = resource.prlimit(self._full_pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._full_pid, resource.RLIMIT_FSIZE, (_FULL_BYTES, hard))

    def break_twin(self, fault: str) -> None:
        """See `FaultTools`."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=fault)
        request = SetParameters.Request(parameters=[Parameter(name="fault", value=value)])
        try:
            result = self._twin.call(request, on_silence=ask_again).results[0]
        except TransportError as error:
            raise TrialError(str(error)) from error
        if not result.successful:
            raise TrialError(f"the twin refused fault '{fault}': {result.reason}")

    def send_chunk(self, flaw: str) -> None:
        """See `FaultTools`."""
        deadline = time.monotonic() + _TIMEOUT_S
        while self._template is None:
            if time.monotonic() > deadline:
                raise TrialError(f"the policy sent no chunk for {_TIMEOUT_S:g} s")
            time.sleep(0.01)
        time.sleep(_BETWEEN_S)
        self._chunks.publish(fault_chunks.flawed(self._template, flaw))

    def flood(self, seconds: float) -> None:
        """See `FaultTools`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._publish_heading("seek_limit")
            time.sleep(0.001)

    def steer(self, course: str, seconds: float) -> None:
        """See `FaultTools`. The random policy is set going again after every stop."""
        start_ns = self._session.status().now_ns
        deadline = time.monotonic() + _TIMEOUT_S + 6.0 * seconds
        while self._session.status().now_ns - start_ns < seconds * 1e9 and time.monotonic() < deadline:
            if self._session.status().stop_reason:
                if course != "random":
                    return
                go_home(self._session)
                self._session.arm()
            self._publish_heading(course)
            time.sleep(_CHUNK_S)

    def leap_clock(self, seconds: float) -> None:
        """See `FaultTools`."""
        deadline = time.monotonic() + _LEAP_S
        while time.monotonic() < deadline:
            wrong_ns = max(self._session.status().now_ns + int(seconds * 1e9), 1)
            self._clock.publish(Clock(clock=conversions.stamp_from_ns(wrong_ns)))
            time.sleep(0.001)

    def claim_command_topic(self) -> None:
        """See `FaultTools`."""
        self._intruder = self._node.create_publisher(JointTrajectory, self._command_topic, qos.COMMAND)

    def hold_heartbeat(self) -> None:
        """See `FaultTools`."""
        self._is_holding = False

    def instruct(self, instruction: str) -> None:
        """See `FaultTools`."""
        self._session.instruct(instruction)

    def call(self, service: str) -> None:
        """See `FaultTools`."""
        self._trigger(f"adapter/{service}")

    # -------------------------------------------------------------------------------------------- inside

    def _publish_heading(self, course: str) -> None:
        if self._ee_state is None:
            return
        state = self._ee_state
        poses = {arm: T for arm, (T, _) in conversions.ee_state_from_msg(state, self._strokes_m).items()}
        stamp_ns = conversions.stamp_to_ns(state.header.stamp)
        chunk = fault_chunks.heading(course, poses, stamp_ns, self._generator)
        self._chunks.publish(conversions.chunk_to_msg(chunk, self._base_frame, self._strokes_m))

    def _on_chunk(self, msg: MultiDOFJointTrajectory) -> None:
        self._template = msg

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        self._ee_state = msg

    def _on_joint_state(self, msg: JointState) -> None:
        self.fastest_rad_s = max(map(abs, msg.velocity), default=0.0)

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        self.refusals += [
            value.key for value in msg.values if value.key not in _NOT_REASONS and _ACCOUNT not in value.key
        ]

    def _trigger(self, service: str) -> str:
        try:
            return self._services.call(service)
        except TransportError as error:
            raise TrialError(str(error)) from error

    def _spin(self) -> None:
        try:
            while rclpy.ok() and not self._is_closing.is_set():
                self._executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            return
