"""Measure inverse kinematics: whole chunks as the adapter solves them, and single poses against other solvers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.evaluation.ik_comparison import RIVALS, Solve, ours

Float = NDArray[np.float64]

SOLVED_M = 1e-4
SOLVED_RAD = float(np.radians(0.05))

_STEPS = 30
_PERIOD_S = 1.0 / 30.0
_MARGIN_RAD = 0.03
_FASTEST_RAD_S = 0.5
_STRONGEST_RAD_S2 = 0.5
_NEARBY_RAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFigures:
    """Whole chunks: share solved within 0.1 mm and 0.05 degrees everywhere, time on the wall and of the processor."""

    chunks: int
    solved: int
    limit_violations: int
    median_ms: float
    p99_ms: float
    cpu_median_ms: float
    cpu_p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseFigures:
    """Single poses by one solver, from a seed near the solution (`near`) and from the home configuration (`far`)."""

    solver: str
    problem: str
    near_solved: int
    near_median_us: float
    near_p99_us: float
    far_solved: int
    far_median_us: float
    far_p99_us: float
    targets: int


def measure_chunks(urdf_path: Path, arm: ArmSpec, *, count: int, generator: np.random.Generator) -> ChunkFigures:
    """Solve reachable chunks of 30 poses at 30 Hz, drawn in joint space all over the limits, through singularities.

    Each chunk is the motion of an arm that starts anywhere inside its limits, at up to 0.5 rad/s and 0.5 rad/s^2 per
    joint, and stays inside them.
    """
    kinematics = ArmKinematics(urdf_path, arm)
    wall, cpu, solved, violations = np.empty(count), np.empty(count), 0, 0
    for i in range(count):
        q_start, q = _draw_chunk(arm, generator)
        targets = kinematics.forward_many(q)
        cpu_start, start = time.thread_time(), time.perf_counter()
        solution = kinematics.solve_chunk(targets, q_start)
        wall[i], cpu[i] = time.perf_counter() - start, time.thread_time() - cpu_start
        solved += bool((solution.residual_m <= SOLVED_M).all() and (solution.residual_rad <= SOLVED_RAD).all())
        violations += int(((solution.q < arm.limits.q_lower) | (solution.q > arm.limits.q_upper)).sum())
    return ChunkFigures(
        chunks=count,
        solved=solved,
        limit_violations=violations,
        median_ms=float(1e3 * np.median(wall)),
        p99_ms=float(1e3 * np.percentile(wall, 99)),
        cpu_median_ms=float(1e3 * np.median(cpu)),
        cpu_p99_ms=float(1e3 * np.percentile(cpu, 99)),
    )


def _draw_chunk(arm: ArmSpec, generator: np.random.Generator) -> tuple[Float, Float]:
    lower, upper = arm.limits.q_lower + _MARGIN_RAD, arm.limits.q_upper - _MARGIN_RAD
    seconds = (np.arange(_STEPS) + 1)[:, None] * _PERIOD_S
    while True:
        q_start = generator.uniform(lower, upper)
        speed = generator.uniform(-_FASTEST_RAD_S, _FASTEST_RAD_S, len(lower))
        acceleration = generator.uniform(-_STRONGEST_RAD_S2, _STRONGEST_RAD_S2, len(lower))
        q = q_start + seconds * speed + 0.5 * seconds**2 * acceleration
        if (q > lower).all() and (q < upper).all():
            return q_start, q


def measure_poses(
    urdf_path: Path, arm: ArmSpec, *, count: int, generator: np.random.Generator, on_start: Callable[[str], None]
) -> list[PoseFigures]:
    """Give every solver the same reachable targets; a solver that is not installed is reported as such."""
    kinematics = ArmKinematics(urdf_path, arm)
    lower, upper = arm.limits.q_lower + _MARGIN_RAD, arm.limits.q_upper - _MARGIN_RAD
    q_true = generator.uniform(lower, upper, (count, len(lower)))
    near = np.clip(q_true + generator.normal(0.0, _NEARBY_RAD, q_true.shape), lower, upper)
    far = np.tile(arm.q_home, (count, 1))
    targets = kinematics.forward_many(q_true)
    figures = []
    for name, missing, build in [("this package", (), ours), *((r.name, r.missing, r.build) for r in RIVALS)]:
        on_start(name)
        if missing:
            figures.append(_failed(name, f"not installed: {', '.join(missing)}", count))
            continue
        try:
            solve = build(urdf_path, arm)
            results = [_run(solve, kinematics, arm, targets, seeds) for seeds in (near, far)]
        except Exception as error:  # a foreign solver may fail in any way; that is its result
            figures.append(_failed(name, f"{type(error).__name__}: {error}", count))
            continue
        (near_ok, near_s), (far_ok, far_s) = results
        figures.append(
            PoseFigures(
                solver=name,
                problem="",
                near_solved=near_ok,
                near_median_us=float(1e6 * np.median(near_s)),
                near_p99_us=float(1e6 * np.percentile(near_s, 99)),
                far_solved=far_ok,
                far_median_us=float(1e6 * np.median(far_s)),
                far_p99_us=float(1e6 * np.percentile(far_s, 99)),
                targets=count,
            )
        )
    return figures


def _run(solve: Solve, kinematics: ArmKinematics, arm: ArmSpec, targets: Float, seeds: Float) -> tuple[int, Float]:
    """Return how many targets were met inside the limits, and the processor's seconds per target (T,)."""
    seconds, q = np.empty(len(targets)), np.empty_like(seeds)
    for i, (target, seed) in enumerate(zip(targets, seeds, strict=True)):
        start = time.thread_time()
        q[i] = solve(target, seed)
        seconds[i] = time.thread_time() - start
    reached = kinematics.forward_many(q)
    miss_m = np.linalg.norm(reached[:, :3, 3] - targets[:, :3, 3], axis=1)
    cosine = (np.einsum("tij,tij->t", reached[:, :3, :3], targets[:, :3, :3]) - 1.0) / 2.0
    miss_rad = np.arccos(np.clip(cosine, -1.0, 1.0))
    inside = ((q >= arm.limits.q_lower - 1e-9) & (q <= arm.limits.q_upper + 1e-9)).all(axis=1)
    return int(((miss_m <= SOLVED_M) & (miss_rad <= SOLVED_RAD) & inside).sum()), seconds


def _failed(name: str, problem: str, count: int) -> PoseFigures:
    nan = float("nan")
    return PoseFigures(
        solver=name,
        problem=problem,
        near_solved=0,
        near_median_us=nan,
        near_p99_us=nan,
        far_solved=0,
        far_median_us=nan,
        far_p99_us=nan,
        targets=count,
    )
