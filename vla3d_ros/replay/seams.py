"""How smoothly and how promptly the same chunks are executed by different means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.arm_motion import MotionConfig
from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.pose_plan import AnchoredChunk
from vla3d_ros.replay.chunk_stream import ChunkStream, deliveries, disturbed
from vla3d_ros.replay.seam_executors import (
    STEP_NS,
    SeamExecutor,
    SeamRun,
    execute_adapter,
    execute_ensembling,
    execute_stream_switch,
    execute_trajectory_switch,
    with_low_pass,
    with_motion,
    with_ruckig,
)

Float = NDArray[np.float64]
Times = NDArray[np.int64]

OURS = "adapter"
EXECUTORS: Mapping[str, SeamExecutor] = {
    OURS: execute_adapter,
    "adapter + ensembling": with_motion(execute_adapter, ensemble_s=1.0),
    "naive switch, streamed": execute_stream_switch,
    "naive switch, splined": execute_trajectory_switch,
    "naive switch, Ruckig": with_ruckig(execute_stream_switch),
    "ensembling": execute_ensembling,
    "ensembling, low-pass 20 ms": with_low_pass(execute_ensembling, 0.020),
    "ensembling, low-pass 60 ms": with_low_pass(execute_ensembling, 0.060),
}
EQUAL_LAG_MS = 2.0

_MS = 1_000_000
_SEAM_MS = 200
_LAGS_MS = np.arange(-60, 201)
_STEP_M, _STEP_AT_S, _STEP_END_S = 0.01, 1.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamSetup:
    """Robot, motion settings, bounds of its end effector's speed (m/s, rad/s), and what is done to the streams."""

    urdf_path: Path
    arm: ArmSpec
    motion: MotionConfig
    ee_speed: tuple[float, float]
    noise_m: float
    noise_rad: float
    jitter_ms: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamFigures:
    """What one executor made of one stream at one delay.

    Peaks are the highest within 200 ms after a chunk's arrival, differentiated over 1 ms: of the end effector's
    position (jump: what one ms adds to the motion of the ms before) and of any joint. RMS is over the whole run. lag_ms
    is the shift at which the executed path fits the noise-free path best, tracking_mm the RMS distance without a
    shift, reaction_ms from the arrival of a chunk that wants 10 mm more to half of them.
    """

    executor: str
    stream: str
    delay_steps: int
    seams: int
    jump_mm: float
    ee_acceleration_m_s2: float
    ee_jerk_m_s3: float
    joint_acceleration_rad_s2: float
    joint_jerk_rad_s3: float
    joint_jerk_rms_rad_s3: float
    lag_ms: float
    tracking_mm: float
    reaction_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamReport:
    """All figures, and which executors beat ours in jerk although they lag no more."""

    figures: tuple[SeamFigures, ...]

    @property
    def beaten_by(self) -> tuple[SeamFigures, ...]:
        """Executors with no more lag than ours (within 2 ms) and a lower peak or RMS jerk, on the same stream."""
        ours = {(f.stream, f.delay_steps): f for f in self.figures if f.executor == OURS}
        better = []
        for figures in self.figures:
            own = ours[figures.stream, figures.delay_steps]
            is_other = not figures.executor.startswith(OURS)
            is_as_prompt = figures.lag_ms <= max(own.lag_ms, 0.0) + EQUAL_LAG_MS
            is_smoother = (
                figures.joint_jerk_rad_s3 < own.joint_jerk_rad_s3
                or figures.joint_jerk_rms_rad_s3 < own.joint_jerk_rms_rad_s3
            )
            if is_other and is_as_prompt and is_smoother:
                better.append(figures)
        return tuple(better)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "ours_is_smoothest_at_equal_lag": not self.beaten_by,
            "equal_lag_ms": EQUAL_LAG_MS,
            "beaten_by": [asdict(figures) for figures in self.beaten_by],
            "figures": [asdict(figures) for figures in self.figures],
        }


