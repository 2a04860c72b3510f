"""Sinusoids of coordinates: Phi_freq (3DVLA Eq. 14), Phi_pos (Eq. 7-8), and PE(u) of a pixel."""

from __future__ import annotations

import math

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch


def frequency_features(coordinates: Tensor, frequencies: int) -> Tensor:
    """Expand coordinates, Eq. 14: `[x, sin(2^0 pi x), cos(2^0 pi x), ..., cos(2^(F-1) pi x)]`.

    Args:
        coordinates: (..., n).
        frequencies: F.

    Returns:
        (..., n * (1 + 2 F)) float32; each entry of the list stands for its n coordinates.
    """
    x = coordinates.float()
    scale = torch.tensor([2.0**power * math.pi for power in range(frequencies)], device=x.device)
    angles = x.unsqueeze(-2) * scale.unsqueeze(-1)  # (..., F, n)
    waves = torch.stack([angles.sin(), angles.cos()], dim=-2)  # (..., F, 2, n)
    return torch.cat([x, waves.flatten(-3)], dim=-1)


class FourierEmbedding(nn.Module):
    """Frequency features of n coordinates, projected to a token's width."""

    def __init__(self, coordinates: int, frequencies: int, width: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.project = nn.Linear(coordinates * (1 + 2 * frequencies), width)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Map (..., n) to (..., D)."""
        embedded: Tensor = self.project(frequency_features(coordinates, self.frequencies))
        return embedded
