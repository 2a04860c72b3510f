"""What a robot looks like, as far as its URDF says: the boxes, cylinders and spheres of its `<visual>` elements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

_RIM_POINTS = 40
_BOX_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


class ShapeKind(Enum):
    """A convex solid. Sizes: box (x, y, z) m; cylinder (radius, length) m along z; sphere (radius,) m."""

    BOX = "box"
    CYLINDER = "cylinder"
    SPHERE = "sphere"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RobotShape:
    """One solid fixed to a link."""

    link: str
    kind: ShapeKind
    size_m: tuple[float, ...]
    T_link_shape: Transform

    def rim(self, T_camera_link: Transform) -> Float:
        """Return points whose projections span the solid's silhouette.

        Args:
            T_camera_link: Pose of the link in the optical frame.

        Returns:
            (P, 3) m in the optical frame; the convex hull of their projections is the silhouette.
        """
        T_camera_shape = T_camera_link @ self.T_link_shape
        if self.kind is ShapeKind.BOX:
            return T_camera_shape.apply(_BOX_CORNERS * self.size_m)
        angle = np.linspace(0.0, 2.0 * np.pi, _RIM_POINTS, endpoint=False)
        circle = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
        radius = self.size_m[0]
        if self.kind is ShapeKind.CYLINDER:
            half = np.array([0.0, 0.0, 0.5 * self.size_m[1]])
            return T_camera_shape.apply(np.concatenate([radius * circle + half, radius * circle - half]))
        return _tangent_circle(T_camera_shape.translation, radius, circle)


def load_shapes(urdf_path: Path) -> tuple[RobotShape, ...]:
    """Read the visual primitives of a URDF; meshes are skipped, they are not outlined.

    Raises:
        ConfigError: If there is not a single primitive.
    """
    root = ElementTree.parse(urdf_path).getroot()
    shapes = [
        shape
        for link in root.findall("link")
        for visual in link.findall("visual")
        if (shape := _shape(str(link.get("name")), visual)) is not None
    ]
    if not shapes:
        raise ConfigError(
            f"{urdf_path} has no box, cylinder or sphere among its <visual> elements; expected some: the rig check "
            "compares their outlines with the images"
        )
    return tuple(shapes)


def _shape(link: str, visual: ElementTree.Element) -> RobotShape | None:
    origin = visual.find("origin")
    xyz = _numbers(origin, "xyz")
    T_link_shape = Transform.from_rpy(xyz, _numbers(origin, "rpy"))
    box, cylinder, sphere = (visual.find(f"geometry/{kind.value}") for kind in ShapeKind)
    if box is not None:
        kind, size = ShapeKind.BOX, tuple(_numbers(box, "size").tolist())
    elif cylinder is not None:
        kind, size = ShapeKind.CYLINDER, (float(cylinder.get("radius", "nan")), float(cylinder.get("length", "nan")))
    elif sphere is not None:
        kind, size = ShapeKind.SPHERE, (float(sphere.get("radius", "nan")),)
    else:
        return None
    return RobotShape(link=link, kind=kind, size_m=size, T_link_shape=T_link_shape)


def _numbers(element: ElementTree.Element | None, key: str) -> Float:
    text = element.get(key) if element is not None else None
    return np.array([float(word) for word in text.split()] if text else [0.0, 0.0, 0.0])


def _tangent_circle(center: Float, radius: float, circle: Float) -> Float:
    """Points (P, 3) where rays from the origin touch a sphere; `circle` (P, 3) is a unit circle in x, y."""
    distance = float(np.linalg.norm(center))
    ratio = min(radius / max(distance, 1e-9), 0.999)
    axis = center / max(distance, 1e-9)
    side = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(axis, side)])
    points: Float = center * (1.0 - ratio**2) + radius * np.sqrt(1.0 - ratio**2) * circle[:, :2] @ frame
    return points
