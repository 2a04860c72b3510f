"""The planes through which a half-seen instance is mirrored, one for each view.

A plane's normal is the principal axis along which the points of one view vary least, found by powers of a 3x3 matrix
that start at the mean view ray (no eigenvalue routine: none exports). What a view shows of a thing is a shell; the
plane lies at the shell's far rim, or deeper: where the shell is flat (a face seen head-on), half as deep as the
narrower of its two lateral extents, since a thing's depth is taken to be like its width; and never in front of the
middle of what all views together show.
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.vla3d.observed import Observed

_SQUARINGS = 5  # the matrix to the 32nd power
_EXTENT_PER_DEVIATION = 12.0**0.5  # of a uniform segment: length over standard deviation
_FAR_M = 1.0e3
_TINY = 1.0e-9


class MirrorPlanes(NamedTuple):
    """Of R instances in V views: normal (R, V, 3), unit, away from the camera; offset_m (R, V) = normal . point."""

    normal: Tensor
    offset_m: Tensor


def covariance(points: Tensor, mask: Tensor) -> Tensor:
    """Return the covariance (R, 3, 3) in m^2 of points (R, n, 3) where the mask (R, n) is true; zero if none."""
    weight = mask.float().unsqueeze(-1)
    count = weight.sum(dim=1, keepdim=True).clamp(min=1.0)
    centred = (points - (points * weight).sum(dim=1, keepdim=True) / count) * weight
    return centred.transpose(1, 2) @ centred / count


def least_axis(spread: Tensor, start: Tensor) -> Tensor:
    """Return the unit axis (R, 3) of least variance, on the side of `start`.

    Args:
        spread: (R, 3, 3) covariance.
        start: (R, 3) unit; returned itself where the spread says nothing.

    Returns:
        The dominant eigenvector of (trace I - C), reached from `start`.
    """
    trace = spread.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[:, None, None]
    eye = torch.eye(3, device=spread.device)
    power = (trace * eye - spread) / trace.clamp(min=_TINY)  # "+ tiny" is dropped by the exporter as adding nothing
    for _ in range(_SQUARINGS):
        power = power @ power
    axis = (power @ start.unsqueeze(-1)).squeeze(-1) + 1.0e-6 * start
    unit: Tensor = axis / axis.norm(dim=-1, keepdim=True).clamp(min=_TINY)
    return unit


def mirror_planes(observed: Observed, depth_per_width: float) -> MirrorPlanes:
    """Find the planes.

    Args:
        observed: Points of R instances and the rays under which they were seen.
        depth_per_width: How deep a thing is taken to be, in units of its narrower lateral extent.

    Returns:
        The plane of every instance in every view; without meaning where the view shows nothing.
    """
    instances, count, _ = observed.points.shape
    views = observed.views
    mask = observed.mask.reshape(instances * views, -1)
    points = observed.points.reshape(instances * views, -1, 3)
    ray = (observed.rays.reshape(instances * views, -1, 3) * mask.unsqueeze(-1)).sum(dim=1)
    ray = ray / ray.norm(dim=-1, keepdim=True).clamp(min=_TINY)
    spread = covariance(points, mask)
    normal = least_axis(spread, ray)
    narrow = _narrow_extent(spread, normal).reshape(instances, views)
    normal = normal.reshape(instances, views, 3)
    along = normal @ observed.points.transpose(1, 2)  # (R, V, n): every point along every view's normal
    view = torch.arange(views, device=points.device).unsqueeze(1)
    own = observed.mask.unsqueeze(1) & (view == torch.arange(count, device=points.device) // (count // views))
    near = torch.where(own, along, _FAR_M).amin(dim=2)
    rim = torch.where(own, along, -_FAR_M).amax(dim=2)
    farthest = torch.where(observed.mask.unsqueeze(1), along, -_FAR_M).amax(dim=2)
    half_depth = torch.maximum(rim - near, 0.5 * depth_per_width * narrow)
    return MirrorPlanes(normal, near + torch.maximum(half_depth, 0.5 * (farthest - near)))


def _narrow_extent(spread: Tensor, normal: Tensor) -> Tensor:
    """Return the narrower extent (R,) m across the normal: from the eigenvalues of the covariance in the plane."""
    across = torch.eye(3, device=spread.device) - normal.unsqueeze(2) * normal.unsqueeze(1)
    lateral = across @ spread @ across
    half_trace = 0.5 * lateral.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    squares = lateral.square().sum(dim=(-2, -1))  # trace of the square: lateral is symmetric
    gap = (0.5 * squares - half_trace.square()).clamp(min=0.0).sqrt()
    return _EXTENT_PER_DEVIATION * (half_trace - gap).clamp(min=0.0).sqrt()
