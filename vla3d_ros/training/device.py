"""Where a run computes, and in which precision."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.pytorch import torch
from vla3d_ros.training.recipe import OptimiserConfig


@dataclass(frozen=True, slots=True)
class Device:
    """name: `cpu` or `cuda`. precision: `fp32` or `bf16` (forward passes only; weights and losses stay float32)."""

    name: str
    precision: str

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return what a forward pass runs in."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device_type=self.name, dtype=torch.bfloat16)


def choose_device(config: OptimiserConfig) -> Device:
    """Return the device a recipe asks for; `auto` is the GPU if there is one, and bf16 on it.

    Raises:
        ConfigError: If a GPU is asked for and torch sees none.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "cuda" and not has_gpu:
        raise ConfigError("'device' is cuda; torch sees no GPU here: use 'auto' or 'cpu', or a torch built for CUDA")
    name = "cuda" if has_gpu and config.device != "cpu" else "cpu"
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if name == "cuda" else "fp32"
    return Device(name=name, precision=precision)
