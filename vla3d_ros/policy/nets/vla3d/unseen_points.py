"""From masks to completion coordinates P_comp (3DVLA 3.3.1), with fixed slots and without a data-dependent step."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras, project
from vla3d_ros.policy.nets.vla3d.cells import take_rows
from vla3d_ros.policy.nets.vla3d.coordinates import Surface
from vla3d_ros.policy.nets.vla3d.farthest_points import distance_to_set, sample_farthest
from vla3d_ros.policy.nets.vla3d.observed import Observed, densest_cluster, dither, lift_masks
from vla3d_ros.policy.nets.vla3d.proposals import Candidates, proposal_of


class UnseenPoints(NamedTuple):
    """Completion coordinates of O instances, k each: points (B, O, k, 3) m in base, mask (B, O, k) bool.

    observed: what they were made from, B * O instances; candidates: before carving and sampling.
    """

    points: Tensor
    mask: Tensor
    observed: Observed
    candidates: Candidates


def looked_through(points: Tensor, surface: Surface, cameras: Cameras, margin_m: float) -> Tensor:
    """Say which points some camera looks through: it measured a surface behind them, so nothing is there.

    Args:
        points: (B, N, 3) m in base.
        surface: Measured or predicted depth.
        cameras: Of the V views.
        margin_m: How much nearer than the surface a point must be.

    Returns:
        (B, N) bool.
    """
    projection = project(points, cameras)
    rows, columns = surface.grid
    column = (projection.pixels[..., 0] * columns).long().clamp(max=columns - 1)
    row = (projection.pixels[..., 1] * rows).long().clamp(max=rows - 1)
    behind_m = take_rows(surface.depth_m.unsqueeze(-1), row * columns + column).squeeze(-1)
    through = projection.visible & (projection.depth_m < behind_m - margin_m)
    return through.any(dim=1)


class UnseenPointFinder(nn.Module):
    """Back-project, denoise, propose, carve, keep the farthest from what was observed, sample farthest points."""

    thresholds: Tensor

    def __init__(self, config: Vla3dConfig, cells: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.propose_points = proposal_of(config)
        self.register_buffer("thresholds", dither(cells), persistent=False)

    def forward(self, inside: Tensor, instance_mask: Tensor, surface: Surface, cameras: Cameras) -> UnseenPoints:
        """Find unseen points of O instances.

        Args:
            inside: (B, V, O, P) bool, the instances' masks over the surface's cells.
            instance_mask: (B, O) bool.
            surface: What the cameras see.
            cameras: The views.

        Returns:
            The points; all slots of an instance are masked if too little of it was seen.
        """
        config = self.config
        batch, _, occluded, _ = inside.shape
        lifted = lift_masks(inside, surface, cameras, self.thresholds, config.observed_per_view)
        cluster = densest_cluster(
            lifted.points,
            lifted.mask,
            neighbours=config.density_neighbours,
            factor=config.density_factor,
            hops=config.cluster_hops,
        )
        observed = lifted._replace(mask=cluster)
        candidates = self.propose_points(observed)
        flat = candidates.points.reshape(batch, -1, 3)
        empty = looked_through(flat, surface, cameras, config.carve_margin_m).reshape(candidates.mask.shape)
        enough = (cluster.sum(dim=1) >= config.least_observed) & instance_mask.reshape(-1)
        points, mask = self._sample(candidates, ~empty & enough.unsqueeze(1), observed)
        shape = (batch, occluded, config.points_per_instance)
        return UnseenPoints(points.reshape(*shape, 3), mask.reshape(shape), observed, candidates)

    def _sample(self, candidates: Candidates, possible: Tensor, observed: Observed) -> tuple[Tensor, Tensor]:
        """Keep the candidates farthest from what was observed, then spread the slots over them."""
        unseen_m = distance_to_set(candidates.points, observed.points, observed.mask)
        usable = candidates.mask & possible & (unseen_m >= self.config.least_unseen_m)
        ranked, index = torch.where(usable, unseen_m, -1.0).topk(
            min(self.config.kept_candidates, unseen_m.shape[1]), dim=1, sorted=True
        )
        kept = candidates.points.gather(1, index.unsqueeze(-1).expand(-1, -1, 3))
        farthest = torch.zeros_like(index[:, :1])
        points, mask = sample_farthest(kept, ranked >= 0.0, farthest, self.config.points_per_instance)
        return torch.where(mask.unsqueeze(-1), points, 0.0), mask
