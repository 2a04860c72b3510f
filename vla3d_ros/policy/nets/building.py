"""Networks from a configuration and a seed, in evaluation mode."""

from __future__ import annotations

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.policy_net import PolicyNet
from vla3d_ros.policy.nets.pytorch import torch


def build_net(config: PolicyConfig, seed: int) -> PolicyNet:
    """Build a network as training starts it: same seed, same weights. The global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PolicyNet(config).eval()


def build_untrained_net(config: PolicyConfig, seed: int, scale: float = 0.5) -> PolicyNet:
    """Build a network that is not trained but in which every path carries signal: for timing and tests.

    Training starts from gates, connectors and output layers that are zero, behind which a wrong engine would be
    invisible. Here every parameter gets noise of standard deviation scale / sqrt(fan in), the velocity stays around 1.

    Args:
        config: Every size.
        seed: Of weights and noise.
        scale: How strong the noise is.
    """
    net = build_net(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else parameter.numel()
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * (scale / max(fan_in, 1) ** 0.5))
    return net
