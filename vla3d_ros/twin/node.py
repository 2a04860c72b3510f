"""`twin`: a MuJoCo robot behind the interfaces of the real one. Truth for judging trials lives under `/twin/`."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, MultiDOFJointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory
from visualization_msgs.msg import MarkerArray

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.camera.source import CameraSources
from vla3d_ros.errors import ConfigError, Vla3dError
from vla3d_ros.ros import conversions, qos, twin_conversions
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, live_value, parameter
from vla3d_ros.ros.twin_arms import TwinArm, TwinFeedback
from vla3d_ros.twin.camera_source import TwinCameraSource
from vla3d_ros.twin.drivers import DriverSettings
from vla3d_ros.twin.faults import BlindableSource
from vla3d_ros.twin.judge import Judge
from vla3d_ros.twin.model import CUBE_PREFIX
from vla3d_ros.twin.motion_log import MotionRecord
from vla3d_ros.twin.pacing import Pacing
from vla3d_ros.twin.picture_maker import ObjectMask
from vla3d_ros.twin.runtime import TwinRuntime
from vla3d_ros.twin.scene import load_scene
from vla3d_ros.twin.trajectory_controller import Distribution
from vla3d_ros.twin.vendor_agx import AgxSettings, AgxSnapshot
from vla3d_ros.twin.world import JointSample, TwinWorld

_GRIPPER_POLL_S = 0.02
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinNodeParameters:
    """Parameters of `twin`."""

    robot_file: str = parameter("Robot file")
    rig_file: str = parameter("Camera rig file")
    scene_file: str = parameter("Scene file: table, cubes, pads")
    scene_seed: int = parameter("Seed of the next /twin/place", live=True)
    ros_distribution: str = parameter("Whose trajectory controller to imitate: humble or jazzy", default="jazzy")
    path_tolerance_rad: float = parameter("Path tolerance of the trajectory controllers", unit="rad", default=0.2)
    agx_snapshot: str = parameter("Which agx_arm_ros to imitate, by commit", default=AgxSnapshot.NODE_77882F4.value)
    agx_fast_mode: bool = parameter("agx_arm_ros's launch argument fast_mode", default=False)
    real_time_factor: float = parameter("Fastest world speed relative to the wall clock", default=1.0)
    state_hz: float = parameter("Rate of joint_states and of /clock", unit="Hz", default=200.0)
    waits_for_graph: bool = parameter("Whether the world waits for an adapter or policy that lags", default=True)
    max_state_lag_s: float = parameter("The world waits for an adapter further behind", unit="s", default=0.01)
    max_chunk_lag_s: float = parameter("The world waits for a policy further behind", unit="s", default=0.15)
    physics_hz: float = parameter("Rate of physics and of the robot's controllers", unit="Hz", default=500.0)
    fault: str = parameter("Fault to imitate, see vla3d_ros/twin/faults.py; empty = none", live=True, default="")
    log_s: float = parameter("The last seconds kept for /twin/save_log; 0 = none", unit="s", default=0.0)
    log_file: str = parameter("Where /twin/save_log writes how the arms moved (.npz)", default="")
    truth_hz: float = parameter("Rate of /twin/truth", unit="Hz", default=20.0)


class TwinNode(ManagedNode):
    """Carries messages to and from one `TwinRuntime`."""

    def __init__(self, sources: CameraSources) -> None:
        super().__init__("twin")
        self._settings = declare(self, TwinNodeParameters)
        self._sources = sources
        self._runtime: TwinRuntime | None = None
        lag_s = {"ee_state": self._settings.max_state_lag_s, "policy/chunk": self._settings.max_chunk_lag_s}
        self._pacing = Pacing(lag_s, patience_s=_PATIENCE_S)
        self._judge: Judge | None = None
        self._judged_seed = -1
        self._verdict = ""
        self._target: str | None = None
        self._arms: list[TwinArm] = []
        self._next_truth_ns = 0
        self._is_wired = False

    def configure(self) -> None:
        """Build the world and offer its cameras."""
        p = self._settings
        self._embodiment = load_embodiment(Path(p.robot_file))
        self._scene = load_scene(Path(p.scene_file))
        self._rig = rig = load_rig(Path(p.rig_file))
        world = TwinWorld(
            self._embodiment,
            rig,
            self._scene,
            drivers=self._driver_settings(),
            physics_hz=p.physics_hz,
            control_hz=p.physics_hz,
        )
        if p.log_s > 0:
            world.keep_log(p.log_s)
        self._runtime = TwinRuntime(
            world,
            real_time_factor=p.real_time_factor,
            state_hz=p.state_hz,
            on_clock=self._on_clock,
            on_joint_state=self._on_joint_state,
            on_failure=lambda error: self.get_logger().fatal(f"the world stopped: {error!r}"),
            pacing=self._pacing if p.waits_for_graph else None,
        )
        images = self._runtime.images
        self._sources.offer("twin", lambda spec: BlindableSource(TwinCameraSource(spec, images), world.faults))
        if not self._is_wired:
            self._wire(world)

    def _driver_settings(self) -> DriverSettings:
        p = self._settings
        return DriverSettings(
            distribution=Distribution.parse(p.ros_distribution),
            path_tolerance_rad=p.path_tolerance_rad,
            agx=AgxSettings(snapshot=AgxSnapshot.parse(p.agx_snapshot), fast_mode=p.agx_fast_mode),
        )

    def _wire(self, world: TwinWorld) -> None:
        self._is_wired = True
        self._clock_publisher = self.create_publisher(Clock, "/clock", qos.CLOCK)
        self._feedback = TwinFeedback(self, self._embodiment.arms)
        self._truth_publisher = self.create_publisher(MarkerArray, "/twin/truth", qos.EVENT)
        self._judge_publisher = self.create_publisher(DiagnosticStatus, "/twin/judge", qos.LATCHED)
        self.create_service(Trigger, "/twin/place", self._on_place)
        self.create_service(Trigger, "/twin/save_log", self._on_save_log)
        self._mask_publisher = self.create_publisher(Image, "/twin/target_mask", qos.EVENT)
        self.create_service(Trigger, "/twin/show_target", self._on_show_target)
        self._arms = [TwinArm(self, arm, world, self._call) for arm in self._embodiment.arms]
        for name, kind in (("ee_state", MultiDOFJointState), ("policy/chunk", MultiDOFJointTrajectory)):
            self.create_subscription(kind, name, partial(self._on_progress, name), qos.EVENT, raw=True)
        self.create_subscription(String, "instruction", self._on_instruction, qos.LATCHED)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_GRIPPER_POLL_S, self._answer_gripper_goals, clock=steady)

    def activate(self) -> None:
        """Let time run."""
        assert self._runtime is not None
        self._runtime.start()

    def deactivate(self) -> None:
        """Stop time for good; a new world needs a new configure."""
        if self._runtime is not None:
            self._runtime.stop()
            self._runtime = None

    # ------------------------------------------------------------- the interfaces of the real robot, out

    def _on_clock(self, now_ns: int) -> None:
        self._clock_publisher.publish(Clock(clock=conversions.stamp_from_ns(now_ns)))

    def _on_joint_state(self, sample: JointSample) -> None:
        self._feedback.publish(sample)
        if sample.stamp_ns >= self._next_truth_ns and self._runtime is not None:
            self._next_truth_ns = sample.stamp_ns + int(1e9 / self._settings.truth_hz)
            self._runtime.call(self._publish_truth)

    def _on_progress(self, name: str, cdr: bytes) -> None:
        """Note how far the graph has come; only the stamp is read."""
        self._pacing.hear(name, conversions.stamp_ns_of_cdr(cdr), time.monotonic())

    def _on_instruction(self, msg: String) -> None:
        """Wait for the policy's first chunk, too: its first inference is slow, and the world would run ahead of it."""
        if msg.data and self._runtime is not None:
            now_ns = self._runtime.call(lambda world: world.time_ns)
            self._pacing.expect("policy/chunk", now_ns, time.monotonic())

    # -------------------------------------------------------------- the interfaces of the real robot, in

    def _call(self, function: Callable[[TwinWorld], Any]) -> Any:
        return None if self._runtime is None else self._runtime.call(function)

    def _answer_gripper_goals(self) -> None:
        for arm in self._arms:
            arm.answer()

    # --------------------------------------------------------------------------------- for the judge only

    def _on_place(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = int(live_value(self, "scene_seed"))
        try:
            if self._runtime is None:
                raise ConfigError("the twin is not active; bring it up first")
            self._judge = None  # the one of the last trial must not see the new scene
            trial = self._runtime.call(lambda world: world.place(np.random.default_rng(seed)))
            start_ns = self._runtime.call(lambda world: world.time_ns)
        except Vla3dError as error:
            response.message = str(error)
            return response
        self._target = trial.cube
        self._judge, self._judged_seed = Judge(self._scene, trial, start_ns=start_ns), seed
        self._publish_verdict("running", "")
        response.success = True
        response.message = yaml.safe_dump({"instruction": trial.instruction, "cube": trial.cube, "pad": trial.pad})
        return response

    def _on_save_log(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        log = None if self._runtime is None else self._runtime.call(_logged)
        if log is None:
            response.message = "nothing is logged; set the parameters log_s and log_file, and bring the twin up"
            return response
        log.save(Path(self._settings.log_file))
        response.success, response.message = True, self._settings.log_file
        return response

    def _on_show_target(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Have the named cube's mask rendered in the anchor camera's next picture, and published."""
        if self._runtime is None or self._target is None:
            response.message = "nothing is placed; bring the twin up and call /twin/place first"
            return response
        camera = self._rig.camera(self._rig.anchor)
        try:
            self._runtime.ask_mask(camera, f"{CUBE_PREFIX}{self._target}").add_done_callback(self._publish_mask)
        except Vla3dError as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = yaml.safe_dump({"camera": camera.name, "target": f"{self._target} cube"})
        return response

    def _publish_mask(self, answer: Future[ObjectMask]) -> None:
        if (error := answer.exception()) is not None:
            self.get_logger().error(f"the target's mask could not be rendered: {error}")
            return
        found = answer.result()
        frame = found.camera.mount.optical_frame
        self._mask_publisher.publish(twin_conversions.mask_to_msg(found.mask, frame, found.stamp_ns))

    def _publish_truth(self, world: TwinWorld) -> None:
        world.faults.imitate(str(live_value(self, "fault")))
        truth = world.truth()
        frame = self._embodiment.arms[0].base_frame
        self._truth_publisher.publish(twin_conversions.truth_to_msg(truth, self._scene, frame))
        judge = self._judge
        if judge is not None and self._verdict == "running":
            ruling = judge.update(truth)
            if ruling is not None:
                self._publish_verdict(ruling.outcome.value, ruling.reason)

    def _publish_verdict(self, verdict: str, reason: str) -> None:
        self._verdict = verdict
        values = {"reason": reason, "scene_seed": str(self._judged_seed)}
        self._judge_publisher.publish(conversions.status_msg("/twin/judge", True, verdict, values))

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report whether the world runs, and how fast."""
        if self._runtime is None:
            return True, "not active", {}
        if self._runtime.failure is not None:
            return False, f"the world stopped: {self._runtime.failure}", {}
        factor = self._runtime.real_time_factor
        return True, "running", {"real_time_factor": f"{factor:.2f}"}


def _logged(world: TwinWorld) -> MotionRecord | None:
    return None if world.log is None else world.log.snapshot()
