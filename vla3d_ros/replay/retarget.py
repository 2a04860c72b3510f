"""Drive the twin with a real demonstration, through adapter and safety, as a policy would."""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.arm_motion import planning_limits
from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.errors import ConfigError
from vla3d_ros.execution import Execution, ExecutionConfig, ExecutionPipeline
from vla3d_ros.geometry import Transform
from vla3d_ros.replay.demonstration import (
    Demonstration,
    FrameMatch,
    findings_to_json,
    load_demonstration,
    pose_errors,
    rms,
)
from vla3d_ros.replay.retarget_plot import plot_retarget
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.world import TwinWorld

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_NS = 1_000_000_000
_CHUNK_HZ = 30
_CHUNK_STEPS = 30
_JOINT_STATE_NS = 5_000_000
_TICK_NS = 20_000_000
_ARRIVED_MM, _ARRIVED_DEG = 1.0, 0.3
_MAX_RAMP_S = 15.0
_AFTER_RAMP_S = 0.1  # the arm takes up chunks gradually after arming; the demonstration begins when it follows fully
_VELOCITY_SHARE, _ACCELERATION_SHARE = 0.97, 0.7  # of the planning limits; the rest is for following and catching up
_GOAL_MM, _GOAL_DEG = 5.0, 1.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RetargetTrack:
    """Demonstrated and executed end effector at the same instants: times_s (N,), poses (N, 4, 4)."""

    times_s: Float
    Ts_base_demonstrated: Float
    Ts_base_executed: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RetargetResult:
    """One demonstration: what the log contains, how it was driven, how well it came back.

    ramp_s is the time from the home configuration to the demonstration's first pose; verdicts, reasons and tracking
    errors are those after it.
    """

    demonstration: Demonstration
    frame: FrameMatch
    ee_frame: str
    time_scale: float
    ramp_s: float
    track: RetargetTrack
    verdicts: dict[str, int]
    reasons: dict[str, int]
    stop: str
    plot: Path | None = None

    @property
    def rms_mm(self) -> float:
        """Position error after the start-up ramp."""
        return rms(pose_errors(self.track.Ts_base_demonstrated, self.track.Ts_base_executed)[0])

    @property
    def rms_deg(self) -> float:
        """Rotation error after the start-up ramp."""
        return rms(pose_errors(self.track.Ts_base_demonstrated, self.track.Ts_base_executed)[1])

    @property
    def is_within_goal(self) -> bool:
        """Whether the motion came back within 5 mm and 1 degree, without a stop."""
        return not self.stop and self.rms_mm <= _GOAL_MM and self.rms_deg <= _GOAL_DEG

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        mm, deg = pose_errors(self.track.Ts_base_demonstrated, self.track.Ts_base_executed)
        return {
            "log": self.demonstration.name,
            "findings": findings_to_json(self.demonstration.findings),
            "logged_ee_frame": asdict(self.frame),
            "ee_frame": self.ee_frame,
            "time_scale": self.time_scale,
            "ramp_s": self.ramp_s,
            "tracking": {
                "rms_mm": self.rms_mm,
                "max_mm": float(mm.max()),
                "rms_deg": self.rms_deg,
                "max_deg": float(deg.max()),
            },
            "verdicts": self.verdicts,
            "reasons": self.reasons,
            "stop": self.stop,
            "is_within_goal": self.is_within_goal,
            "plot": self.plot.name if self.plot else None,
        }

    def summary(self) -> str:
        """Return a few lines for a terminal."""
        frame = self.frame
        difference = f"{frame.rms_mm:.2f} mm, {frame.rms_deg:.3f} deg RMS"
        lines = [
            f"{self.demonstration.name}:",
            *(f"  {sentence}" for sentence in self.demonstration.findings.sentences()),
            f"  logged end effector is link '{frame.link}': FK differs by {difference}",
            f"  time scale {self.time_scale:.2f}, start-up ramp {self.ramp_s:.1f} s, verdicts {self.verdicts}",
            *(f"  {count} x {reason}" for reason, count in self.reasons.items()),
            f"  came back within {self.rms_mm:.2f} mm and {self.rms_deg:.3f} deg RMS"
            + (f"; STOPPED: {self.stop}" if self.stop else ""),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RetargetReport:
    """All demonstrations of one call."""

    results: tuple[RetargetResult, ...]

    @property
    def is_within_goal(self) -> bool:
        """Whether every motion came back."""
        return all(result.is_within_goal for result in self.results)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"is_within_goal": self.is_within_goal, "results": [result.to_json() for result in self.results]}

    def summary(self) -> str:
        """Return what a terminal should show."""
        return "\n".join(result.summary() for result in self.results)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RetargetSetup:
    """What demonstrations are driven on.

    Every chunk holds 30 poses at 30 Hz relative to the pose at its observation's stamp. A policy that sees the robot
    knows where the robot is, so by default that pose is the observed one. With `is_relative_to_demonstration` it is the
    demonstrated one, as if the policy were blind: nothing corrects the tracking error then, and it adds up.

    embodiment: a robot with one arm, the one that was recorded. rig, scene: cameras and table of the twin; no objects
    are put on it. execution: bounds and timing of the deployment. latency_ms: from an observation to its chunk.
    """

    embodiment: Embodiment
    rig: CameraRig
    scene: SceneConfig
    execution: ExecutionConfig
    latency_ms: float = 40.0
    is_relative_to_demonstration: bool = False


