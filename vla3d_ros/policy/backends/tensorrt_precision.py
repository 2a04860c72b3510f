"""Which nodes of a graph may compute in half precision, and which keep float32 because they are geometry.

A bfloat16 has 8 bits: 0.8 m becomes 0.8 m +- 2 mm. So half precision is not for a whole graph. The rules, in order:

1. Only products of features go low: MatMul, Gemm, Conv. They are where the time goes. Softmax, norms, divisions,
   trigonometry, TopK and everything else stay float32.
2. What is computed from a geometric input (`GEOMETRIC_INPUTS`) is geometry, until a learned layer or a bounded function
   (sine, softmax, norm, the part after the point, ...) makes a feature of it. A product of a transform with a constant
   is no learned layer: it moves fixed points. **No product with a geometric operand goes low**: projection and
   unprojection, rigid transforms, and the first layer that reads coordinates.
3. **The last product before geometry does not go low** either: bounded refinements, offsets of samples, the velocity of
   the flow, and what the graph outputs as points or scores.
4. What a pattern in `KEEP_FLOAT32`, or one handed in, matches by the name of node, tensor, weight or module stays, too.
5. A transposed convolution stays float32 where bf16 is asked for: TensorRT for RTX 1.7.1 can not build it in bf16.
6. Between two low nodes, what only moves or adds low values (`FOLLOWERS`) is low as well; residual sums with float32
   are float32.

Inputs and outputs of the graph keep their types.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from vla3d_ros.policy.backends.tensorrt_graph import PRODUCTS, GraphView, names_of, title

GEOMETRIC_INPUTS = frozenset(
    {"K", "T_base_camera", "T_base_ee", "depth_m", "state", "x", "tau", "dt", "previous", "weights", "beta"}
)
# Outputs that are features: they may be made by a low product.
FEATURE_OUTPUTS = frozenset({"context_k", "context_v", "condition"})
# Depth is an expectation over bins: small errors of its logits are large errors of points.
KEEP_FLOAT32 = ("*depth*", "*bins*")
FOLLOWERS = frozenset(
    {"Add", "Concat", "Expand", "Gelu", "Identity", "Mul", "Relu", "Reshape", "Slice", "Split"}
    | {"Squeeze", "Transpose", "Unsqueeze"}
)
_FEATURES = frozenset(
    {"Cos", "Elu", "Erf", "Gelu", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "LeakyRelu"}
    | {"RMSNormalization", "Relu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus", "Swish", "Tanh"}
)
_MOVING = frozenset({"Add", "Concat", "Expand", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_NOT_BUILT = {"bf16": frozenset({"ConvTranspose"})}
_MIXING = frozenset({"Add", "Concat", "Div", "MatMul", "Mul", "Sub", "Where"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionPlan:
    """Which nodes go low, by index, and why the products that do not stay float32, by title."""

    low: frozenset[int]
    kept: tuple[tuple[str, str], ...]
    products: int

    @property
    def low_products(self) -> int:
        """Number of products in half precision."""
        return self.products - len(self.kept)


def plan_precision(view: GraphView, precision: str, keep: Sequence[str] = ()) -> PrecisionPlan:
    """Decide which nodes of a graph compute in half precision.

    Args:
        view: The graph.
        precision: `fp16` or `bf16`.
        keep: More patterns (as for file names) of nodes, tensors, weights or modules that stay float32.
    """
    geometric = _geometric_tensors(view)
    heads = _heads(view, geometric)
    low: set[int] = set()
    kept: list[tuple[str, str]] = []
    products = 0
    for index, node in enumerate(view.nodes):
        if node.op_type in PRODUCTS and node.output[0] in view.floats:
            products += 1
            reason = _reason_to_keep(view, index, geometric, heads, (*KEEP_FLOAT32, *keep))
            if not reason and node.op_type in _NOT_BUILT.get(precision, ()):
                reason = f"{node.op_type} can not be built in {precision}"
            if reason:
                kept.append((title(node), reason))
            else:
                low.add(index)
        elif node.op_type in FOLLOWERS and _follows(view, node, low) and not _is_kept(node, (*KEEP_FLOAT32, *keep)):
            low.add(index)
    return PrecisionPlan(low=frozenset(low), kept=tuple(kept), products=products)


def _reason_to_keep(
    view: GraphView, index: int, geometric: Collection[str], heads: Collection[int], keep: Sequence[str]
) -> str:
    node = view.nodes[index]
    if operands := [name for name in view.float_inputs(node) if name in geometric]:
        return f"reads geometry: {operands[0]}"
    if index in heads:
        return "the last product before geometry"
    if pattern := _is_kept(node, keep):
        return f"named by '{pattern}'"
    if not view.flowing_inputs(node):
        return "constant"
    return ""


def _is_kept(node: Any, keep: Sequence[str]) -> str:
    return next((pattern for pattern in keep for name in names_of(node) if fnmatchcase(name, pattern)), "")


def _follows(view: GraphView, node: Any, low: Collection[int]) -> bool:
    flowing = view.flowing_inputs(node)
    return bool(flowing) and all(view.producers.get(name) in low for name in flowing)


def _geometric_tensors(view: GraphView) -> set[str]:
    """Names of the tensors that are metres, radians or normalised actions: rule 2."""
    geometric = {info.name for info in view.model.graph.input if info.name in GEOMETRIC_INPUTS}
    for node in view.nodes:
        operands = [name for name in view.float_inputs(node) if name in geometric]
        turns_constants = any(view.is_transform(name) for name in operands)
        makes_features = (
            node.op_type in _FEATURES
            or _is_fraction(view, node)
            or (view.is_learned_product(node) and not turns_constants)
        )
        if operands and not makes_features:
            geometric.update(name for name in node.output if name in view.floats)
    return geometric


def _is_fraction(view: GraphView, node: Any) -> bool:
    """Tell whether a node is x - floor(x), or x - (floor(x) + 1): where between two cells a sample lies."""
    return node.op_type == "Sub" and _is_rounded(view, node.input[1])


def _is_rounded(view: GraphView, name: str) -> bool:
    """Tell whether a tensor is made of rounded numbers and constants, moved about."""
    index = view.producers.get(name)
    if index is None or name in view.constants:
        return False
    node = view.nodes[index]
    if node.op_type in ("Ceil", "Floor", "Round"):
        return True
    flowing = view.flowing_inputs(node)
    return node.op_type in _MOVING and bool(flowing) and all(_is_rounded(view, source) for source in flowing)


def _heads(view: GraphView, geometric: Collection[str]) -> set[int]:
    """Products whose results become geometry with no other product in between: rule 3."""
    becoming = [info.name for info in view.model.graph.output if info.name not in FEATURE_OUTPUTS]
    for node in view.nodes:
        if node.op_type in _MIXING and node.output[0] in geometric:
            becoming += [name for name in view.flowing_inputs(node) if name not in geometric]
    heads: set[int] = set()
    seen: set[str] = set()
    while becoming:
        name = becoming.pop()
        index = view.producers.get(name)
        if index is None or name in seen:
            continue
        seen.add(name)
        if view.nodes[index].op_type in PRODUCTS:
            heads.add(index)
        else:
            becoming += [name for name in view.flowing_inputs(view.nodes[index]) if name not in geometric]
    return heads
