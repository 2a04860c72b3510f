"""A policy package on an NVIDIA GPU, through TensorRT or TensorRT for RTX. Imports neither before it is opened."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import EngineError, join_problems
from vla3d_ros.policy.backends.cuda_runtime import CudaRuntime, open_cuda
from vla3d_ros.policy.backends.tensorrt_binding import TensorRtBinding, load_binding
from vla3d_ros.policy.backends.tensorrt_plans import GRAPHS, prepare_plans
from vla3d_ros.policy.backends.tensorrt_program import FlowProgram
from vla3d_ros.policy.backends.tensorrt_session import PlanSession, TensorSpec
from vla3d_ros.policy.engine import EngineOutput, EngineSettings, Float32, GraphFiles, Guidance

_LOG = logging.getLogger(__name__)


class TensorRtEngine:
    """Context and all flow steps as one CUDA graph; what runs without one says so in `name`."""

    def __init__(self, program: FlowProgram, title: str, precision: str) -> None:
        """Take a program that is ready to run, what to call it, and the precision its plans were built with."""
        self._program = program
        self._title = title
        self._precision = precision

    @classmethod
    def open(cls, files: GraphFiles, settings: EngineSettings) -> TensorRtEngine:
        """Build the plans or take them from the cache, load them, and run them once.

        Raises:
            DependencyError: If TensorRT or `cuda-python` is missing; says what to install.
            EngineError: If there is no GPU, or the graphs can not be built or loaded on it.
        """
        binding = load_binding(settings.kind)
        cuda = open_cuda(settings.device)
        return cls.on(cuda, binding, files, settings)

    @classmethod
    def on(
        cls,
        cuda: CudaRuntime,
        binding: TensorRtBinding,
        files: GraphFiles,
        settings: EngineSettings,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> TensorRtEngine:
        """Open on a given device with a given TensorRT; the clock only measures stages for reports.

        Raises:
            EngineError: If the graphs can not be built or loaded.
        """
        context, step = _load(cuda, binding, files, settings)
        program = FlowProgram(cuda, context, step, cuda_graph=settings.cuda_graph, clock_ns=clock_ns)
        program.warm_up()
        return cls(program, f"{binding.title} {settings.precision} on {cuda.gpu.name}", settings.precision)

    @property
    def name(self) -> str:
        """TensorRT, precision, GPU, and why there is no CUDA graph, if there is none."""
        trouble = self._program.graph_trouble
        return f"{self._title}, no CUDA graph: {trouble}" if trouble else f"{self._title}, CUDA graph"

    @property
    def precision(self) -> str:
        """`fp32`, `fp16` or `bf16`."""
        return self._precision

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], noise: Float32, flow_steps: int, guidance: Guidance | None
    ) -> EngineOutput:
        """Run context once and the flow's steps.

        Args:
            inputs: Inputs of the context graph by name, batch axis included; more than the graph uses is fine.
            noise: (K, A*10) float32 where the flow starts.
            flow_steps: Euler steps N.
            guidance: What to continue, or None.

        Raises:
            EngineError: If an input is missing or does not fit; names all. If the GPU fails.
        """
        wanted = self._program.feeds
        guided = (guidance or Guidance.none(*noise.shape)).graph_inputs()
        if unheard := [name for name, value in guided.items() if name not in wanted and np.any(value)]:
            raise EngineError(f"the step graph has no inputs {unheard}: this package was exported without guidance")
        offered = {**inputs, **guided, "x": noise[None]}
        _check_feeds(wanted, offered)
        stage_ns = self._program.run(offered, flow_steps)
        return EngineOutput(
            actions=self._program.actions[0].copy(),
            display={name: array[0].copy() for name, array in self._program.display.items()},
            stage_ns=stage_ns,
        )

    def close(self) -> None:
        """Release the GPU; safe to call twice."""
        self._program.close()


def _load(
    cuda: CudaRuntime, binding: TensorRtBinding, files: GraphFiles, settings: EngineSettings
) -> tuple[PlanSession, PlanSession]:
    """Deserialize both plans; cached ones that are not taken are built anew, once."""
    prepared = prepare_plans(binding, files, settings, cuda.gpu)
    try:
        return _sessions(binding, prepared.plans)
    except EngineError as error:
        if prepared.built:
            raise
        _LOG.warning("plans in %s are of no use, building anew: %s", prepared.folder, error)
    return _sessions(binding, prepare_plans(binding, files, settings, cuda.gpu, is_rebuild=True).plans)


def _sessions(binding: TensorRtBinding, plans: Mapping[str, bytes]) -> tuple[PlanSession, PlanSession]:
    context, step = (PlanSession(binding, name, plans[name]) for name in GRAPHS)
    return context, step


def _check_feeds(wanted: Mapping[str, TensorSpec], offered: Mapping[str, NDArray[Any]]) -> None:
    problems = [f"'{name}' is missing; expected {spec}" for name, spec in wanted.items() if name not in offered]
    problems += [
        f"'{name}' is {offered[name].shape} {offered[name].dtype}; expected {spec}"
        for name, spec in wanted.items()
        if name in offered and (offered[name].shape, offered[name].dtype) != (spec.shape, spec.dtype)
    ]
    if problems:
        raise EngineError(join_problems("inputs of the engine", problems))
