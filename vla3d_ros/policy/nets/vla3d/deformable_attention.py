"""Deformable cross-attention (3DVLA Eq. 3): a probe reads the pyramid around its pixel, in every view.

`h_jv = sum_m W_m sum_k sum_s A_jvmks W' M^(s)(u_jv + du_jvmks)`; weights A sum to one over k and s. The offsets are
counted in cells of the scale they sample (the paper does not say), so one offset means the same on every map.
"""

from __future__ import annotations

import math

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.vla3d.cells import bilinear_corners, take_rows
from vla3d_ros.policy.nets.vla3d.pyramid import Pyramid


def sample_weighted(values: Tensor, grids: tuple[tuple[int, int], ...], pixels: Tensor, weights: Tensor) -> Tensor:
    """Add up weighted bilinear samples: the inner sums of Eq. 3.

    Args:
        values: (B, V, P, heads, d): the cells of all scales, one scale after the other.
        grids: Rows and columns of each scale; P is the sum of their products.
        pixels: (B, V, Q, heads, scales, K, 2) in [0, 1] of each map.
        weights: (B, V, Q, heads, scales, K).

    Returns:
        (B, V, Q, heads, d).
    """
    batch, views, _, heads, width = values.shape
    queries, first = pixels.shape[2], 0
    cells, shares = [], []
    for scale, grid in enumerate(grids):
        weight = weights[:, :, :, :, scale].float()
        for cell, corner in bilinear_corners(pixels[:, :, :, :, scale], grid):
            cells.append(cell + first)
            shares.append(corner * weight)
        first += grid[0] * grid[1]
    head = torch.arange(heads, device=values.device).reshape(heads, 1)
    index = (torch.cat(cells, dim=-1).long() * heads + head).reshape(batch, views, -1)
    rows = take_rows(values.reshape(batch, views, -1, width), index).reshape(batch, views, queries, heads, -1, width)
    share = torch.cat(shares, dim=-1).unsqueeze(-2)
    return (share.to(rows.dtype) @ rows).squeeze(-2)


class DeformableAttention(nn.Module):
    """Eq. 3 for Q probes in V views."""

    def __init__(self, width: int, *, heads: int, scales: int, points: int) -> None:
        super().__init__()
        self.heads, self.scales, self.points = heads, scales, points
        self.value = nn.Linear(width, width)  # W'
        self.offsets = nn.Linear(width, heads * scales * points * 2)
        self.weights = nn.Linear(width, heads * scales * points)
        self.out = nn.Linear(width, width)  # all W_m side by side
        self._look_around()

    def _look_around(self) -> None:
        """Begin with heads looking in evenly spread directions, point k at k + 1 cells, all weights equal."""
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        angle = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)[:, None, None, :]
        reach = (torch.arange(self.points) + 1.0)[None, None, :, None]
        with torch.no_grad():
            self.offsets.bias.copy_((direction * reach).expand(-1, self.scales, -1, -1).reshape(-1))

    def forward(self, probes: Tensor, pixels: Tensor, pyramid: Pyramid) -> Tensor:
        """Sample.

        Args:
            probes: (B, V, Q, D): the probes' states, with PE(u_jv) where they should depend on the view.
            pixels: (B, V, Q, 2) in [0, 1].
            pyramid: Multi-scale memory.

        Returns:
            h (B, V, Q, D).
        """
        batch, views, queries, width = probes.shape
        shape = (batch, views, queries, self.heads, self.scales, self.points)
        offsets = self.offsets(probes).float().reshape(*shape, 2)
        weights = self.weights(probes).float().reshape(*shape[:4], -1).softmax(dim=-1).reshape(shape)
        cells = torch.tensor([[columns, rows] for rows, columns in pyramid.grids], device=probes.device)
        sampled_at = pixels[:, :, :, None, None, None, :] + offsets / cells.float()[:, None, :]
        values = self.value(pyramid.cells).reshape(batch, views, -1, self.heads, width // self.heads)
        gathered = sample_weighted(values, pyramid.grids, sampled_at, weights)
        sampled: Tensor = self.out(gathered.flatten(-2))
        return sampled