def retarget(paths: Sequence[Path], setup: RetargetSetup, out_dir: Path) -> RetargetReport:
    """Drive the twin through each demonstration and report what came back.

    Args:
        paths: Logs.
        setup: Robot, twin and bounds.
        out_dir: Where plots and `retarget.json` go; created.

    Raises:
        ConfigError: If the robot has several arms.
        RecordingError: If a log can not be used.
    """
    arms = setup.embodiment.arms
    if len(arms) != 1:
        names = [arm.name for arm in arms]
        raise ConfigError(f"robot '{setup.embodiment.name}' has arms {names}; a demonstration is of one arm only")
    out_dir.mkdir(parents=True, exist_ok=True)
    results = []
    for path in paths:
        demonstration = load_demonstration(path, arms[0])
        result = _Drive(setup, demonstration).run()
        plot = plot_retarget(out_dir / f"{demonstration.name}.png", demonstration.name, result.track)
        results.append(replace(result, plot=plot))
    report = RetargetReport(results=tuple(results))
    (out_dir / "retarget.json").write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return report


def needed_time_scale(demonstration: Demonstration, arm: ArmSpec, execution: ExecutionConfig) -> float:
    """Return how much slower than recorded the motion must be to fit into the planning limits, at least 1.

    Speeds are taken from the logged velocities, accelerations from their change over one chunk step.
    """
    limits = planning_limits(arm.limits, execution.motion)
    lowest, highest = limits.velocity_bounds(np.clip(demonstration.q, limits.q_lower, limits.q_upper))
    allowed = np.where(demonstration.dq >= 0, np.maximum(highest, 1e-3), np.minimum(lowest, -1e-3))
    by_velocity = float((demonstration.dq / allowed).max())
    step_ns = _NS // _CHUNK_HZ
    times_ns = np.arange(0, int(demonstration.stamps_ns[-1]), step_ns, dtype=np.int64)
    q = demonstration.q_at(times_ns)
    acceleration = np.abs(np.diff(q, 2, axis=0)) / (step_ns * 1e-9) ** 2
    by_acceleration = math.sqrt(float((acceleration / limits.acceleration).max())) if len(acceleration) else 0.0
    scale = max(by_velocity / _VELOCITY_SHARE, by_acceleration / math.sqrt(_ACCELERATION_SHARE))
    return 1.0 if scale <= 1.0 else math.ceil(scale * 20.0) / 20.0


