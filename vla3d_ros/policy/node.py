"""`policy`: observations in, action chunks out, stamped with the observation's stamp."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import ActionChunk, Observation, PolicyReport
from vla3d_ros.errors import Vla3dError
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.policy.observation_digest import observation_digest
from vla3d_ros.policy.observation_window import ObservationWindow
from vla3d_ros.policy.prompt_pairing import PromptPairing
from vla3d_ros.policy.robot_state_pairing import RobotStatePairing
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.executed_steps import ExecutedStepsListener
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.node_thread import NodeThread
from vla3d_ros.ros.observation_inputs import ObservationInputs
from vla3d_ros.ros.parameters import declare, parameter
from vla3d_ros.ros.prompt_topic import PROMPT_TOPIC, prompt_from_msg
from vla3d_ros.ros.spatial_markers import SpatialPublisher

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
        self._settings = declare(self, PolicyNodeParameters)
        self._strokes_m = dict(zip(self._settings.arm_names, self._settings.gripper_strokes_m, strict=True))
        self._inputs = ObservationInputs(
            self,
            exchange=exchange,
            strokes_m=self._strokes_m,
            on_news=self._offer_observation,
            on_trouble=self._complain,
        )
        self._prompts = PromptPairing()
        self._prompt_msg: Image | None = None
        self._joints = self._split_joints()
        self._backend: PolicyBackend | None = None
        self._inference = NodeThread("inference", self._infer_forever)
        self._changed = self._inference.changed
        self._observation: Observation | None = None
        self._new_instruction: str | None = None
        self._instruction = ""
        self._is_wired = False
        self._trouble = ""
        self._tasks = 0
        self._replaced = 0
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
        self._requires_prompt = description.requires_prompt
        self._window = ObservationWindow(
            cameras=description.cameras,
            base_frame=self._settings.base_frame,
            ee_frames=dict(zip(self._settings.arm_names, self._settings.ee_frames, strict=True)),
            grace_ns=int(self._settings.grace_ms * 1e6),
            min_views=self._settings.min_views,
            depth_cameras=description.depth_cameras,
        )
        self._inputs.fill(self._window, RobotStatePairing(self._joints), description.cameras)
        if not self._is_wired:
            self._wire(self._settings.arm_names if description.uses_executed_steps else ())

    def _wire(self, accountable_arms: Sequence[str]) -> None:
        self._is_wired = True
        self.create_subscription(String, "instruction", self._on_instruction, qos.LATCHED)
        self.create_subscription(Image, PROMPT_TOPIC, self._on_prompt, qos.LATCHED)
        self._chunk_publisher = self.create_publisher(MultiDOFJointTrajectory, "~/chunk", qos.EVENT)
        self._report_publisher = self.create_publisher(DiagnosticStatus, "~/report", qos.EVENT)
        self._spatial = SpatialPublisher(self, self._settings.base_frame)
        self._executed = ExecutedStepsListener(self, accountable_arms)

    def activate(self) -> None:
        """Start inferring."""
        self._inference.start()

    def deactivate(self) -> None:
        """Stop inferring."""
        self._inference.stop()

    def clean_up(self) -> None:
        """Release the policy."""
        if self._backend is not None:
            self._backend.close()

    # ------------------------------------------------------------------------------------------- inputs

    def _on_instruction(self, msg: String) -> None:
        self._prompts.start(msg.data.strip())
        with self._changed:
            self._new_instruction = msg.data.strip()
            self._observation = None
            self._changed.notify()

    def _on_prompt(self, msg: Image) -> None:
        self._prompt_msg = msg
        self._read_prompt()

    def _read_prompt(self) -> None:
        """Take a prompt that came, once it can be told of which camera it is."""
        if self._prompt_msg is None or self._window.waiting_for:
            return
        msg, self._prompt_msg = self._prompt_msg, None
        try:
            self._prompts.add_prompt(prompt_from_msg(msg, self._window.camera_of_frame))
        except Vla3dError as error:
            self._complain(str(error))

    def _offer_observation(self) -> None:
        self._read_prompt()
        try:
            observation = self._window.take(self._instruction)
        except Vla3dError as error:
            self._complain(str(error))
            return
        if observation is None:
            return
        if problem := self._prompts.problem(is_required=self._requires_prompt):
            self._complain(problem)
            return
        with self._changed:
            self._replaced += self._observation is not None and bool(self._instruction)
            self._observation = replace(observation, executed_steps=self._executed.newest, prompt=self._prompts.current)
            self._changed.notify()

    # ---------------------------------------------------------------------------------------- inference

    @property
    def _has_news(self) -> bool:
        return self._observation is not None or self._new_instruction is not None

    def _infer_forever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._inference.is_wanted or self._has_news)
                if not self._inference.is_wanted:
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
        if not self._inference.is_wanted or not self.context.ok():
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
        with_depth = [view.camera for view in observation.views if view.depth_m is not None]
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
            "depth_views": str(len(with_depth)),
            "depth_cameras": " ".join(with_depth),
            "lost_sets": str(counters.lost),
            "overtaken_sets": str(counters.overtaken),
            "replaced_observations": str(self._replaced),  # by a newer one while inference was busy
            "views_without_depth": str(counters.views_without_depth),
            "prompt": observation.prompt.colour if observation.prompt else "",
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
        if not self._inference.is_wanted:
            return True, "not active", {}
        counters = self._window.counters
        values = {
            "instruction": self._instruction,
            "complete_sets": str(counters.complete),
            "incomplete_sets": str(counters.incomplete),
            "lost_sets": str(counters.lost),
            "overtaken_sets": str(counters.overtaken),
            "replaced_observations": str(self._replaced),
            "views_without_depth": str(counters.views_without_depth),
        }
        if self._trouble:
            return False, self._trouble, values
        if waiting := self._window.waiting_for:
            return False, f"waiting for {', '.join(waiting)}", values
        if not self._instruction:
            return True, "idle: no instruction", values
        age_s = float("inf") if self._last_chunk_ns is None else (self.now_ns - self._last_chunk_ns) / 1e9
        return age_s < _STALE_S, f"last chunk {age_s:.2f} s ago", values
