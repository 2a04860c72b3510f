"""What a policy believes of the objects against what there is: instances on objects, completion inside of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import SpatialReport, View
from vla3d_ros.evaluation.evidence.solids import Solid
from vla3d_ros.geometry import Transform, project

Float = NDArray[np.float64]

FOUND_M = 0.02
"""An object is found if an instance is so close to its centre."""
NEAR_M = 0.005
"""A point so close to an object's surface is on it."""
SEEN = 0.25
"""An object counts as visible if some view shows so much of its outline."""

_FRONT_M = 0.01


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KnownObject:
    """An object of the twin. `seen`: share of its outline that each view shows, by camera. `number`: in pictures."""

    name: str
    number: int
    is_named: bool
    T_base_object: Transform
    solid: Solid
    seen: Mapping[str, float]

    @property
    def is_visible(self) -> bool:
        """Whether some view shows enough of it."""
        return max(self.seen.values(), default=0.0) >= SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialCounts:
    """Counts of one moment, or of several; see `shares` for what they mean."""

    visible: int = 0
    found: int = 0
    named: int = 0
    named_found: int = 0
    instances: int = 0
    instances_on: int = 0
    projected: int = 0
    projected_right: int = 0
    completion: int = 0
    completion_inside: int = 0
    completion_near: int = 0

    def __add__(self, other: SpatialCounts) -> SpatialCounts:
        theirs = asdict(other)
        return SpatialCounts(**{name: value + theirs[name] for name, value in asdict(self).items()})

    def shares(self) -> dict[str, tuple[int, int]]:
        """Return counted of all, by what is counted."""
        return {
            "visible objects with an instance within 2 cm": (self.found, self.visible),
            "named cube and pad, visible, with one": (self.named_found, self.named),
            "instances in an object or within 5 mm": (self.instances_on, self.instances),
            "their pixels on the right object": (self.projected_right, self.projected),
            "completion points inside an object": (self.completion_inside, self.completion),
            "completion points inside or within 5 mm": (self.completion_near, self.completion),
        }

    def to_json(self) -> dict[str, int]:
        """Return plain values."""
        return asdict(self)


def count_moment(
    report: SpatialReport,
    objects: Sequence[KnownObject],
    views: Sequence[View],
    numbers: Mapping[str, NDArray[np.uint8]],
) -> SpatialCounts:
    """Compare one report with the truth.

    Args:
        report: Of the policy.
        objects: All there are, at the report's moment.
        views: As the policy was given them: where it was told that cameras are.
        numbers: (H, W) object numbers by camera, in the views' size, as cameras truly see.
    """
    points = report.instance_points_base
    visible = [thing for thing in objects if thing.is_visible]
    named = [thing for thing in visible if thing.is_named]
    right = [_pixels_right(points, thing, views, numbers) for thing in visible]
    depth_m = surface_distances(report.completion_points_base, objects)
    return SpatialCounts(
        visible=len(visible),
        found=sum(_is_found(points, thing) for thing in visible),
        named=len(named),
        named_found=sum(_is_found(points, thing) for thing in named),
        instances=len(points),
        instances_on=int((surface_distances(points, objects) <= NEAR_M).sum()),
        projected=sum(tried for tried, _ in right),
        projected_right=sum(hits for _, hits in right),
        completion=len(depth_m),
        completion_inside=int((depth_m <= 0.0).sum()),
        completion_near=int((depth_m <= NEAR_M).sum()),
    )


def surface_distances(points_base: Float, objects: Sequence[KnownObject]) -> Float:
    """Return how far points (N, 3) are from the nearest object's surface, negative inside; (N,) metres."""
    distances = np.full(len(points_base), np.inf)
    for thing in objects:
        T_object_base = thing.T_base_object.inverse()
        distances = np.minimum(distances, thing.solid.distance(T_object_base.apply(points_base)))
    return distances


def project_into(points_base: Float, view: View) -> tuple[Float, NDArray[np.bool_]]:
    """Return pixels (N, 2) of points where the policy believes the camera is, and which are inside of the picture."""
    points = view.T_base_camera.inverse().apply(points_base).reshape(-1, 3)
    is_ahead = points[:, 2] > _FRONT_M
    safe = np.where(is_ahead[:, None], points, np.array([0.0, 0.0, 1.0]))
    pixels = project(safe, view.model.K, view.model.distortion) if len(safe) else np.zeros((0, 2))
    limits = np.array([view.model.width_px, view.model.height_px]) - 0.5
    is_inside = is_ahead & (pixels >= -0.5).all(axis=1) & (pixels < limits).all(axis=1)
    return pixels, is_inside


def _is_found(points: Float, thing: KnownObject) -> bool:
    return bool(len(points)) and bool(_gaps(points, thing).min() <= FOUND_M)


def _gaps(points: Float, thing: KnownObject) -> Float:
    gaps: Float = np.linalg.norm(points - thing.T_base_object.translation, axis=1)
    return gaps


def _pixels_right(
    points: Float, thing: KnownObject, views: Sequence[View], numbers: Mapping[str, NDArray[np.uint8]]
) -> tuple[int, int]:
    """Project the instance that found an object into every view that shows the object; count tries and hits."""
    if not _is_found(points, thing):
        return 0, 0
    best = points[[int(_gaps(points, thing).argmin())]]
    tried = hits = 0
    for view in views:
        if thing.seen.get(view.camera, 0.0) < SEEN:
            continue
        pixels, is_inside = project_into(best, view)
        tried += 1
        if is_inside[0]:
            x, y = pixels[0].round().astype(int)
            hits += int(numbers[view.camera][y, x] == thing.number)
    return tried, hits


def counts_from_json(values: Mapping[str, Any]) -> SpatialCounts:
    """Read what `to_json` wrote."""
    return SpatialCounts(**values)
