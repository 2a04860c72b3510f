"""Reading rows of a feature map at indices and at points between them, with one Gather each (never GridSample)."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, torch


def take_rows(table: Tensor, index: Tensor) -> Tensor:
    """Read rows by index, separately for every table.

    Args:
        table: (B, V, P, C).
        index: (B, V, n) int64 in [0, P).

    Returns:
        (B, V, n, C).
    """
    batch, views, rows, width = table.shape
    first = torch.arange(batch * views, device=table.device).reshape(batch, views, 1) * rows
    flat = (index + first).reshape(-1)
    return table.reshape(-1, width).index_select(0, flat).reshape(batch, views, index.shape[2], width)


def bilinear_corners(pixels: Tensor, grid: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """Find the four cells around points, and their weights.

    Cell (row, column) has its centre at ((column + 0.5) / columns, (row + 0.5) / rows). What lies outside of the map
    counts as zero, so weights near and beyond the border sum to less than one.

    Args:
        pixels: (..., 2) in units of the map's width and height.
        grid: Rows and columns.

    Returns:
        For each of four corners: index (...) float32 whole numbers, row-major, always inside the map, and weight (...)
        float32, zero for a corner outside. Four tensors rather than one with four columns: broadcasting along a short
        last axis is slow on a CPU.
    """
    rows, columns = grid
    y = _neighbours(pixels[..., 1].float(), rows)
    x = _neighbours(pixels[..., 0].float(), columns)
    return [(row * columns + column, down * right) for row, down in y for column, right in x]


def _neighbours(fraction: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Return the cells before and after a coordinate in [0, 1] on a line of cells, and their weights."""
    position = fraction * count - 0.5
    low = position.floor()
    behind = position - low
    found = []
    for wanted, weight in ((low, 1.0 - behind), (low + 1.0, behind)):
        cell = wanted.clamp(0, count - 1)
        found.append((cell, torch.where(cell == wanted, weight, 0.0)))
    return found
