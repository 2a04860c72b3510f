"""How far away a token is: the median of what the camera measured, or what a depth head expects."""

from __future__ import annotations

import math
from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch

_NO_RETURN_M = 1.0e6  # sorts behind every depth


class TokenDepth(NamedTuple):
    """Depth of N tokens per view: depth_m (B, V, N) along z, valid (B, V, N) bool."""

    depth_m: Tensor
    valid: Tensor


def lower_median(values: Tensor, valid: Tensor) -> Tensor:
    """Return the lower median of the valid values on the last axis: always one of them, never a mean of two.

    Args:
        values: (..., n), below 1e6.
        valid: (..., n) bool.

    Returns:
        (...); 0 where nothing is valid.
    """
    ranked = torch.where(valid, values, _NO_RETURN_M)
    half = (values.shape[-1] + 1) // 2
    smallest = ranked.topk(half, dim=-1, largest=False, sorted=True).values
    count = valid.sum(dim=-1, keepdim=True)
    rank = ((count - 1) // 2).clamp(min=0)
    median = smallest.gather(-1, rank).squeeze(-1)
    return torch.where(count.squeeze(-1) > 0, median, 0.0)


def measured_depth(depth_m: Tensor, grid: tuple[int, int], step_px: int) -> TokenDepth:
    """Take each token's depth as the median over its patch.

    Args:
        depth_m: (B, V, H, W) aligned to the images, 0 where there is no return.
        grid: Rows and columns of the tokens; divides H and W.
        step_px: Look at every so many pixels of a patch, along both axes.

    Returns:
        Depth of the rows * columns tokens; valid where the patch has any return.
    """
    batch, views, height, width = depth_m.shape
    rows, columns = grid
    patches = depth_m.float().reshape(batch, views, rows, height // rows, columns, width // columns)
    patches = patches[:, :, :, ::step_px, :, ::step_px].permute(0, 1, 2, 4, 3, 5)
    samples = patches.reshape(batch, views, rows * columns, -1)
    returned = samples > 0.0
    return TokenDepth(lower_median(samples, returned), returned.any(dim=-1))


def sampled_depth(depth_m: Tensor, grid: tuple[int, int]) -> Tensor:
    """Read the depth image at the pixel next to each cell's centre (see `sampled_pixels_px`).

    Args:
        depth_m: (B, V, H, W), 0 where there is no return.
        grid: Rows and columns of the cells.

    Returns:
        (B, V, rows * columns) m, 0 where there is no return.
    """
    batch, views, height, width = depth_m.shape
    rows = _centre_indices(grid[0], height, depth_m.device)
    columns = _centre_indices(grid[1], width, depth_m.device)
    sampled = depth_m.float().index_select(2, rows).index_select(3, columns).reshape(batch, views, -1)
    return torch.where(sampled > 0.0, sampled, 0.0)


def sampled_pixels_px(grid: tuple[int, int], size_px: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Return the pixels `sampled_depth` reads: (rows * columns, 2) px, x then y."""
    rows = _centre_indices(grid[0], size_px[0], device).float()
    columns = _centre_indices(grid[1], size_px[1], device).float()
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=-1)


def _centre_indices(cells: int, pixels: int, device: torch.device | None) -> Tensor:
    return torch.tensor([int((cell + 0.5) * pixels / cells) for cell in range(cells)], device=device)


def log_spaced_bins_m(nearest_m: float, farthest_m: float, bins: int) -> Tensor:
    """Return (bins,) depths of equal ratio from nearest to farthest, both included."""
    return torch.logspace(math.log(nearest_m), math.log(farthest_m), bins, base=math.e)


def expected_depth(logits: Tensor, bins_m: Tensor) -> Tensor:
    """Return the mean depth of a distribution over bins: sum_b softmax(logits)_b d_b.

    Args:
        logits: (..., bins).
        bins_m: (bins,) m.

    Returns:
        (...) m in float32.
    """
    return (logits.float().softmax(dim=-1) * bins_m.float()).sum(dim=-1)


class DepthHead(nn.Module):
    """Depth of a token from what it shows: a distribution over log-spaced bins."""

    bins_m: Tensor

    def __init__(self, width: int, bins: int, nearest_m: float, farthest_m: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, bins)
        self.register_buffer("bins_m", log_spaced_bins_m(nearest_m, farthest_m, bins), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn tokens (..., C) into logits (..., bins); `expected_depth` makes metres of them."""
        logits: Tensor = self.logits(self.norm(tokens))
        return logits
