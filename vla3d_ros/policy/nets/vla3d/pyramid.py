"""The memory as maps again (3DVLA 3.2.1): strides 8, 16 and 32 by (transposed) convolutions; 1/4 scale for masks."""

from __future__ import annotations

import math
from typing import NamedTuple

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch

STRIDES = (8, 16, 32)
MASK_STRIDE = 4


class Pyramid(NamedTuple):
    """Maps of V views: cells (B, V, P, D) of all scales one after the other, grids (rows, columns) of each scale.

    mask_map (B, V, Dm, rows, columns) at 1/4 of the image's size.
    """

    cells: Tensor
    grids: tuple[tuple[int, int], ...]
    mask_map: Tensor

    @property
    def mask_grid(self) -> tuple[int, int]:
        """Rows and columns of the mask map."""
        return self.mask_map.shape[-2], self.mask_map.shape[-1]


def halvings(patch_px: int, stride_px: int) -> int:
    """Say how often a token grid is doubled to reach a stride; below 0: halved. Rounded for patches of 14 px."""
    return round(math.log2(patch_px / stride_px))


def scaled_grid(grid: tuple[int, int], doublings: int) -> tuple[int, int]:
    """Return a grid doubled (or, below 0, halved) so often.

    Raises:
        ConfigError: If it can not be halved evenly: cells would no longer lie where their pixels are.
    """
    factor = 2 ** abs(doublings)
    if doublings >= 0:
        return grid[0] * factor, grid[1] * factor
    if grid[0] % factor or grid[1] % factor:
        raise ConfigError(
            f"a token grid of {grid[0]} x {grid[1]} can not be divided by {factor} for the pyramid; "
            "choose an image size that is a multiple of 32 px"
        )
    return grid[0] // factor, grid[1] // factor


class PyramidDecoder(nn.Module):
    """Transposed convolutions from the token grid to each scale."""

    def __init__(self, width: int, mask_width: int, *, patch_px: int, scales: int) -> None:
        super().__init__()
        self.doublings = [halvings(patch_px, stride) for stride in STRIDES[:scales]]
        self.scale_decoders = nn.ModuleList(_rescaler(width, width, doublings) for doublings in self.doublings)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.doublings)
        self.mask_decoder = _rescaler(width, mask_width, halvings(patch_px, MASK_STRIDE))

    def forward(self, memory: Tensor, grid: tuple[int, int]) -> Pyramid:
        """Decode memory (B, V, N, D) whose N tokens form a grid."""
        batch, views, _, width = memory.shape
        maps = memory.reshape(batch * views, *grid, width).permute(0, 3, 1, 2)
        cells = []
        for decoder, norm in zip(self.scale_decoders, self.norms, strict=True):
            flat = decoder(maps).flatten(2).transpose(1, 2)
            cells.append(norm(flat).reshape(batch, views, flat.shape[1], width))
        mask_map = self.mask_decoder(maps)
        grids = tuple(scaled_grid(grid, doublings) for doublings in self.doublings)
        return Pyramid(torch.cat(cells, dim=2), grids, mask_map.reshape(batch, views, *mask_map.shape[1:]))


def _rescaler(width: int, out_width: int, doublings: int) -> nn.Module:
    """Double or halve a map by 2x2 steps; the first doubling goes to the width of the outcome."""
    if doublings == 0:
        return nn.Conv2d(width, out_width, 1)
    step = nn.ConvTranspose2d if doublings > 0 else nn.Conv2d
    layers: list[nn.Module] = [step(width, out_width, 2, stride=2)]
    for _ in range(abs(doublings) - 1):
        layers += [nn.GELU(), step(out_width, out_width, 2, stride=2)]
    return nn.Sequential(*layers)