class _Drive:
    """The twin, the pipeline and the demonstration, advanced together in the world's time."""

    def __init__(self, setup: RetargetSetup, demonstration: Demonstration) -> None:
        embodiment = setup.embodiment
        self._world = world = TwinWorld(embodiment, setup.rig, setup.scene)
        self._demonstration, self._arm = demonstration, embodiment.arms[0]
        self._pipeline = ExecutionPipeline(embodiment, setup.execution)
        self._kinematics = ArmKinematics(embodiment.urdf_path, self._arm)
        self._latency_ns = int(setup.latency_ms * 1e6)
        self._is_blind = setup.is_relative_to_demonstration
        self._scale = needed_time_scale(demonstration, self._arm, setup.execution)
        self._earliest_ns = world.time_ns + round((setup.execution.motion.ramp_in_s + _AFTER_RAMP_S) * _NS)
        self._begin_ns: int | None = None  # world time at which the demonstration's first sample is due
        self._next_chunk_ns = self._next_state_ns = self._next_tick_ns = world.time_ns
        self._pending: deque[ActionChunk] = deque()
        self._verdicts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._executed: list[tuple[int, Transform]] = []

    def run(self) -> RetargetResult:
        start_ns = self._world.time_ns
        self._feel()
        self._carry_out(self._pipeline.arm(start_ns))
        while not self._is_over(start_ns):
            self._advance()
        stop = self._pipeline.stop_reason
        begin_ns = self._begin_ns if self._begin_ns is not None else self._world.time_ns
        message = stop.message if stop else ""
        if self._begin_ns is None and not message:
            message = f"the start of the demonstration was not reached in {_MAX_RAMP_S:.0f} s"
        return RetargetResult(
            demonstration=self._demonstration,
            frame=self._demonstration.match_frame(self._kinematics),
            ee_frame=self._arm.ee_frame,
            time_scale=self._scale,
            ramp_s=(begin_ns - start_ns) / _NS,
            track=self._track(begin_ns),
            verdicts=dict(self._verdicts),
            reasons=dict(self._reasons),
            stop=message,
        )

    def _is_over(self, start_ns: int) -> bool:
        if self._pipeline.stop_reason is not None:
            return True
        if self._begin_ns is None:
            return self._world.time_ns - start_ns > _MAX_RAMP_S * _NS
        return self._world.time_ns - self._begin_ns >= self._scale * int(self._demonstration.stamps_ns[-1])

    def _advance(self) -> None:
        self._world.step()
        now_ns = self._world.time_ns
        if now_ns >= self._next_state_ns:
            self._next_state_ns += _JOINT_STATE_NS
            self._feel()
        if now_ns >= self._next_chunk_ns:
            self._next_chunk_ns += _NS // _CHUNK_HZ
            self._observe(now_ns)
        while self._pending and now_ns >= self._pending[0].stamp_ns + self._latency_ns:
            self._carry_out(self._pipeline.on_chunk(self._pending.popleft(), now_ns))
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns += _TICK_NS
            self._carry_out(self._pipeline.on_tick(now_ns))

    def _feel(self) -> None:
        sample = self._world.joint_state()
        for state in self._pipeline.on_joint_state(sample.names, sample.q, sample.dq, sample.stamp_ns):
            self._executed.append((state.stamp_ns, state.T_base_ee))

    def _observe(self, now_ns: int) -> None:
        """Emit the chunk that a policy with this demonstration in mind would emit for an observation now."""
        stamp_ns, T_base_ee = self._executed[-1]
        if self._begin_ns is None:
            mm, deg = pose_errors(T_base_ee.matrix[None], self._demonstrated(np.zeros(1, dtype=np.int64)))
            if now_ns >= self._earliest_ns and mm[0] < _ARRIVED_MM and deg[0] < _ARRIVED_DEG:
                self._begin_ns = now_ns + self._latency_ns
                self._verdicts.clear()
                self._reasons.clear()
        dt_ns = _NS // _CHUNK_HZ
        due_ns = stamp_ns + dt_ns * np.arange(1, _CHUNK_STEPS + 1, dtype=np.int64)
        anchor = T_base_ee.matrix
        if self._is_blind and self._begin_ns is not None:
            anchor = self._demonstrated(self._since_begin(np.array([stamp_ns])))[0]
        poses = np.asarray(np.linalg.solve(anchor, self._demonstrated(self._since_begin(due_ns))), dtype=np.float64)
        chunk = ArmChunk(arm=self._arm.name, Ts_ee0_ee=poses, gripper_opening=np.ones(_CHUNK_STEPS))
        self._pending.append(ActionChunk(stamp_ns=stamp_ns, dt_ns=dt_ns, arms=(chunk,)))

    def _since_begin(self, times_ns: Times) -> Times:
        """World times (N,) as times of the demonstration, 0 before it begins."""
        if self._begin_ns is None:
            return np.zeros_like(times_ns)
        return np.maximum((times_ns - self._begin_ns) / self._scale, 0.0).astype(np.int64)

    def _demonstrated(self, t_ns: Times) -> Float:
        return self._kinematics.forward_many(self._demonstration.q_at(t_ns))

    def _carry_out(self, execution: Execution) -> None:
        for trajectory in execution.trajectories:
            refusal = self._world.command_trajectory(trajectory)
            if refusal is not None:
                self._reasons[f"controller refused: {refusal}"] += 1
        if execution.trajectories or execution.verdict.reasons:
            self._verdicts[execution.verdict.kind.value] += 1
        for reason in execution.verdict.reasons:
            self._reasons[reason.check] += 1

    def _track(self, begin_ns: int) -> RetargetTrack:
        kept = [entry for entry in self._executed if entry[0] >= begin_ns] or self._executed[-1:]
        times_ns = np.array([stamp_ns for stamp_ns, _ in kept], dtype=np.int64)
        return RetargetTrack(
            times_s=np.asarray((times_ns - begin_ns) * 1e-9, dtype=np.float64),
            Ts_base_demonstrated=self._demonstrated(self._since_begin(times_ns)),
            Ts_base_executed=np.stack([T.matrix for _, T in kept]),
        )
