"""Farthest point sampling with a fixed number of unrolled steps, and distance to a set."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.vla3d.observed import pairwise_m

_FAR_M = 1.0e3


def distance_to_set(points: Tensor, members: Tensor, member_mask: Tensor) -> Tensor:
    """Return each point's distance to the nearest member.

    Args:
        points: (R, n, 3) m.
        members: (R, m, 3) m.
        member_mask: (R, m) bool.

    Returns:
        (R, n) m; 1000 if there is no member.
    """
    distances = pairwise_m(points, members)
    return torch.where(member_mask.unsqueeze(1), distances, _FAR_M).amin(dim=-1)


def sample_farthest(points: Tensor, mask: Tensor, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick points so that each is as far as possible from those before.

    Args:
        points: (R, n, 3) m.
        mask: (R, n) bool, points that may be picked.
        first: (R, 1) int64, the one to begin with.
        count: How many.

    Returns:
        (R, count, 3) m, and (R, count) bool: false from where on only points already picked (or none) remained.
    """
    distance = torch.where(mask, _FAR_M, -1.0)
    chosen, index = [], first
    valid = []
    for _ in range(count):
        valid.append(distance.gather(1, index) > 0.0)
        picked = points.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))
        chosen.append(picked)
        distance = torch.minimum(distance, pairwise_m(points, picked).squeeze(-1))
        index = distance.argmax(dim=1, keepdim=True)
    return torch.cat(chosen, dim=1), torch.cat(valid, dim=1)
