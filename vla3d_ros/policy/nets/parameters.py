"""How many parameters sit where, and networks that exist only as shapes."""

from __future__ import annotations

from collections import Counter

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import torch

_OWN = ("route.", "bridge.")


def parameter_table(net: PolicyNet) -> dict[str, int]:
    """Return the number of parameters of each part, e.g. `trunk.image_encoder`; they sum to the whole."""
    counts: Counter[str] = Counter()
    for name, parameter in net.named_parameters():
        counts[".".join(name.split(".")[:2])] += parameter.numel()
    return dict(counts)


def route_parameters(net: PolicyNet) -> int:
    """Return the number of parameters the spatial route adds to the trunk."""
    return sum(parameter.numel() for name, parameter in net.named_parameters() if name.startswith(_OWN))


def format_parameter_table(net: PolicyNet) -> str:
    """Return the table as text, with the route's own sum and the whole, in millions."""
    table = parameter_table(net)
    rows = [*table.items(), ("route's own", route_parameters(net)), ("whole", sum(table.values()))]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {count / 1e6:10.3f} M" for name, count in rows)


def shapes_only(config: PolicyConfig) -> PolicyNet:
    """Build a network on the meta device: every shape, no memory."""
    with torch.device("meta"):
        return PolicyNet(config)
