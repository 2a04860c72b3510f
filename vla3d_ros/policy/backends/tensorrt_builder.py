"""Builds TensorRT plans from ONNX graphs. Needs no GPU with TensorRT for RTX; TensorRT itself times kernels on one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.errors import EngineError
from vla3d_ros.policy.backends.tensorrt_binding import TensorRtBinding
from vla3d_ros.policy.backends.tensorrt_graph import load_onnx
from vla3d_ros.policy.backends.tensorrt_lowering import cast_pixels_first, lower_precision
from vla3d_ros.policy.backends.tensorrt_precision import PrecisionPlan


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BuiltPlan:
    """A serialized engine, the layers TensorRT made of the graph, what was kept float32, and the timings it took."""

    plan: bytes
    layers: int
    precision: PrecisionPlan
    timing_cache: bytes = b""


def build_plan(
    binding: TensorRtBinding, onnx_file: Path, precision: str, *, keep: Sequence[str] = (), timing_cache: bytes = b""
) -> BuiltPlan:
    """Parse a graph as a strongly typed network and build it.

    TF32 is off: it would round the float32 of geometry to 10 bits.

    Args:
        binding: Which TensorRT.
        onnx_file: A graph in float32 with static shapes, weights inside.
        precision: `fp32`, `fp16` or `bf16`.
        keep: More name patterns that stay float32.
        timing_cache: Timings of kernels from a former build, or nothing.

    Raises:
        EngineError: If TensorRT refuses the graph, naming every node it refuses, or can not build it.
    """
    model, decided = lower_precision(cast_pixels_first(load_onnx().load(str(onnx_file))), precision, keep)
    trt = binding.module
    builder = trt.Builder(binding.logger)
    if not builder:
        raise EngineError(f"{binding.title} makes no builder: {binding.last_messages()}")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, binding.logger)
    if not parser.parse(model.SerializeToString()):
        raise EngineError(f"{binding.title} refuses {onnx_file.name}: {'; '.join(_parser_problems(parser))}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if binding.times_kernels:
        config.set_timing_cache(config.create_timing_cache(timing_cache), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{binding.title} can not build {onnx_file.name}: {binding.last_messages()}")
    timings = bytes(config.get_timing_cache().serialize()) if binding.times_kernels else b""
    return BuiltPlan(plan=bytes(plan), layers=network.num_layers, precision=decided, timing_cache=timings)


def _parser_problems(parser: Any) -> list[str]:
    """What the parser found, node by node."""
    problems = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node = f"node '{error.node_name()}' ({error.node_operator()})" if error.node_operator() else "the graph"
        problems.append(f"{node}: {error.desc()} [{str(error.code()).rsplit('.', maxsplit=1)[-1]}]")
    return problems or ["no reason given"]
