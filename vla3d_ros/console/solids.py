"""Triangles of a robot's links, from the primitives of its URDF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.robot_shape import RobotShape, ShapeKind

Float = NDArray[np.float64]
Index = NDArray[np.int64]

_SIDES = 28
_RINGS = 14
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LinkMesh:
    """All solids of one link in its frame: vertices (V, 3) m, faces (F, 3), counter-clockwise seen from outside."""

    link: str
    vertices: Float
    faces: Index


def link_meshes(shapes: Sequence[RobotShape]) -> tuple[LinkMesh, ...]:
    """Return one mesh per link that has a shape, in the order in which links are named first."""
    meshes = []
    for link in dict.fromkeys(shape.link for shape in shapes):
        parts = [_placed(shape) for shape in shapes if shape.link == link]
        offsets = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
        meshes.append(
            LinkMesh(
                link=link,
                vertices=np.concatenate([vertices for vertices, _ in parts]),
                faces=np.concatenate([faces + at for (_, faces), at in zip(parts, offsets[:-1], strict=True)]),
            )
        )
    return tuple(meshes)


def box_edges(lower_m: Float, upper_m: Float) -> Float:
    """Return the 12 edges (12, 2, 3) m of the box between two corners (3,)."""
    corners = (lower_m + upper_m) / 2 + _CORNERS * (upper_m - lower_m)
    pairs = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]
    return np.asarray(corners[np.array(pairs)], dtype=np.float64)


def _placed(shape: RobotShape) -> tuple[Float, Index]:
    match shape.kind:
        case ShapeKind.BOX:
            vertices, faces = _box(shape.size_m)
        case ShapeKind.CYLINDER:
            vertices, faces = _cylinder(*shape.size_m)
        case ShapeKind.SPHERE:
            vertices, faces = _sphere(*shape.size_m)
    return shape.T_link_shape.apply(vertices), faces


def _box(size_m: tuple[float, ...]) -> tuple[Float, Index]:
    """Every side has corners of its own, so that edges stay sharp."""
    vertices = np.concatenate([_CORNERS[list(quad)] for quad in _QUADS]) * size_m
    first = 4 * np.arange(len(_QUADS))[:, None]
    return vertices, np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])


def _cylinder(radius_m: float, length_m: float) -> tuple[Float, Index]:
    angle = np.linspace(0.0, 2.0 * np.pi, _SIDES, endpoint=False)
    circle = radius_m * np.stack([np.cos(angle), np.sin(angle), np.zeros(_SIDES)], axis=1)
    half = np.array([0.0, 0.0, length_m / 2])
    vertices = np.concatenate([circle - half, circle + half, circle - half, circle + half, [-half, half]])
    i = np.arange(_SIDES)
    j = (i + 1) % _SIDES
    sides = [np.stack([i, j, _SIDES + j], axis=1), np.stack([i, _SIDES + j, _SIDES + i], axis=1)]
    caps = [
        np.stack([2 * _SIDES + j, 2 * _SIDES + i, np.full(_SIDES, 4 * _SIDES)], axis=1),
        np.stack([3 * _SIDES + i, 3 * _SIDES + j, np.full(_SIDES, 4 * _SIDES + 1)], axis=1),
    ]
    return vertices, np.concatenate([*sides, *caps])


def _sphere(radius_m: float) -> tuple[Float, Index]:
    polar = np.linspace(0.0, np.pi, _RINGS + 1)
    azimuth = np.linspace(0.0, 2.0 * np.pi, _SIDES, endpoint=False)
    z, r = np.cos(polar)[:, None], np.sin(polar)[:, None]
    grid = np.stack([r * np.cos(azimuth), r * np.sin(azimuth), np.broadcast_to(z, (_RINGS + 1, _SIDES))], axis=2)
    row, i = np.meshgrid(np.arange(_RINGS), np.arange(_SIDES), indexing="ij")
    j = (i + 1) % _SIDES
    a, b, c, d = row * _SIDES + i, (row + 1) * _SIDES + i, (row + 1) * _SIDES + j, row * _SIDES + j
    faces = np.concatenate([np.stack([a, b, c], axis=2).reshape(-1, 3), np.stack([a, c, d], axis=2).reshape(-1, 3)])
    return radius_m * grid.reshape(-1, 3), faces
