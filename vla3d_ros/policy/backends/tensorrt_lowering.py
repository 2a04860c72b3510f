"""Rewrites an ONNX graph so that chosen nodes compute in half precision: the types TensorRT then takes literally."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError, EngineError
from vla3d_ros.policy.backends.tensorrt_graph import GraphView, load_onnx, title, view_graph
from vla3d_ros.policy.backends.tensorrt_precision import PrecisionPlan, plan_precision

_ELEMENT_TYPES = {"fp16": "FLOAT16", "bf16": "BFLOAT16"}
_LARGEST_FP16 = 65504.0


def lower_precision(model: Any, precision: str, keep: Sequence[str] = ()) -> tuple[Any, PrecisionPlan]:
    """Return a copy of a model in which products of features compute in half precision, and what was decided.

    Args:
        model: onnx.ModelProto in float32.
        precision: `fp32` (nothing changes), `fp16` or `bf16`.
        keep: More name patterns that stay float32, see `tensorrt_precision`.

    Raises:
        ConfigError: If the precision is unknown.
        EngineError: If a weight does not fit into fp16; names all of them.
    """
    if precision not in ("fp32", *_ELEMENT_TYPES):
        raise ConfigError(f"unknown precision '{precision}': expected one of {['fp32', *_ELEMENT_TYPES]}")
    view = view_graph(model)
    if precision == "fp32":
        return view.model, PrecisionPlan(low=frozenset(), kept=(), products=0)
    plan = plan_precision(view, precision, keep)
    return _Lowering(view, plan, precision).rewrite(), plan


def cast_pixels_first(model: Any) -> Any:
    """Return a copy of a model whose uint8 inputs become float32 before anything else reads them.

    TensorRT takes uint8 as an input only, not as an operand: pixels that are reshaped before they are cast are refused.
    All 256 values are exact in float32, so the graph computes what it did.
    """
    onnx = load_onnx()
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph, kind = copy.graph, onnx.TensorProto.UINT8
    renamed = {info.name: f"{info.name}_float" for info in graph.input if info.type.tensor_type.elem_type == kind}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    casts = [
        onnx.helper.make_node("Cast", [name], [new], name=f"{new}_cast", to=onnx.TensorProto.FLOAT)
        for name, new in renamed.items()
    ]
    nodes = [*casts, *graph.node]
    if renamed:
        del graph.node[:], graph.value_info[:]
        graph.node.extend(nodes)
    return copy


class _Lowering:
    """One rewrite. Low tensors get a name of their own; casts stand where types meet, one for each tensor."""

    def __init__(self, view: GraphView, plan: PrecisionPlan, precision: str) -> None:
        self._onnx = load_onnx()
        self._view = view
        self._plan = plan
        self._precision = precision
        self._element_type = getattr(self._onnx.TensorProto, _ELEMENT_TYPES[precision])
        self._weights = {tensor.name: tensor for tensor in view.model.graph.initializer}
        self._nodes: list[Any] = []
        self._low_names: dict[str, str] = {}
        self._low_weights: list[Any] = []
        self._problems: list[str] = []

    def rewrite(self) -> Any:
        """Return the rewritten model."""
        outputs = {info.name for info in self._view.model.graph.output}
        for index, node in enumerate(self._view.nodes):
            if index not in self._plan.low:
                self._nodes.append(node)
                continue
            lowered = self._lowered(node)
            self._nodes.append(lowered)
            for high, low in zip(node.output, lowered.output, strict=True):
                readers = self._view.consumers.get(high, ())
                if high in outputs or any(reader not in self._plan.low for reader in readers):
                    self._nodes.append(self._cast(low, high, self._onnx.TensorProto.FLOAT))
        if self._problems:
            raise EngineError(f"does not fit into {self._precision}: {'; '.join(self._problems)}; use bf16 or fp32")
        return self._model()

    def _lowered(self, node: Any) -> Any:
        lowered = self._onnx.NodeProto()
        lowered.CopyFrom(node)
        del lowered.input[:], lowered.output[:]
        for name in node.input:
            lowered.input.append(self._low(name, node) if name in self._view.floats else name)
        for name in node.output:
            self._low_names[name] = f"{name}_{self._precision}"
            lowered.output.append(self._low_names[name])
        return lowered

    def _low(self, name: str, node: Any) -> str:
        """Name of a tensor in half precision: made low, converted now if it is a weight, else cast."""
        if name not in self._low_names:
            low_name = f"{name}_{self._precision}"
            if name in self._weights:
                self._low_weights.append(self._converted(self._weights[name], low_name, node))
            else:
                self._nodes.append(self._cast(name, low_name, self._element_type))
            self._low_names[name] = low_name
        return self._low_names[name]

    def _converted(self, tensor: Any, low_name: str, node: Any) -> Any:
        values = self._onnx.numpy_helper.to_array(tensor).astype(np.float32)
        if self._precision == "fp16":
            largest = float(np.abs(values).max(initial=0.0))
            if largest > _LARGEST_FP16:
                self._problems.append(f"weight '{tensor.name}' of {title(node)} reaches {largest:.3g}")
                values = np.zeros_like(values)  # only until the problem is raised
            raw = values.astype("<f2").tobytes()
        else:
            raw = bfloat16_bits(values).astype("<u2").tobytes()
        return self._onnx.helper.make_tensor(low_name, self._element_type, list(tensor.dims), raw, raw=True)

    def _cast(self, source: str, target: str, element_type: int) -> Any:
        return self._onnx.helper.make_node("Cast", [source], [target], name=f"{target}_cast", to=element_type)

    def _model(self) -> Any:
        model = self._onnx.ModelProto()
        model.CopyFrom(self._view.model)
        graph = model.graph
        del graph.node[:], graph.value_info[:], graph.initializer[:]
        graph.node.extend(self._nodes)
        read = {name for node in self._nodes for name in node.input} | {info.name for info in graph.output}
        graph.initializer.extend(tensor for name, tensor in self._weights.items() if name in read)
        graph.initializer.extend(self._low_weights)
        return model


def bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round float32 to the nearest bfloat16, ties to even, as its 16 bits.

    Args:
        values: Any shape, finite.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype(np.uint16).reshape(values.shape)
