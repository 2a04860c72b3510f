"""The parts of a network that a stage of training moves or leaves alone (3DVLA App. A.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import nn

PARTS: Mapping[str, tuple[str, ...]] = {
    "trunk": ("trunk.",),
    "fusion": ("route.memory.",),
    "instances": ("route.instances.",),
    # How 3D tokens enter the trunk. The paper counts Eq. 14 to the aggregation, but its model without one has it.
    "tokens": ("route.kinds", "route.norm.", "route.project.", "route.ee_encoding."),
    "completion": ("route.occlusion.",),
    "aggregation": ("route.local_context.", "route.gate."),
    "spatial": ("route.",),  # all of any other route
    "expert": ("expert.", "bridge."),
}
"""Beginnings of parameter names; the first part that fits has it."""


def part_of(parameter: str) -> str:
    """Return which part a parameter belongs to, by its name."""
    return next(part for part, starts in PARTS.items() if parameter.startswith(starts))


def parts_in(net: PolicyNet) -> set[str]:
    """Return the parts that a network has."""
    return {part_of(name) for name, _ in net.named_parameters()}


def train_only(net: PolicyNet, parts: Collection[str]) -> dict[str, nn.Parameter]:
    """Freeze everything but some parts.

    Args:
        net: Its parameters are told whether they want gradients; old gradients are dropped.
        parts: Names of `PARTS`; those the network does not have are an error.

    Returns:
        The parameters that train, by name, in the network's order.

    Raises:
        ConfigError: If a part does not exist in the network, or nothing is left to train.
    """
    if missing := set(parts) - parts_in(net):
        raise ConfigError(f"nothing to train in {sorted(missing)}; this network has {sorted(parts_in(net))}")
    training = {}
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(part_of(name) in parts)
        parameter.grad = None
        if parameter.requires_grad:
            training[name] = parameter
    if not training:
        raise ConfigError(f"no part trains; expected some of {sorted(parts_in(net))}")
    return training
