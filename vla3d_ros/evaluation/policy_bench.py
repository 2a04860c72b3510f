"""How long a policy package takes, stage by stage, on several engines in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.engine import Engine
from vla3d_ros.policy.golden_scenes import drawn_observation
from vla3d_ros.policy.manifest import Manifest
from vla3d_ros.policy.preprocess import Preprocessor

WANTED_HZ = 30.0
_CAMERA_PX = (640, 480)
_WARM_UPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Milliseconds of one stage over all runs."""

    p50_ms: float
    p99_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTimes:
    """One engine's times: `preprocess`, `context`, `flow` (or `whole`), `decode`, and `end to end`, all of a run."""

    engine: str
    precision: str
    runs: int
    stages: dict[str, StageTimes]

    @property
    def hz(self) -> tuple[float, float]:
        """Chunks a second at the median, and at the 99th percentile."""
        whole = self.stages["end to end"]
        return 1e3 / whole.p50_ms, 1e3 / whole.p99_ms


def bench_engines(
    manifest: Manifest,
    engines: Sequence[Engine],
    *,
    runs: int,
    flow_steps: int,
    on_run: Callable[[], None] = lambda: None,
) -> list[EngineTimes]:
    """Run engines in turn on drawn pictures of 640 x 480 px, so that a busy moment hits all of them alike.

    Args:
        manifest: The package's.
        engines: Engines of its graphs.
        runs: Of each engine, after a few that are not counted.
        flow_steps: Euler steps.
        on_run: Called after each round.
    """
    rng = np.random.default_rng(0)
    spec = manifest.embodiments[0]
    names = {view.name: view.name for view in manifest.views}
    slots = {slot: slot for slot, joints in zip(manifest.arm_slots, spec.joints, strict=True) if joints}
    preprocess = Preprocessor(manifest, names, slots, spec.name)
    decoder = ActionDecoder(manifest.actions, manifest.arm_slots, slots)
    observation = drawn_observation(manifest, spec, rng, _CAMERA_PX)
    measured: list[dict[str, list[int]]] = [{} for _ in engines]
    for run in range(-_WARM_UPS, runs):
        noise = rng.standard_normal((manifest.actions.steps, manifest.chunk_width), dtype=np.float32)
        for engine, times in zip(engines, measured, strict=True):
            started_ns = time.perf_counter_ns()
            inputs = preprocess(observation)
            prepared_ns = time.perf_counter_ns()
            output = engine.infer(inputs, noise, flow_steps, None)
            inferred_ns = time.perf_counter_ns()
            decoder.decode(output.actions)
            ended_ns = time.perf_counter_ns()
            stages = {"preprocess": prepared_ns - started_ns, **output.stage_ns, "decode": ended_ns - inferred_ns}
            stages["end to end"] = ended_ns - started_ns
            if run >= 0:
                for stage, duration_ns in stages.items():
                    times.setdefault(stage, []).append(duration_ns)
        on_run()
    return [
        EngineTimes(
            engine=engine.name,
            precision=engine.precision,
            runs=runs,
            stages={stage: _summary(durations) for stage, durations in times.items()},
        )
        for engine, times in zip(engines, measured, strict=True)
    ]


def _summary(durations_ns: Sequence[int]) -> StageTimes:
    milliseconds = np.asarray(durations_ns) / 1e6
    p50, p99 = np.percentile(milliseconds, [50, 99]).tolist()
    return StageTimes(p50_ms=p50, p99_ms=p99, mean_ms=float(milliseconds.mean()))
