"""Weights of a network in a file that holds tensors and nothing else (safetensors)."""

from __future__ import annotations

from pathlib import Path

from vla3d_ros.errors import DependencyError, PackageError
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.policy_net import PolicyNet


def save_weights(net: PolicyNet, path: Path) -> None:
    """Write every parameter and buffer.

    Raises:
        DependencyError: If safetensors is not installed.
    """
    try:
        from safetensors.torch import save_model
    except ImportError as error:
        raise DependencyError(
            f"weights are kept as safetensors, which can not be imported ({error}); pip install safetensors"
        ) from error
    save_model(net, str(path))


def load_net(config: PolicyConfig, path: Path) -> PolicyNet:
    """Build a network and read its weights, in evaluation mode.

    Raises:
        DependencyError: If safetensors is not installed.
        PackageError: If the file has other tensors than the network.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_model
    except ImportError as error:
        raise DependencyError(
            f"weights are kept as safetensors, which can not be imported ({error}); pip install safetensors"
        ) from error
    net = PolicyNet(config)
    try:
        load_model(net, str(path))
    except (RuntimeError, SafetensorError) as error:
        raise PackageError(f"{path.name} does not hold the weights of this network: {error}") from error
    return net.eval()
