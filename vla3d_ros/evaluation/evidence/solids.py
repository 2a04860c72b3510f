"""Simple solids: how far inside or outside of them a point is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.twin.engine import import_mujoco

Float = NDArray[np.float64]

BOX, CYLINDER, BALL = "box", "cylinder", "ball"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Solid:
    """A box (half sizes), a cylinder along z (radius, half length) or a ball (radius); `size` (3,) m, rest unused."""

    kind: str
    size: Float

    def distance(self, points: Float) -> Float:
        """Return how far points are from the surface, negative inside.

        Args:
            points: (N, 3) metres, in the solid's frame.

        Returns:
            (N,) metres.
        """
        if self.kind == BALL:
            from_middle: Float = np.linalg.norm(points, axis=1)
            return from_middle - float(self.size[0])
        if self.kind == BOX:
            beyond = np.abs(points) - self.size
        else:
            radial = np.linalg.norm(points[:, :2], axis=1) - self.size[0]
            beyond = np.stack([radial, np.abs(points[:, 2]) - self.size[1]], axis=1)
        outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        distances: Float = outside + np.minimum(beyond.max(axis=1), 0.0)
        return distances


def solid_of(model: Any, body: str) -> Solid:
    """Return the solid that a body of the twin is.

    Args:
        model: The world's `mujoco.MjModel`.
        body: Name of a body that has one geometry.

    Raises:
        ShapeError: If it is no box, cylinder or ball.
    """
    kinds = import_mujoco().mjtGeom
    names = {int(kinds.mjGEOM_BOX): BOX, int(kinds.mjGEOM_CYLINDER): CYLINDER, int(kinds.mjGEOM_SPHERE): BALL}
    geom = model.geom(model.body(body).geomadr[0])
    kind = int(geom.type[0])
    if kind not in names:
        raise ShapeError(f"body '{body}' has a geometry of type {kind}; expected one of {sorted(names.values())}")
    return Solid(kind=names[kind], size=np.array(geom.size, np.float64))
