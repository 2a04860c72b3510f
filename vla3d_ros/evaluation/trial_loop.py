"""One trial in one process: the cores of the live graph, wired by function calls instead of topics.

Time is the world's own, so a trial takes as long as the machine needs and always ends the same way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.adapter.interfaces.arm_speaker import ArmSpeaker
from vla3d_ros.adapter.interfaces.messages import WireMessage
from vla3d_ros.camera.rig import CameraRig, CameraSpec, load_rig
from vla3d_ros.datatypes import ActionChunk, CameraImage, Observation, Rgb
from vla3d_ros.errors import PerceptionError
from vla3d_ros.evaluation.statistics import percentile
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_stage import set_stage
from vla3d_ros.evaluation.verdict_words import verdict_kind
from vla3d_ros.execution import Execution, ExecutionConfig, ExecutionPipeline
from vla3d_ros.policy.backend import PolicyBackend
from vla3d_ros.policy.observation_window import ObservationWindow
from vla3d_ros.twin.depth_renderer import DepthRenderer, depth_cameras
from vla3d_ros.twin.judge import Judge
from vla3d_ros.twin.renderer import Float, TwinRenderer
from vla3d_ros.twin.scene import load_scene
from vla3d_ros.twin.truth import Truth
from vla3d_ros.twin.variation import Variation

_NS = 1_000_000_000
_TICK_HZ = 50.0


class Eyes(Protocol):
    """What makes pictures of a world: a `TwinRenderer`, or what stands in for one."""

    def render(self, render_state: Float) -> dict[str, Rgb]:
        """Return a picture (H, W, 3) by camera."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetup:
    """What a trial is made of.

    policy_factory builds the policy (picklable, for runs in several processes). A chunk is delivered `latency_ms` of
    world time after its observation's stamp. In a share `nudge_share` of the trials the named cube is pushed aside as
    the arm comes near. `timeout_s` of world time ends a trial earlier than the scene's own timeout. `variation` says
    how the world differs from its files, None = not. `eyes` builds what makes pictures from a model and its cameras.
    """

    robot_file: Path
    rig_file: Path
    scene_file: Path
    policy_factory: Callable[[], PolicyBackend]
    execution: ExecutionConfig
    latency_ms: float = 40.0
    nudge_share: float = 0.0
    joint_state_hz: float = 200.0
    timeout_s: float | None = None
    variation: Variation | None = None
    eyes: Callable[[Any, Sequence[CameraSpec]], Eyes] = TwinRenderer


@dataclass(slots=True)
class _Schedule:
    """Something due at a fixed rate."""

    period_ns: int
    next_ns: int = 0

    def is_due(self, now_ns: int) -> bool:
        if now_ns < self.next_ns:
            return False
        self.next_ns = max(self.next_ns + self.period_ns, now_ns - self.period_ns)
        return True


@dataclass(slots=True)
class _Tally:
    """What is counted while a trial runs."""

    latencies_ms: list[float] = field(default_factory=list)
    skews_ms: list[float] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    attempts: int | None = None
    unseen: int = 0
    last_unseen: str = ""


