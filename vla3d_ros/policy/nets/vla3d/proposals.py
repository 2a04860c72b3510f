"""Where the unseen rest of an instance may be (3DVLA 3.3.1): the seam for point completion, and what fills it.

The paper asks a pretrained completion network (PointAttn). Here a package says which proposal it uses: `mirror` through
the principal plane of what a view shows, `extrude` behind the visible surface along the view rays, or `learned`, a
small network at the same seam. The first two have no weights and know no object; they suppose it is about as deep as
wide.
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.observed import Observed
from vla3d_ros.policy.nets.vla3d.principal_plane import MirrorPlanes, mirror_planes

_GRAZING = 0.3  # cosine between view ray and plane normal below which a ray is not followed any deeper
_DEPTHS = (0.5, 1.0)  # of the supposed thickness along a ray


class Candidates(NamedTuple):
    """Points that may belong to R instances: points (R, m, 3) m in base, mask (R, m) bool."""

    points: Tensor
    mask: Tensor


class MirrorProposal(nn.Module):
    """Every seen point, mirrored through the principal plane of its view."""

    def __init__(self, depth_per_width: float) -> None:
        super().__init__()
        self.depth_per_width = depth_per_width

    def forward(self, observed: Observed) -> Candidates:
        """Propose as many points as were observed."""
        normal, missing = _missing_depth(observed, mirror_planes(observed, self.depth_per_width))
        return Candidates(observed.points + 2.0 * missing * normal, observed.mask)


class ExtrudeProposal(nn.Module):
    """Behind every seen point, along its view ray, half way to and on the supposed far side."""

    def __init__(self, depth_per_width: float) -> None:
        super().__init__()
        self.depth_per_width = depth_per_width

    def forward(self, observed: Observed) -> Candidates:
        """Propose two points for each that was observed."""
        normal, missing = _missing_depth(observed, mirror_planes(observed, self.depth_per_width))
        slant = (observed.rays * normal).sum(dim=-1, keepdim=True).clamp(min=_GRAZING)
        thickness = 2.0 * missing / slant
        deeper = [observed.points + depth * thickness * observed.rays for depth in _DEPTHS]
        return Candidates(torch.cat(deeper, dim=1), torch.cat([observed.mask] * len(_DEPTHS), dim=1))


class LearnedProposal(nn.Module):
    """A small set network: seen points, relative to their mean and spread, to a fixed number of unseen ones."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        self.count = points
        self.each = nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.all = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, 3 * points))

    def forward(self, observed: Observed) -> Candidates:
        """Propose points; masked where nothing was observed."""
        weight = observed.mask.float().unsqueeze(-1)
        count = weight.sum(dim=1, keepdim=True).clamp(min=1.0)
        centre = (observed.points * weight).sum(dim=1, keepdim=True) / count
        relative = (observed.points - centre) * weight
        scale = (relative.square().sum(dim=(1, 2), keepdim=True) / count).sqrt().clamp(min=1.0e-3)
        features = torch.cat([relative / scale, observed.rays * weight], dim=-1)
        each = self.each(features) * weight
        pooled = torch.cat([each.amax(dim=1), each.sum(dim=1) / count.squeeze(-1)], dim=-1)
        offsets = self.all(pooled).reshape(-1, self.count, 3)
        mask = observed.mask.any(dim=1, keepdim=True).expand(-1, self.count)
        return Candidates(centre + scale * offsets, mask)


def _missing_depth(observed: Observed, planes: MirrorPlanes) -> tuple[Tensor, Tensor]:
    """Return each point's normal (R, n, 3), that of its view, and how far (R, n, 1) m it lies in front of the plane."""
    per_view = observed.points.shape[1] // observed.views
    normal = planes.normal.repeat_interleave(per_view, dim=1)
    offset = planes.offset_m.repeat_interleave(per_view, dim=1).unsqueeze(-1)
    return normal, offset - (observed.points * normal).sum(dim=-1, keepdim=True)


def proposal_of(config: Vla3dConfig) -> MirrorProposal | ExtrudeProposal | LearnedProposal:
    """Return the proposal a configuration names."""
    if config.proposal == "mirror":
        return MirrorProposal(config.depth_per_width)
    if config.proposal == "extrude":
        return ExtrudeProposal(config.depth_per_width)
    return LearnedProposal(config.width, config.learned_candidates)
