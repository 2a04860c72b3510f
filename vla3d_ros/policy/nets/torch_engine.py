"""Runs a network as it is, behind the interface of the exported graphs: the reference for parity and benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ShapeError, join_problems
from vla3d_ros.policy.engine import EngineOutput, Float32, Guidance, flow_times
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.features import Context, ContextInputs, StepInputs
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.signature import context_inputs


def tensors_of(config: PolicyConfig, inputs: Mapping[str, NDArray[Any]], device: str = "cpu") -> ContextInputs:
    """Turn named arrays into the context's inputs.

    Args:
        config: Says which inputs are used; others are ignored.
        inputs: Arrays with the batch in front.
        device: Where tensors shall live.

    Raises:
        ShapeError: Lists every input that is missing or has another shape or type.
    """
    problems = []
    for name, spec in context_inputs(config).items():
        array = inputs.get(name)
        if array is None:
            problems.append(f"input '{name}' is missing; expected {spec.shape} {spec.dtype}")
        elif array.shape[1:] != spec.shape[1:] or str(array.dtype) != spec.dtype:
            problems.append(f"input '{name}' is {array.shape} {array.dtype}; expected {spec.shape} {spec.dtype}")
    if problems:
        raise ShapeError(join_problems("policy inputs", problems))
    tensors = {name: torch.from_numpy(np.array(inputs[name])).to(device) for name in context_inputs(config)}
    return ContextInputs(**tensors)


class TorchEngine:
    """An `Engine` over a network in memory, eager."""

    def __init__(
        self, net: PolicyNet, *, device: str = "cpu", clock_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        """Take a network.

        Args:
            net: Moved to the device, in evaluation mode.
            device: Torch device.
            clock_ns: What stages are timed with.
        """
        self._net = net.to(device).eval()
        self._device = device
        self._clock_ns = clock_ns

    @property
    def name(self) -> str:
        """What runs where."""
        return f"torch eager {self._device}, {torch.get_num_threads()} threads"

    @property
    def precision(self) -> str:
        """Always the network's own."""
        names = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
        return names[next(self._net.parameters()).dtype]

    def infer(
        self, inputs: Mapping[str, NDArray[Any]], noise: Float32, flow_steps: int, guidance: Guidance | None
    ) -> EngineOutput:
        """Run context once and the flow's steps; see `vla3d_ros.policy.engine.Engine`.

        Raises:
            ShapeError: Lists every input that is missing or has another shape or type.
        """
        started_ns = self._clock_ns()
        with torch.inference_mode():
            tensors = tensors_of(self._net.config, inputs, self._device)
            context = self._net.context(tensors)
            self._wait()
            seen_ns = self._clock_ns()
            actions = self._flow(context, tensors.arm_mask, noise, flow_steps, guidance)
            display = {name: value[0].cpu().numpy() for name, value in context.display.items()}
        stage_ns = {"context": seen_ns - started_ns, "flow": self._clock_ns() - seen_ns}
        return EngineOutput(actions=actions, display=display, stage_ns=stage_ns)

    def _flow(
        self, context: Context, arm_mask: Tensor, noise: Float32, flow_steps: int, guidance: Guidance | None
    ) -> Float32:
        taus, dt = flow_times(flow_steps)
        pull = Guidance.none(*noise.shape) if guidance is None else guidance
        given = {name: self._tensor(value) for name, value in pull.graph_inputs().items()}
        names = ("context_k", "context_v", "context_mask", "condition")
        memory = {name: getattr(context, name) for name in names}
        x, length = self._tensor(noise[None]), self._tensor(dt)
        for index in range(flow_steps):
            tau = self._tensor(taus[index : index + 1])
            x = self._net.step(StepInputs(x=x, tau=tau, dt=length, arm_mask=arm_mask, **memory, **given))
        actions: Float32 = x[0].float().cpu().numpy()
        return actions

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self._device)

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()

    def close(self) -> None:
        """Nothing to release."""