class TrialLoop:
    """World, cameras, policy, adapter and safety, advanced together until the judge or the gate ends the trial."""

    def __init__(self, setup: TrialSetup, generator: np.random.Generator) -> None:
        """Build everything anew, so that a trial depends on its generator alone.

        Raises:
            ConfigError: If a file is wrong.
            DependencyError: If the twin can not run or render here.
        """
        self._setup = setup
        self._embodiment: Embodiment = load_embodiment(setup.robot_file)
        self._rig: CameraRig = load_rig(setup.rig_file)
        self.stage = set_stage(
            self._embodiment, self._rig, load_scene(setup.scene_file), generator,
            nudge_share=setup.nudge_share, variation=setup.variation,
        )  # fmt: skip
        self.scene, self.world, self.trial = self.stage.scene, self.stage.world, self.stage.trial
        self._nudge = self.stage.nudge
        self._latency_ns = (setup.latency_ms + self.stage.extra_latency_ms) * 1e6
        self.policy = setup.policy_factory()
        looked_at = set(self.policy.description.cameras) - set(self.stage.missing_views)
        self.eyes = setup.eyes(self.world.model, [c for c in self.world.rig.cameras if c.name in looked_at])
        self.pipeline = ExecutionPipeline(self._embodiment, self.stage.bounds(setup.execution))
        wanted = self.policy.description.depth_cameras
        deep = [spec for spec in depth_cameras(self.world.rig.cameras) if spec.name in wanted]
        self._depth_eyes = DepthRenderer(self.world.model, deep) if deep else None
        self._window = self._create_window()
        self._judge = Judge(self.scene, self.trial, start_ns=self.world.time_ns)
        self._start_ns = self.world.time_ns
        self._joints = _Schedule(round(_NS / setup.joint_state_hz), self._start_ns)
        self._images = _Schedule(round(_NS / self._rig.rate_hz), self._start_ns)
        self._ticks = _Schedule(round(_NS / _TICK_HZ), self._start_ns)
        self._speakers = {arm.name: ArmSpeaker(arm, self._embodiment.urdf_path) for arm in self._embodiment.arms}
        self._setpoints = {
            name: _Schedule(round(_NS / speaker.tick_hz), self._start_ns) for name, speaker in self._speakers.items()
        }
        self._pending: deque[ActionChunk] = deque()
        self._under_way: deque[tuple[int, str, WireMessage]] = deque()
        self._tally = _Tally()
        self._failure: str | None = None
        self.on_execution: Callable[[Execution], None] = lambda execution: None
        """Called with everything the pipeline decided, for plots and tests."""
        self.on_chunk: Callable[[ActionChunk], None] = lambda chunk: None
        """Called with every chunk the policy made, for plots and tests."""
        self.on_observation: Callable[[Observation], None] = lambda observation: None
        """Called with everything the policy is shown."""
        self.on_truth: Callable[[Truth], None] = lambda truth: None
        """Called with the truth whenever the judge looks at it."""

    def _create_window(self) -> ObservationWindow:
        window = ObservationWindow(
            cameras=self.policy.description.cameras,
            base_frame=self._embodiment.arms[0].base_frame,
            ee_frames={arm.name: arm.ee_frame for arm in self._embodiment.arms},
            grace_ns=_NS // 20,
            min_views=2,
            depth_cameras=self.policy.description.depth_cameras,
        )
        for camera in self.stage.told_rig.cameras:
            window.add_model(camera.name, camera.model)
            window.add_mount(camera.mount)
        return window

    def run(self, trial: int, seed: int) -> TrialResult:
        """Run to the end.

        Args:
            trial: Number of the trial, for the result.
            seed: Seed of the batch, for the result.
        """
        self.policy.reset(self.trial.instruction)
        self._feel()
        self._carry_out(self.pipeline.arm(self.world.time_ns))
        try:
            while self._judge.ruling is None and self._failure is None:
                self.advance()
        finally:
            self.policy.close()
            self.eyes.close()
            if self._depth_eyes is not None:
                self._depth_eyes.close()
        return self._result(trial, seed)

    def advance(self) -> None:
        """Advance one control period of the robot."""
        world = self.world
        world.step()
        now_ns = world.time_ns
        if self._joints.is_due(now_ns):
            self._feel()
        if self._images.is_due(now_ns):
            self._see(now_ns)
            self._push()
            self._look(now_ns)
        self._think()
        while self._pending and now_ns >= self._pending[0].stamp_ns + self._latency_ns:
            chunk = self._pending.popleft()
            self._tally.latencies_ms.append((now_ns - chunk.stamp_ns) / 1e6)
            self._carry_out(self.pipeline.on_chunk(chunk, now_ns))
        if self._ticks.is_due(now_ns):
            self._carry_out(self.pipeline.on_tick(now_ns))
        for arm, schedule in self._setpoints.items():
            if schedule.is_due(now_ns):
                self._say(arm, self._speakers[arm].tick(now_ns))
        self._deliver(now_ns)

    def _feel(self) -> None:
        sample = self.world.joint_state()
        for state in self.pipeline.on_joint_state(sample.names, sample.q, sample.dq, sample.stamp_ns):
            self._window.add_robot_state(state)
            self._speakers[state.arm].notice_opening(state.gripper_opening)

    def _see(self, now_ns: int) -> None:
        state = self.world.render_state()
        pictures = self.eyes.render(state)
        depths_m = self._depth_eyes.render(state) if self._depth_eyes is not None else {}
        for camera, rgb in pictures.items():
            depth_m = depths_m.get(camera)
            image = CameraImage(camera=camera, rgb=rgb, stamp_ns=now_ns, receive_ns=now_ns, depth_m=depth_m)
            self._window.add_image(image)

    def _look(self, now_ns: int) -> None:
        truth = self.world.truth()
        self._judge.update(truth)
        self.on_truth(truth)
        timeout_s = self._setup.timeout_s
        if timeout_s is not None and self._judge.ruling is None and now_ns - self._start_ns > timeout_s * _NS:
            self._failure = f"not within {timeout_s:g} s"

    def _think(self) -> None:
        observation = self._window.take(self.trial.instruction)
        if observation is None:
            return
        if self.stage.is_state_missing:
            observation = replace(observation, robot_states=())
        self.on_observation(observation)
        self._tally.skews_ms.append(observation.skew_ns / 1e6)
        try:
            chunk = self.policy.infer(observation)
        except PerceptionError as error:
            self._tally.unseen += 1
            self._tally.last_unseen = str(error)
            return
        if chunk.report is not None and "attempts" in chunk.report.details:
            self._tally.attempts = int(chunk.report.details["attempts"])
        self.on_chunk(chunk)
        self._pending.append(chunk)

    def _carry_out(self, execution: Execution) -> None:
        self.on_execution(execution)
        if execution.trajectories or execution.verdict.reasons:
            checks = [reason.check for reason in execution.verdict.reasons]
            self._tally.verdicts[verdict_kind(execution.verdict.kind.value, checks)] += 1
        for trajectory in execution.trajectories:
            self._say(trajectory.arm, self._speakers[trajectory.arm].follow(trajectory))
        for target in execution.gripper_targets:
            self._say(target.arm, self._speakers[target.arm].set_opening(target.opening, self.world.time_ns))
        reason = self.pipeline.stop_reason
        if reason is not None:
            self._failure = f"safety stop: {reason.check}: {reason.message}"

    def _say(self, arm: str, messages: Sequence[WireMessage]) -> None:
        """Send messages to an arm's driver; they are under way for as long as the stage says."""
        due_ns = self.world.time_ns + round(self.stage.actuation_ms * 1e6)
        self._under_way += [(due_ns, arm, message) for message in messages]
        self._deliver(self.world.time_ns)

    def _deliver(self, now_ns: int) -> None:
        """Give drivers what has arrived; a complaint, which would only be in its log, ends the trial."""
        while self._under_way and self._under_way[0][0] <= now_ns:
            _, arm, message = self._under_way.popleft()
            complaint = self.world.receive(arm, message)
            if complaint is not None:
                self._failure = f"the driver of arm '{arm}': {complaint}"

    def _push(self) -> None:
        """Push the cube when an end effector has come as near as the nudge asks for."""
        nudge = self._nudge
        if nudge is None:
            return
        truth = self.world.truth()
        p_world_cube = truth.cubes[self.trial.cube].T_world_object.translation
        distance_m = min(float(np.linalg.norm(p_world_ee - p_world_cube)) for p_world_ee in truth.p_world_ee.values())
        if distance_m <= nudge.at_distance_m:
            self.world.nudge(self.trial.cube, nudge.dx_m, nudge.dy_m, nudge.dyaw_rad)
            self._nudge = None

    def _result(self, trial: int, seed: int) -> TrialResult:
        ruling, tally, counters = self._judge.ruling, self._tally, self._window.counters
        elapsed_s = (self.world.time_ns - self._start_ns) / _NS
        reason = self._failure or (ruling.reason if ruling is not None else "")
        if tally.unseen and (ruling is None or ruling.outcome.value != "success"):
            reason += f" ({tally.unseen} observations without a chunk, the last: {tally.last_unseen})"
        return TrialResult(
            trial=trial,
            seed=seed,
            instruction=self.trial.instruction,
            outcome="success" if ruling is not None and ruling.outcome.value == "success" else "failure",
            reason=reason,
            sim_s=elapsed_s,
            latency_p50_ms=percentile(tally.latencies_ms, 50),
            latency_p99_ms=percentile(tally.latencies_ms, 99),
            skew_p99_ms=percentile(tally.skews_ms, 99),
            lost_view_sets=counters.lost,
            verdicts=dict(tally.verdicts),
            attempts=tally.attempts,
        )
