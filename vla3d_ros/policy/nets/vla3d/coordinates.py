"""Where the tokens are (policy.md "Token coordinates"): from aligned depth, from predicted depth, or from both."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras, cell_centres_px, unproject
from vla3d_ros.policy.nets.vla3d.depth import (
    DepthHead,
    TokenDepth,
    expected_depth,
    measured_depth,
    sampled_depth,
    sampled_pixels_px,
)


class TokenPoints(NamedTuple):
    """Points of N tokens per view: points (B, V, N, 3) m in base, 0 where unknown; placed (B, V, N) bool.

    depth_m (B, V, N), 0 where unknown; depth_logits (B, V, N, bins) of the depth head, or None.
    """

    points: Tensor
    placed: Tensor
    depth_m: Tensor
    depth_logits: Tensor | None


class Surface(NamedTuple):
    """What the cameras see, finer than the tokens: cells on the grid of the mask map.

    points (B, V, P, 3) m in base, 0 where unknown; depth_m (B, V, P), 0 where unknown; grid = rows, columns of P.
    """

    points: Tensor
    depth_m: Tensor
    grid: tuple[int, int]

    @property
    def known(self) -> Tensor:
        """(B, V, P) bool."""
        return self.depth_m > 0.0


class TokenCoordinates(nn.Module):
    """Depth of every token and cell, and their points in the robot's base frame."""

    def __init__(self, width: int, config: Vla3dConfig) -> None:
        super().__init__()
        self.measures = config.token_depth != "predicted"
        self.step_px = config.depth_step_px
        self.head: DepthHead | None = None
        if config.token_depth != "aligned":
            self.head = DepthHead(width, config.depth_bins, config.nearest_depth_m, config.farthest_depth_m)

    def forward(self, tokens: Tensor, grid: tuple[int, int], depth_m: Tensor | None, cameras: Cameras) -> TokenPoints:
        """Place tokens (B, V, N, C) that form a grid; depth_m (B, V, H, W) where the configuration measures."""
        depth, logits = self._token_depth(tokens, grid, depth_m, cameras)
        placed = depth.valid & cameras.mask.unsqueeze(-1)
        known_m = torch.where(placed, depth.depth_m, 1.0)
        points = unproject(cell_centres_px(grid, cameras.size_px, tokens.device), known_m, cameras)
        points = torch.where(placed.unsqueeze(-1), points, 0.0)
        return TokenPoints(points, placed, torch.where(placed, depth.depth_m, 0.0), logits)

    def _token_depth(
        self, tokens: Tensor, grid: tuple[int, int], depth_m: Tensor | None, cameras: Cameras
    ) -> tuple[TokenDepth, Tensor | None]:
        measured = None
        if self.measures and depth_m is not None:
            shown = torch.where(cameras.mask[:, :, None, None], depth_m.float(), 0.0)
            measured = measured_depth(shown, grid, self.step_px)
        if self.head is None:
            assert measured is not None  # the graph's inputs follow the configuration
            return measured, None
        logits = self.head(tokens)
        predicted = expected_depth(logits, self.head.bins_m)
        if measured is None:
            return TokenDepth(predicted, torch.ones_like(predicted, dtype=torch.bool)), logits
        filled = torch.where(measured.valid, measured.depth_m, predicted)
        return TokenDepth(filled, torch.ones_like(measured.valid)), logits

    def surface(
        self,
        tokens: TokenPoints,
        grid: tuple[int, int],
        cells: tuple[int, int],
        depth_m: Tensor | None,
        cameras: Cameras,
    ) -> Surface:
        """Place a finer grid of cells: measured depth at the cell, otherwise the predicted depth of its token."""
        batch, views = cameras.mask.shape
        cell_depth = tokens.depth_m.new_zeros(batch, views, cells[0] * cells[1])
        if self.head is not None:
            coarse = tokens.depth_m.reshape(batch * views, 1, *grid)
            finer = (cells[0] // grid[0], cells[1] // grid[1])
            cell_depth = coarse.repeat_interleave(finer[0], 2).repeat_interleave(finer[1], 3).reshape(batch, views, -1)
        if self.measures and depth_m is not None:
            sampled = sampled_depth(depth_m, cells)
            cell_depth = torch.where(sampled > 0.0, sampled, cell_depth)
        cell_depth = torch.where(cameras.mask.unsqueeze(-1), cell_depth, 0.0)
        points = unproject(sampled_pixels_px(cells, cameras.size_px, cell_depth.device), cell_depth, cameras)
        return Surface(torch.where((cell_depth > 0.0).unsqueeze(-1), points, 0.0), cell_depth, cells)
