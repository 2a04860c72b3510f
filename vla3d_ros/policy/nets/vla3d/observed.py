"""What has been seen of an instance (3DVLA 3.3.1): its mask as points, and the densest cluster of them.

Masks are lifted to a fixed number of points per view, spread evenly over the mask by an ordered dither. Denoising is
density clustering with a radius taken from the points themselves: core points have enough neighbours, the cluster grows
from the densest point over core points for a fixed number of hops (DBSCAN's main cluster, unrolled).
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.vla3d.cameras import Cameras
from vla3d_ros.policy.nets.vla3d.cells import take_rows
from vla3d_ros.policy.nets.vla3d.coordinates import Surface
from vla3d_ros.policy.nets.vla3d.depth import lower_median

_FAR_M = 1.0e3
_R2 = (0.7548776662466927, 0.5698402909980532)


class Observed(NamedTuple):
    """Seen points of R instances: points (R, n, 3) m in base, rays (R, n, 3) of unit length from their camera.

    mask (R, n) bool; n = views * points per view, view by view.
    """

    points: Tensor
    rays: Tensor
    mask: Tensor
    views: int


def dither(grid: tuple[int, int]) -> Tensor:
    """Return (rows * columns,) thresholds in [0, 1): the cells above any threshold are spread evenly (R2 sequence)."""
    rows, columns = (torch.arange(count, dtype=torch.float64) for count in grid)
    thresholds: Tensor = ((_R2[1] * rows[:, None] + _R2[0] * columns) % 1.0).float().reshape(-1)
    return thresholds


def lift_masks(inside: Tensor, surface: Surface, cameras: Cameras, thresholds: Tensor, per_view: int) -> Observed:
    """Lift masks to points.

    Args:
        inside: (B, V, I, P) bool over the surface's cells.
        surface: Of V views.
        cameras: Of V views.
        thresholds: (P,) of `dither`.
        per_view: Points kept of every view.

    Returns:
        Observed points of the B * I instances.
    """
    batch, views, instances, _ = inside.shape
    usable = inside & surface.known.unsqueeze(2)
    rank = torch.where(usable, thresholds, -1.0)
    picked, index = rank.topk(per_view, dim=-1)
    points = take_rows(surface.points, index.reshape(batch, views, -1))
    points = points.reshape(batch, views, instances, per_view, 3)
    rays = points - cameras.T_base_camera[:, :, None, None, :3, 3]
    rays = rays / rays.norm(dim=-1, keepdim=True).clamp(min=1.0e-6)
    mask = _by_instance((picked >= 0.0).unsqueeze(-1)).squeeze(-1)
    return Observed(_by_instance(points), _by_instance(rays), mask, views)


def _by_instance(values: Tensor) -> Tensor:
    """(B, V, I, n, C) to (B * I, V * n, C)."""
    batch, views, instances, count, width = values.shape
    return values.transpose(1, 2).reshape(batch * instances, views * count, width)


def pairwise_m(first: Tensor, second: Tensor) -> Tensor:
    """Return the distances (R, n, m) between points (R, n, 3) and (R, m, 3)."""
    x, y, z = (
        one.unsqueeze(2) - other.unsqueeze(1) for one, other in zip(first.unbind(2), second.unbind(2), strict=True)
    )
    return (x * x + y * y + z * z).sqrt()


def densest_cluster(points: Tensor, mask: Tensor, *, neighbours: int, factor: float, hops: int) -> Tensor:
    """Say which points belong to the main cluster.

    Args:
        points: (R, n, 3) m.
        mask: (R, n) bool.
        neighbours: A core point has at least so many others within the radius.
        factor: The radius is this times the median distance to the point's neighbour of that rank.
        hops: How often the cluster grows by one radius.

    Returns:
        (R, n) bool, a subset of the mask; empty if no point is a core point.
    """
    both = mask.unsqueeze(2) & mask.unsqueeze(1)
    distance = torch.where(both, pairwise_m(points, points), _FAR_M)
    ranked = distance.topk(neighbours + 1, dim=-1, largest=False, sorted=True).values[..., -1]  # itself is the first
    radius = factor * lower_median(ranked, mask & (ranked < _FAR_M)).reshape(-1, 1, 1)
    near = ((distance <= radius) & both).float()
    core = (near.sum(dim=-1) > neighbours) & mask
    crowd = torch.exp(-((distance / radius.clamp(min=1.0e-6)) ** 2)).sum(dim=-1)  # smooth: no ties
    seed = torch.where(core, crowd, -1.0).argmax(dim=-1, keepdim=True)
    indices = torch.arange(points.shape[1], device=points.device)
    cluster = ((indices == seed) & core).float()
    for _ in range(hops):
        spreading = (cluster * core.float()).unsqueeze(-1)
        cluster = torch.maximum(cluster, ((near @ spreading).squeeze(-1) > 0.5).float())
    return (cluster > 0.5) & mask