class SeamBench:
    """Executes streams on one robot."""

    def __init__(self, setup: SeamSetup) -> None:
        """Build the robot's kinematics."""
        self._setup = setup
        self._kinematics = ArmKinematics(setup.urdf_path, setup.arm)

    def run(
        self,
        streams: Sequence[ChunkStream],
        delays: Sequence[int],
        progress: Callable[[str], None] = lambda line: None,
    ) -> SeamReport:
        """Execute every stream with every delay (in steps) by every executor."""
        figures = []
        for delay in delays:
            progress(f"delay {delay}: reaction")
            reactions = dict(self._reactions(streams[0], delay))
            for stream in streams:
                for name in EXECUTORS:
                    progress(f"delay {delay}: {stream.name}: {name}")
                    figures.append(self.measure(stream, delay, name, reactions[name]))
        return SeamReport(figures=tuple(figures))

    def prepare(self, stream: ChunkStream, delay: int) -> SeamRun:
        """Return a stream with noise, delay and jitter: the same for every executor."""
        setup = self._setup
        noisy = disturbed(stream, setup.noise_m, setup.noise_rad, np.random.default_rng([setup.seed, 0]))
        return self._run(noisy, delay)

    def _run(self, stream: ChunkStream, delay: int) -> SeamRun:
        setup = self._setup
        generator = np.random.default_rng([setup.seed, 1, delay])
        made = deliveries(stream.chunks, delay * stream.dt_ns, round(setup.jitter_ms * _MS), generator)
        end_ns = int(stream.chunks[-1].stamp_ns)
        return SeamRun(
            urdf_path=setup.urdf_path,
            arm=setup.arm,
            kinematics=self._kinematics,
            motion=setup.motion,
            ee_speed=setup.ee_speed,
            q_start=stream.q_start,
            dt_ns=stream.dt_ns,
            deliveries=tuple(delivery for delivery in made if delivery.arrival_ns < end_ns),
            end_ns=end_ns,
        )

    def measure(self, stream: ChunkStream, delay: int, executor: str, reaction_ms: float) -> SeamFigures:
        """Execute one stream with one delay by one executor."""
        run = self.prepare(stream, delay)
        q = EXECUTORS[executor](run)
        p = self._kinematics.forward_many(q)[:, :3, 3]
        at_seam = _near_arrivals(run)
        (ddp, dddp), (ddq, dddq) = _derivatives(p), _derivatives(q)
        lag_ms, tracking_mm = _lag(run.grid_ns(), p, *stream.asked())
        return SeamFigures(
            executor=executor,
            stream=stream.name,
            delay_steps=delay,
            seams=len(run.deliveries),
            jump_mm=1e3 * float(np.linalg.norm(ddp, axis=1)[at_seam].max()) * (STEP_NS * 1e-9) ** 2,
            ee_acceleration_m_s2=float(np.linalg.norm(ddp, axis=1)[at_seam].max()),
            ee_jerk_m_s3=float(np.linalg.norm(dddp, axis=1)[at_seam].max()),
            joint_acceleration_rad_s2=float(np.abs(ddq[at_seam]).max()),
            joint_jerk_rad_s3=float(np.abs(dddq[at_seam]).max()),
            joint_jerk_rms_rad_s3=float(np.sqrt(np.mean(dddq**2))),
            lag_ms=lag_ms,
            tracking_mm=tracking_mm,
            reaction_ms=reaction_ms,
        )

    def _reactions(self, stream: ChunkStream, delay: int) -> Iterator[tuple[str, float]]:
        """How long each executor takes for half of a 10 mm change of mind, from the arrival of the changed chunk."""
        changing = _change_of_mind(stream, self._kinematics)
        run = self._run(changing, delay)
        changed_ns = next(d.arrival_ns for d in run.deliveries if d.chunk.stamp_ns >= round(_STEP_AT_S * 1e9))
        for name, executor in EXECUTORS.items():
            p = self._kinematics.forward_many(executor(run))[:, :3, 3]
            moved = np.linalg.norm(p - p[0], axis=1)
            half = int(np.argmax(moved >= _STEP_M / 2)) if (moved >= _STEP_M / 2).any() else len(moved)
            yield name, (int(run.grid_ns()[0]) + half * STEP_NS - changed_ns) / _MS


def _change_of_mind(stream: ChunkStream, kinematics: ArmKinematics) -> ChunkStream:
    """A policy that wants the arm to rest, and after 1 s, to rest 10 mm higher."""
    T_base_ee = kinematics.forward(stream.q_start).matrix
    chunks = []
    for stamp_ns in range(0, round(_STEP_END_S * 1e9), stream.dt_ns):
        poses = np.tile(T_base_ee, (len(stream.chunks[0].due_ns), 1, 1))
        poses[:, 2, 3] += _STEP_M if stamp_ns >= round(_STEP_AT_S * 1e9) else 0.0
        chunks.append(_shifted(stream.chunks[0], stamp_ns, poses))
    return replace(stream, chunks=tuple(chunks), clean=tuple(chunks))


def _shifted(chunk: AnchoredChunk, stamp_ns: int, Ts_base_ee: Float) -> AnchoredChunk:
    due_ns = chunk.due_ns - chunk.stamp_ns + stamp_ns
    return replace(chunk, stamp_ns=stamp_ns, due_ns=due_ns, Ts_base_ee=Ts_base_ee)


def _near_arrivals(run: SeamRun) -> NDArray[np.bool_]:
    """(N,) which instants of the grid lie within 200 ms after an arrival."""
    grid_ns = run.grid_ns()
    arrivals_ns = np.array([delivery.arrival_ns for delivery in run.deliveries])
    latest = arrivals_ns[np.searchsorted(arrivals_ns, grid_ns, side="right") - 1]
    near: NDArray[np.bool_] = grid_ns - latest <= _SEAM_MS * _MS
    return near


def _derivatives(x: Float) -> tuple[Float, Float]:
    """Second and third difference quotients of x (N, D), (N, D) each, zero at the start."""
    h = STEP_NS * 1e-9
    second = np.diff(x, 2, axis=0, prepend=np.repeat(x[:1], 2, axis=0)) / h**2
    third = np.diff(x, 3, axis=0, prepend=np.repeat(x[:1], 3, axis=0)) / h**3
    return second, third


def _lag(grid_ns: Times, p: Float, times_ns: Times, Ts_base_ee: Float) -> tuple[float, float]:
    """Return (ms by which p (N, 3) follows the asked path late, RMS distance in mm without any shift)."""
    inside = (grid_ns > times_ns[0] + _LAGS_MS[-1] * _MS) & (grid_ns < times_ns[-1] + _LAGS_MS[0] * _MS)
    errors = []
    for lag_ms in _LAGS_MS:
        then_ns = grid_ns[inside] - lag_ms * _MS
        asked = np.stack([np.interp(then_ns, times_ns, Ts_base_ee[:, axis, 3]) for axis in range(3)], axis=1)
        errors.append(float(np.mean(np.sum((p[inside] - asked) ** 2, axis=1))))
    best = int(np.clip(np.argmin(errors), 1, len(errors) - 2))
    before, least, after = errors[best - 1 : best + 2]
    bend = before - 2 * least + after
    offset = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return float(_LAGS_MS[best] + offset), 1e3 * float(np.sqrt(errors[int(np.flatnonzero(_LAGS_MS == 0)[0])]))
