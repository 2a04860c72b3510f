"""The outline of the robot in an image, predicted from joint angles and a camera's pose. No rendering is involved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.robot_shape import RobotShape
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.geometry import Transform, project

Float = NDArray[np.float64]

_SPACING_PX = 4.0
_NEAREST_M = 0.01
_INSIDE_PX = 1.5
_MARGIN_PX = 3.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Outline:
    """S samples of the silhouette's border: points_camera (S, 3) m, pixels (S, 2), outward unit normals (S, 2).

    `hulls` are the silhouettes of the single solids, (P, 2) px polygons, for drawing.
    """

    points_camera: Float
    pixels: Float
    normals: Float
    hulls: tuple[Float, ...]


def predict_outline(
    shapes: Sequence[RobotShape],
    Ts_base_link: Mapping[str, Transform],
    T_base_camera: Transform,
    model: CameraModel,
) -> Outline:
    """Project the robot and keep the border of the union of its solids.

    Args:
        shapes: Solids of the robot; those on links without a pose are left out.
        Ts_base_link: Pose of every link at the time of the image.
        T_base_camera: Pose of the camera's optical frame.
        model: Intrinsics.

    Returns:
        The outline inside the image; empty if the robot is not in view.
    """
    T_camera_base = T_base_camera.inverse()
    hulls, rims = [], []
    for shape in shapes:
        if shape.link not in Ts_base_link:
            continue
        rim = shape.rim(T_camera_base @ Ts_base_link[shape.link])
        if rim[:, 2].min() < _NEAREST_M:
            continue
        pixels = project(rim, model.K, model.distortion)
        if not _is_in_image(pixels, model):
            continue
        order = cv2.convexHull(pixels.astype(np.float32), returnPoints=False).ravel()
        if len(order) >= 3:
            hulls.append(pixels[order])
            rims.append(rim[order])
    parts = [_border(index, rims[index], hulls, model) for index in range(len(hulls))]
    points = np.concatenate([part[0] for part in parts] or [np.zeros((0, 3))])
    normals = np.concatenate([part[1] for part in parts] or [np.zeros((0, 2))])
    return Outline(
        points_camera=points,
        pixels=project(points, model.K, model.distortion),
        normals=normals,
        hulls=tuple(hulls),
    )


def _border(index: int, rim: Float, hulls: Sequence[Float], model: CameraModel) -> tuple[Float, Float]:
    """Sample the border of one hull where no other hull covers it; points (S, 3) m and outward normals (S, 2)."""
    hull = hulls[index]
    following, ahead = np.roll(hull, -1, axis=0), np.roll(rim, -1, axis=0)
    lengths = np.linalg.norm(following - hull, axis=1)
    counts = np.maximum(1, np.round(lengths / _SPACING_PX)).astype(int)
    edge = np.repeat(np.arange(len(hull)), counts)
    fraction = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])[:, None]
    points = rim[edge] + fraction * (ahead - rim)[edge]
    pixels = project(points, model.K, model.distortion)
    direction = ((following - hull) / np.maximum(lengths, 1e-9)[:, None])[edge]
    normals = np.stack([direction[:, 1], -direction[:, 0]], axis=1)
    normals *= np.sign(np.einsum("si,si->s", normals, pixels - hull.mean(axis=0)))[:, None]
    size = np.array([model.width_px, model.height_px])
    keep = np.asarray(((pixels > _MARGIN_PX) & (pixels < size - 1 - _MARGIN_PX)).all(axis=1))
    for other, polygon in enumerate(hulls):
        candidates = np.flatnonzero(keep & _in_box(pixels, polygon)) if other != index else np.zeros(0, dtype=int)
        if len(candidates):
            keep[candidates] = ~_inside(pixels[candidates], polygon)
    return points[keep], normals[keep]


def _is_in_image(pixels: Float, model: CameraModel) -> bool:
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return bool((high > 0).all() and low[0] < model.width_px and low[1] < model.height_px)


def _in_box(pixels: Float, polygon: Float) -> NDArray[np.bool_]:
    return np.asarray(((pixels > polygon.min(axis=0)) & (pixels < polygon.max(axis=0))).all(axis=1))


def _inside(pixels: Float, polygon: Float) -> NDArray[np.bool_]:
    """Whether pixels (S, 2) lie inside a convex polygon (P, 2) by more than a margin, whatever its orientation."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    lengths = np.maximum(np.linalg.norm(edges, axis=1), 1e-9)
    offsets = pixels[:, None] - polygon
    distances = (edges[:, 0] * offsets[..., 1] - edges[:, 1] * offsets[..., 0]) / lengths
    return np.asarray(np.maximum(distances.min(axis=1), (-distances).min(axis=1)) > _INSIDE_PX)
