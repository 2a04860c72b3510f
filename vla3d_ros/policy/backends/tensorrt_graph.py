"""What the precision rules need to know of an ONNX graph: types, producers, consumers, what is constant."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vla3d_ros.errors import DependencyError, EngineError

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
_SCOPE_KEYS = ("pkg.torch.onnx.name_scopes", "namespace")
_CONSTANT_SOURCES = frozenset({"Constant", "ConstantOfShape"})


def load_onnx() -> Any:
    """Return the `onnx` module.

    Raises:
        DependencyError: If it is not installed.
    """
    try:
        importlib.import_module("onnx.shape_inference")
        return importlib.import_module("onnx")
    except ImportError as error:
        raise DependencyError("building a TensorRT engine needs the package 'onnx': 'pip install onnx'") from error


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GraphView:
    """An ONNX graph, indexed. Nodes are named by their place, which is unique where their names need not be.

    Attributes:
        model: The model with inferred types; not to be changed.
        floats: Names of the float32 tensors.
        constants: Names of tensors that depend on no graph input.
        producers: Index of the node that makes a tensor.
        consumers: Indices of the nodes that read a tensor.
        shapes: Shape of each tensor of known, static shape.
    """

    model: Any
    floats: frozenset[str]
    constants: frozenset[str]
    producers: Mapping[str, int]
    consumers: Mapping[str, tuple[int, ...]]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def nodes(self) -> Any:
        """The nodes, in the order in which they run."""
        return self.model.graph.node

    def float_inputs(self, node: Any) -> list[str]:
        """Return the float32 inputs of a node."""
        return [name for name in node.input if name in self.floats]

    def flowing_inputs(self, node: Any) -> list[str]:
        """Return the float32 inputs of a node that are no constants."""
        return [name for name in self.float_inputs(node) if name not in self.constants]

    def is_learned_product(self, node: Any) -> bool:
        """Tell whether a node multiplies what flows with constants, i.e. weights."""
        return node.op_type in PRODUCTS and any(name in self.constants for name in node.input[:2])

    def is_transform(self, name: str) -> bool:
        """Tell whether a tensor has the shape of rotations or rigid transforms: (..., 3 or 4, 3 or 4)."""
        return len(self.shapes.get(name, ())) >= 2 and set(self.shapes[name][-2:]) <= {3, 4}


def view_graph(model: Any) -> GraphView:
    """Index a model.

    Args:
        model: onnx.ModelProto with static shapes.

    Raises:
        EngineError: If the graph has control flow, which no CUDA graph can capture; names the nodes.
    """
    onnx = load_onnx()
    branching = [title(node) for node in model.graph.node if any(a.type == a.GRAPH for a in node.attribute)]
    if branching:
        raise EngineError(f"control flow in the graph: {branching}; export with static shapes and masks instead")
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    typed = [*graph.input, *graph.output, *graph.value_info]
    floats = {info.name for info in typed if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    floats |= {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    consumers: dict[str, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        for name in node.input:
            consumers[name].append(index)
    return GraphView(
        model=inferred,
        floats=frozenset(floats),
        constants=frozenset(_constants(graph)),
        producers={name: index for index, node in enumerate(graph.node) for name in node.output},
        consumers={name: tuple(indices) for name, indices in consumers.items()},
        shapes={info.name: tuple(size.dim_value for size in info.type.tensor_type.shape.dim) for info in typed},
    )


def title(node: Any) -> str:
    """Return how to call a node in a message: its name, else what it makes."""
    return f"{node.name or node.output[0]} ({node.op_type})"


def names_of(node: Any) -> Iterable[str]:
    """Yield everything a node can be addressed by: name, tensors, weights, and the module it was exported from."""
    yield node.name
    yield from node.input
    yield from node.output
    yield from (entry.value for entry in node.metadata_props if entry.key in _SCOPE_KEYS)


def _constants(graph: Any) -> set[str]:
    known = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type in _CONSTANT_SOURCES or (inputs and all(name in known for name in inputs)):
            known.update(node.output)
    return known
