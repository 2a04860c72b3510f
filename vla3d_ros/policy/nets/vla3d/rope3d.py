"""Continuous 3D rotary position embedding (3DVLA 3.1): `theta_d = p * 10000^(-2d / D_axis)` per axis, on q and k.

A head's channels are [real parts | imaginary parts | left over]: within the first two thirds stand the pairs of x, then
y, then z. Channels that three equal axes leave over are not rotated. Coordinates are multiplied by `scale_per_m` first:
in metres alone every phase stays below 1 rad and hardly tells two points apart.
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch

AXES = 3


class Rotation(NamedTuple):
    """Cosine and sine of N points' phases, (B, 1, N, 3 * pairs) float32 each."""

    cos: Tensor
    sin: Tensor


class Rope3d(nn.Module):
    """Phases for heads of one width."""

    frequencies: Tensor

    def __init__(self, head_width: int, *, base: float, scale_per_m: float) -> None:
        super().__init__()
        pairs = head_width // (2 * AXES)
        exponents = -2.0 * torch.arange(pairs, dtype=torch.float32) / (2 * pairs)
        self.register_buffer("frequencies", scale_per_m * base**exponents, persistent=False)

    def forward(self, points: Tensor) -> Rotation:
        """Turn points (B, N, 3) m into their rotation."""
        phases = (points.float().unsqueeze(-1) * self.frequencies).flatten(-2).unsqueeze(1)
        return Rotation(phases.cos(), phases.sin())


def rotate(vectors: Tensor, rotation: Rotation | None) -> Tensor:
    """Rotate queries or keys.

    Args:
        vectors: (B, heads, N, head_width).
        rotation: Of the N points; None leaves the vectors as they are.

    Returns:
        (B, heads, N, head_width) in the vectors' type; the arithmetic is float32.
    """
    if rotation is None:
        return vectors
    pairs = rotation.cos.shape[-1]
    real, imaginary = vectors[..., :pairs].float(), vectors[..., pairs : 2 * pairs].float()
    rotated = torch.cat(
        [
            real * rotation.cos - imaginary * rotation.sin,
            real * rotation.sin + imaginary * rotation.cos,
        ],
        dim=-1,
    ).to(vectors.dtype)
    if 2 * pairs == vectors.shape[-1]:
        return rotated
    return torch.cat([rotated, vectors[..., 2 * pairs :]], dim=-1)
