"""The two cuts through a network that are exported, as modules over positional tensors in the signature's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.policy.nets.features import ContextInputs, StepInputs
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.signature import context_inputs, context_outputs, step_inputs


class ContextGraph(nn.Module):
    """Observation to what the expert reads, then what people look at."""

    def __init__(self, net: PolicyNet) -> None:
        super().__init__()
        self.net = net
        self.inputs = tuple(context_inputs(net.config))
        self.outputs = tuple(context_outputs(net.config))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take and give tensors in the signature's order."""
        context = self.net.context(ContextInputs(**dict(zip(self.inputs, tensors, strict=True))))
        found = {**context.display, **context._asdict()}
        return tuple(found[name] for name in self.outputs)


class StepGraph(nn.Module):
    """One Euler step of the flow. The whole network is behind it; the exporter keeps what is used."""

    def __init__(self, net: PolicyNet) -> None:
        super().__init__()
        self.net = net
        self.inputs = tuple(step_inputs(net.config))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Take tensors in the signature's order."""
        return (self.net.step(StepInputs(**dict(zip(self.inputs, tensors, strict=True)))),)


def run_graph(
    graph: ContextGraph | StepGraph, arrays: Mapping[str, NDArray[Any]], outputs: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Run a cut on named arrays.

    Args:
        graph: Which cut.
        arrays: Every input, with the batch in front.
        outputs: Names of what comes out, in order.
    """
    with torch.inference_mode():
        results = graph(*tensors_in_order(graph, arrays))
    return {name: result.numpy() for name, result in zip(outputs, results, strict=True)}


def tensors_in_order(graph: ContextGraph | StepGraph, arrays: Mapping[str, NDArray[Any]]) -> tuple[Tensor, ...]:
    """Return the graph's inputs as tensors of their own memory, in order."""
    return tuple(torch.from_numpy(np.array(arrays[name])) for name in graph.inputs)
