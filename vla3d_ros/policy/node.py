"""`policy`: observations in, action chunks out, stamped with the observation's stamp."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image, JointState, MultiDOFJointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import ActionChunk, Observation, PolicyReport, RobotState
from vla3d_ros.errors import Vla3dError
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.policy.observation_digest import observation_digest
from vla3d_ros.policy.observation_window import ObservationWindow
from vla3d_ros.policy.robot_state_pairing import RobotStatePairing
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.executed_steps import ExecutedStepsListener
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter
from vla3d_ros.ros.spatial_markers import SpatialPublisher
from vla3d_ros.ros.view_inbox import ViewInbox

_STALE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNodeParameters:
    """Parameters of `policy`. What it must know of the robot is names, frames and strokes, nothing else."""

    backend: str = parameter("Kind of policy")
    backend_config: str = parameter("File with the backend's settings")
    base_frame: str = parameter("Frame in which the policy thinks")
    arm_names: tuple[str, ...] = parameter("Arms, in order")
    ee_frames: tuple[str, ...] = parameter("End-effector frame of each arm")
    gripper_strokes_m: tuple[float, ...] = parameter("Opening of each fully open gripper", unit="m")
    joint_counts: tuple[int, ...] = parameter("Number of joints of each arm")
    joint_names: tuple[str, ...] = parameter("Joints of all arms, arm after arm")
    grace_ms: float = parameter("How long an observation waits for a late image", unit="ms", default=50.0)
    min_views: int = parameter("Fewest views that make an observation", default=2)


class PolicyNode(ManagedNode):
    """Inference runs in its own thread; the latest observation wins, nothing queues.

    Views come as messages, or as arrays over the exchange when the camera node lives in the same process.
    """

    def __init__(self, exchange: ViewExchange | None = None) -> None:
        super().__init__("policy")
        self._exchange = exchange
        self._inbox: ViewInbox | None = None
        self._settings = declare(self, PolicyNodeParameters)
        self._strokes_m = dict(zip(self._settings.arm_names, self._settings.gripper_strokes_m, strict=True))
        self._joints = self._split_joints()
        self._backend: PolicyBackend | None = None
        self._changed = threading.Condition()
        self._observation: Observation | None = None
        self._new_instruction: str | None = None
        self._instruction = ""
        self._thread: threading.Thread | None = None
        self._is_active = False
        self._is_wired = False
        self._trouble = ""
        self._tasks = 0
        self._unanswered: list[int] = []
        self._last_chunk_ns: int | None = None

    def _split_joints(self) -> dict[str, tuple[str, ...]]:
        names = iter(self._settings.joint_names)
        counts = zip(self._settings.arm_names, self._settings.joint_counts, strict=True)
        return {arm: tuple(next(names) for _ in range(count)) for arm, count in counts}

    def configure(self) -> None:
        """Load the policy and subscribe to what it wants to see."""
        self._backend = load_backend(self._settings.backend, self._settings.backend_config)
        description = self._backend.description
        description.require_arms(self._settings.arm_names)
        self._cameras = description.cameras
        self._window = ObservationWindow(
            cameras=self._cameras,
            base_frame=self._settings.base_frame,
            ee_frames=dict(zip(self._settings.arm_names, self._settings.ee_frames, strict=True)),
            grace_ns=int(self._settings.grace_ms * 1e6),
            min_views=self._settings.min_views,
        )
        self._pairing = RobotStatePairing(self._joints)
        if not self._is_wired:
            self._wire(self._settings.arm_names if description.uses_executed_steps else ())

    def _wire(self, accountable_arms: Sequence[str]) -> None:
        self._is_wired = True
        if self._exchange is not None:
            self._inbox = ViewInbox(self, self._exchange, self._on_views)
        for camera in self._cameras if self._exchange is None else ():
            on_image, on_info = partial(self._on_image, camera), partial(self._on_info, camera)
            self.create_subscription(Image, f"camera/{camera}/image_raw", on_image, qos.SENSOR)
            self.create_subscription(CameraInfo, f"camera/{camera}/camera_info", on_info, qos.SENSOR)
            on_mount = partial(self._on_extrinsics, camera)
            self.create_subscription(TransformStamped, f"camera/{camera}/extrinsics", on_mount, qos.LATCHED)
        self.create_subscription(JointState, "joint_states", self._on_joint_state, qos.STATE)
        self.create_subscription(MultiDOFJointState, "ee_state", self._on_ee_state, qos.STATE)
        self.create_subscription(String, "instruction", self._on_instruction, qos.LATCHED)
        self._chunk_publisher = self.create_publisher(MultiDOFJointTrajectory, "~/chunk", qos.EVENT)
        self._report_publisher = self.create_publisher(DiagnosticStatus, "~/report", qos.EVENT)
        self._spatial = SpatialPublisher(self, self._settings.base_frame)
        self._executed = ExecutedStepsListener(self, accountable_arms)

    def activate(self) -> None:
        """Start inferring."""
        self._is_active = True
        self._thread = threading.Thread(target=self._infer_forever, name="inference", daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        """Stop inferring."""
        with self._changed:
            self._is_active = False
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
            self._thread = None

    def clean_up(self) -> None:
        """Release the policy."""
        if self._backend is not None:
            self._backend.close()

    # ------------------------------------------------------------------------------------------- inputs

    def _on_views(self) -> None:
        assert self._inbox is not None
        try:
            self._inbox.move_into(self._window, self._cameras, self.now_ns)
        except Vla3dError as error:
            self._complain(str(error))
        self._offer_observation()

    def _on_image(self, camera: str, msg: Image) -> None:
        try:
            self._window.add_image(conversions.image_from_msg(camera, msg, self.now_ns))
        except Vla3dError as error:
            self._complain(str(error))
        self._offer_observation()

    def _on_info(self, camera: str, msg: CameraInfo) -> None:
        try:
            self._window.add_model(camera, conversions.camera_model_from_msg(msg))
        except Vla3dError as error:
            self._complain(f"camera '{camera}': {error}")

    def _on_extrinsics(self, camera: str, msg: TransformStamped) -> None:
        try:
            self._window.add_mount(conversions.mount_from_msg(camera, msg))
        except Vla3dError as error:
            self._complain(str(error))

    def _on_joint_state(self, msg: JointState) -> None:
        try:
            self._add_states(self._pairing.add_joint_state(*conversions.joint_state_from_msg(msg)))
        except Vla3dError as error:
            self._complain(str(error))

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        stamp_ns = conversions.stamp_to_ns(msg.header.stamp)
        try:
            ee_states = conversions.ee_state_from_msg(msg, self._strokes_m)
            self._add_states(self._pairing.add_ee_state(stamp_ns, ee_states))
        except Vla3dError as error:
            self._complain(str(error))

    def _add_states(self, states: Sequence[RobotState]) -> None:
        for state in states:
            self._window.add_robot_state(state)
        if states:
            self._offer_observation()

    def _on_instruction(self, msg: String) -> None:
        with self._changed:
            self._new_instruction = msg.data.strip()
            self._observation = None
            self._changed.notify()

    def _offer_observation(self) -> None:
        try:
            observation = self._window.take(self._instruction)
        except Vla3dError as error:
            self._complain(str(error))
            return
        if observation is not None:
            with self._changed:
                self._observation = replace(observation, executed_steps=self._executed.newest)
                self._changed.notify()

    # ---------------------------------------------------------------------------------------- inference

    def _infer_forever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: not self._is_active or self._observation is not None or self._new_instruction is not None
                )
                if not self._is_active:
                    return
                instruction, self._new_instruction = self._new_instruction, None
                observation, self._observation = self._observation, None
            try:
                if instruction is not None:
                    self._start_task(instruction)
                elif observation is not None and self._instruction:
                    self._infer(replace(observation, instruction=self._instruction))
            except Vla3dError as error:
                if observation is not None and instruction is None:
                    self._unanswered.append(observation.stamp_ns)
                self._complain(str(error))

    def _start_task(self, instruction: str) -> None:
        assert self._backend is not None
        self._instruction = ""
        self._trouble = ""
        self._unanswered.clear()
        self._tasks += 1
        if instruction:
            self._backend.reset(instruction)
        self._instruction = instruction
        self.get_logger().info(f"instruction: '{instruction}'" if instruction else "no instruction: idle")
        self.publish_diagnostics()

    def _infer(self, observation: Observation) -> None:
        assert self._backend is not None
        started_ns = time.perf_counter_ns()
        chunk = self._backend.infer(observation)
        compute_ns = time.perf_counter_ns() - started_ns
        if not self._is_active or not self.context.ok():
            return
        self._chunk_publisher.publish(conversions.chunk_to_msg(chunk, self._settings.base_frame, self._strokes_m))
        self._publish_report(observation, chunk, compute_ns)
        self._spatial.publish(chunk.report.spatial if chunk.report else None, chunk.stamp_ns)
        self._last_chunk_ns = self.now_ns
        if self._trouble:
            self.get_logger().info(f"recovered from: {self._trouble}")
            self._trouble = ""

    def _publish_report(self, observation: Observation, chunk: ActionChunk, compute_ns: int) -> None:
        details = chunk.report.details if chunk.report else {}
        counters = self._window.counters
        unanswered = " ".join(map(str, self._unanswered))
        self._unanswered.clear()
        values = {
            "stamp_ns": str(observation.stamp_ns),
            "task": str(self._tasks),
            "instruction": observation.instruction,
            "observation": observation_digest(observation),
            "unanswered_stamps_ns": unanswered,  # seen by the policy since its last chunk: it may remember them
            "latency_ms": f"{observation.age_ns(self.now_ns) / 1e6:.2f}",
            "skew_ms": f"{observation.skew_ns / 1e6:.2f}",
            "views": str(len(observation.views)),
            "lost_sets": str(counters.lost),
            "overtaken_sets": str(counters.overtaken),
        }
        for steps in observation.executed_steps:
            values |= steps.values()
        report = PolicyReport(compute_ns=compute_ns, details=details)
        self._report_publisher.publish(conversions.report_to_msg(self.get_fully_qualified_name(), report, values))

    def _complain(self, trouble: str) -> None:
        """Warn once per trouble; recovery is logged with the next chunk."""
        if trouble != self._trouble:
            self._trouble = trouble
            self.get_logger().warning(trouble)
            self.publish_diagnostics()

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report what is waited for, trouble, and chunk age."""
        if not self._is_active:
            return True, "not active", {}
        counters = self._window.counters
        values = {
            "instruction": self._instruction,
            "complete_sets": str(counters.complete),
            "incomplete_sets": str(counters.incomplete),
            "lost_sets": str(counters.lost),
            "overtaken_sets": str(counters.overtaken),
        }
        if self._trouble:
            return False, self._trouble, values
        if waiting := self._window.waiting_for:
            return False, f"waiting for {', '.join(waiting)}", values
        if not self._instruction:
            return True, "idle: no instruction", values
        age_s = float("inf") if self._last_chunk_ns is None else (self.now_ns - self._last_chunk_ns) / 1e9
        return age_s < _STALE_S, f"last chunk {age_s:.2f} s ago", values
