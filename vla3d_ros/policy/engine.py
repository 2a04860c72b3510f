"""What runs the two graphs of a policy package: the seam between a policy and every tensor library.

`context` sees the observation once; `step` integrates the flow `dA/dtau = v` from noise (tau 0) to actions (tau 1) in N
Euler steps, with real-time chunking inside each step. K chunk steps, A arm slots, 10 numbers an arm.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import read_only
from vla3d_ros.errors import ConfigError

Float32 = NDArray[np.float32]

# Inputs of the step graph that come from the guidance, and those that follow the flow.
GUIDANCE_INPUTS = ("previous", "weights", "beta", "prefix_mask")
FLOW_INPUTS = ("x", "tau", "dt")
# What a context graph may output for people to look at; everything else it outputs is an input of the step graph.
DISPLAY_OUTPUTS = ("instance_points", "instance_scores", "instance_mask", "completion_points", "completion_mask")
PRECISIONS = ("fp32", "fp16", "bf16")

_ENGINES = {
    "onnxruntime": "vla3d_ros.policy.backends.onnxruntime:OnnxRuntimeEngine",
    "tensorrt": "vla3d_ros.policy.backends.tensorrt:TensorRtEngine",
    "tensorrt_rtx": "vla3d_ros.policy.backends.tensorrt:TensorRtEngine",
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Guidance:
    """Real-time chunking: what the next chunk shall continue. Normalised like the noise.

    previous (K, A*10) float32: the chunk before, re-anchored to the new observation; previous[0] is this chunk's first
    step. weights (K,) float32 in [0, 1]: how firmly each step is pulled towards it; 0 is exactly no guidance.
    beta bounds the pull. prefix_mask (K,) bool: steps fixed to `previous` (only for policies trained with prefixes).
    """

    previous: Float32
    weights: Float32
    beta: float
    prefix_mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        read_only(self.previous, (None, None), "previous")
        read_only(self.weights, (len(self.previous),), "weights")
        read_only(self.prefix_mask, (len(self.previous),), "prefix_mask")

    @classmethod
    def none(cls, steps: int, width: int) -> Guidance:
        """Return the guidance of K steps of A*10 numbers that changes nothing."""
        return cls(
            previous=np.zeros((steps, width), np.float32),
            weights=np.zeros(steps, np.float32),
            beta=0.0,
            prefix_mask=np.zeros(steps, np.bool_),
        )

    def graph_inputs(self) -> dict[str, NDArray[Any]]:
        """Return the step graph's inputs, with the batch axis."""
        return {
            "previous": self.previous[None],
            "weights": self.weights[None],
            "beta": np.array([self.beta], np.float32),
            "prefix_mask": self.prefix_mask[None],
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EngineOutput:
    """One inference: actions (K, A*10) float32 normalised; display arrays with batch axis removed; wall time a stage.

    `stage_ns` has the keys `context` and `flow` where the engine can tell them apart, else `whole`. Arrays are the
    caller's: an engine that reuses its buffers copies.
    """

    actions: Float32
    display: Mapping[str, NDArray[Any]]
    stage_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How graphs are to be run; an engine refuses what it can not do instead of doing something else.

    Attributes:
        kind: `onnxruntime`, `tensorrt` or `tensorrt_rtx`.
        providers: Execution providers of ONNX Runtime, in order of preference, e.g. `tensorrt`, `cuda`, `cpu`.
        allow_fallback: Run on a later provider of the list if the first is not available.
        threads: Threads of one operator on a CPU.
        spinning: Let idle threads spin: faster alone on a machine, many times slower beside other processes.
        precision: `fp32`, `fp16` or `bf16`; ONNX Runtime on a CPU knows only the graph's own.
        cuda_graph: Capture context and flow steps as one CUDA graph where the engine can.
        device: Index of the GPU.
        cache_dir: Where built engines are kept; None for the user's cache.
        keep_float32: Patterns of nodes, tensors, weights or modules that TensorRT computes in float32 whatever the
            precision, on top of its own rules.
    """

    kind: str = "onnxruntime"
    providers: tuple[str, ...] = ("cpu",)
    allow_fallback: bool = False
    threads: int = 1
    spinning: bool = False
    precision: str = "fp32"
    cuda_graph: bool = True
    device: int = 0
    cache_dir: Path | None = None
    keep_float32: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in _ENGINES:
            problems.append(f"unknown engine '{self.kind}': expected one of {sorted(_ENGINES)}")
        if self.precision not in PRECISIONS:
            problems.append(f"unknown precision '{self.precision}': expected one of {list(PRECISIONS)}")
        if self.threads < 1:
            problems.append(f"threads is {self.threads}; expected at least 1")
        if not self.providers:
            problems.append("providers is empty; expected at least one")
        if problems:
            raise ConfigError("; ".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFiles:
    """The graphs to run, and the hash that names built engines in a cache (hex, of the whole package)."""

    context: Path
    step: Path
    sha256: str


class Engine(Protocol):
    """Runs a package's graphs. Called from one thread; static shapes, fixed buffers, batch of one."""

    @property
    def name(self) -> str:
        """What runs where, for people and reports, e.g. `onnxruntime cpu, 2 threads`."""
        ...

    @property
    def precision(self) -> str:
        """`fp32`, `fp16` or `bf16`: which of the package's tolerances applies."""
        ...

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], noise: Float32, flow_steps: int, guidance: Guidance | None
    ) -> EngineOutput:
        """Run context once and the flow's steps.

        Args:
            inputs: Inputs of the context graph by name, batch axis included; more than the graph uses is fine.
            noise: (K, A*10) float32 where the flow starts.
            flow_steps: Euler steps N; tau goes 0, 1/N, ..., and dt is 1/N.
            guidance: What to continue, or None.

        Raises:
            EngineError: If an input is missing or has another shape or type than the graph's.
        """
        ...

    def close(self) -> None:
        """Release devices; safe to call twice."""
        ...


def open_engine(files: GraphFiles, settings: EngineSettings) -> Engine:
    """Build the engine that the settings name, ready to run (built, cached and warmed up).

    Args:
        files: The package's graphs.
        settings: Which engine, and how.

    Raises:
        EngineError: If it can not be built, or would run elsewhere than told.
        DependencyError: If its library is not installed.
    """
    module_name, class_name = _ENGINES[settings.kind].split(":")
    factory = getattr(importlib.import_module(module_name), class_name)
    engine: Engine = factory.open(files, settings)
    return engine


def flow_times(flow_steps: int) -> tuple[Float32, Float32]:
    """Return tau (N,) at which each Euler step starts, and dt (1,), float32.

    Raises:
        ConfigError: If there is not at least one step.
    """
    if flow_steps < 1:
        raise ConfigError(f"{flow_steps} flow steps; expected at least 1")
    return np.arange(flow_steps, dtype=np.float32) / np.float32(flow_steps), np.full(1, 1.0 / flow_steps, np.float32)
