"""Layers in plain NumPy float64, written from their definitions, to hold the networks against."""

import numpy as np
from scipy.special import erf


def weights_of(module):
    """Return a module's parameters by name as float64."""
    return {name: value.detach().numpy().astype(np.float64) for name, value in module.named_parameters()}


def linear(x, w, name):
    """x W^T + b of the named layer."""
    bias = w.get(f"{name}.bias", 0.0)
    return x @ w[f"{name}.weight"].T + bias


def gelu(x):
    """x Phi(x)."""
    return 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))


def layer_norm(x, w, name):
    """Normalise the last axis, then scale and shift."""
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x):
    """Over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def mlp(x, w, name):
    """Linear, GELU, linear of a `two_layers` sequence."""
    return linear(gelu(linear(x, w, f"{name}.0")), w, f"{name}.2")


def shaken(module, seed=0, scale=0.3):
    """Give every parameter of a module noise, so that nothing that is zero at first hides a mistake."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return module.eval()
