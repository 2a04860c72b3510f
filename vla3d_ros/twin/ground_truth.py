"""What the twin knows about its pictures: depth, whose pixel is whose, and the whole surface of every object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import ConfigError, ShapeError
from vla3d_ros.twin.engine import import_mujoco
from vla3d_ros.twin.renderer import RenderContexts

Float = NDArray[np.float64]

_FAR_M = 15.0  # the renderer's own end of the world is nothing to be seen
_NEAR_M = 0.01
_RIM_POINTS = 12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TruePicture:
    """Of one camera: depth_m (H, W) float32 along the optical axis, NaN where there is nothing.

    objects (H, W) uint8: 0 for none of the objects, i + 1 for object i.
    """

    depth_m: NDArray[np.float32]
    objects: NDArray[np.uint8]


class TruthRenderer:
    """Renders depth and objects of a world; one thread only, as `TwinRenderer`."""

    def __init__(self, model: Any, cameras: Sequence[CameraSpec], bodies: Sequence[str]) -> None:
        """Create the OpenGL contexts.

        Args:
            model: The world's `mujoco.MjModel`.
            cameras: Cameras of its rig, possibly `scaled_camera`s.
            bodies: Names of the objects' bodies, at most 255.

        Raises:
            DependencyError: If there is no offscreen OpenGL.
        """
        self._contexts = RenderContexts(model, cameras)
        self._bodies = [model.body(name).id for name in bodies]
        self._object_of_geom = np.zeros(model.ngeom + 1, np.uint8)  # the last is the background's
        numbers = {model.body(name).id: index + 1 for index, name in enumerate(bodies)}
        for geom, body in enumerate(model.geom_bodyid):
            self._object_of_geom[geom] = numbers.get(int(body), 0)

    def render(self, render_state: Float) -> dict[str, TruePicture]:
        """Return what is true of the pictures of a world's `render_state`, by camera."""
        geom = int(import_mujoco().mjtObj.mjOBJ_GEOM)
        found = {}
        for name, renderer in self._contexts.scenes(render_state):
            renderer.enable_depth_rendering()
            depth_m = np.array(renderer.render(), np.float32)
            renderer.disable_depth_rendering()
            renderer.enable_segmentation_rendering()
            numbers, kinds = np.moveaxis(renderer.render(), -1, 0)
            renderer.disable_segmentation_rendering()
            depth_m[depth_m > _FAR_M] = np.nan
            objects = self._object_of_geom[np.where(kinds == geom, numbers, -1)]
            found[name] = TruePicture(depth_m=depth_m, objects=objects)
        return found

    def object_poses(self, render_state: Float) -> Float:
        """Return T_world_object (O, 4, 4) of a world's `render_state`."""
        data = self._contexts.posed(render_state)
        poses = np.tile(np.eye(4), (len(self._bodies), 1, 1))
        poses[:, :3, :3] = data.xmat[self._bodies].reshape(-1, 3, 3)
        poses[:, :3, 3] = data.xpos[self._bodies]
        return poses

    def close(self) -> None:
        """Free the OpenGL contexts; safe to call twice."""
        self._contexts.close()


def scaled_camera(camera: CameraSpec, width_px: int) -> CameraSpec:
    """Return a camera that sees the same in a picture of another width.

    Raises:
        ConfigError: If the height would not be a whole number of pixels.
    """
    model = camera.model
    scale = width_px / model.width_px
    height_px = model.height_px * scale
    if width_px < 1 or abs(height_px - round(height_px)) > 1e-9:
        raise ConfigError(
            f"camera '{camera.name}' of {model.width_px}x{model.height_px} px can not be rendered {width_px} px wide; "
            "expected a width that keeps its aspect in whole pixels"
        )
    A = np.array([[scale, 0.0, 0.5 * scale - 0.5], [0.0, scale, 0.5 * scale - 0.5], [0.0, 0.0, 1.0]])
    scaled = CameraModel(width_px=width_px, height_px=round(height_px), K=A @ model.K, distortion=model.distortion)
    return replace(camera, model=scaled)


def object_surface(model: Any, body: str, count: int) -> Float:
    """Sample the whole surface of an object evenly, its corners or rims first.

    Args:
        model: The world's `mujoco.MjModel`.
        body: Name of a body that has one geometry: a box, a cylinder or a ball.
        count: Points.

    Returns:
        (count, 3) metres in the body's frame; always the same.

    Raises:
        ShapeError: If `count` is less than the corners or rims have.
    """
    mujoco = import_mujoco()
    geom = model.geom(model.body(body).geomadr[0])
    generator = np.random.default_rng(0)
    sample: Callable[[Float, int, np.random.Generator], Float]
    kind, size = int(geom.type[0]), np.array(geom.size)
    if kind == int(mujoco.mjtGeom.mjGEOM_BOX):
        first, sample = _box_corners(size), _on_box
    elif kind == int(mujoco.mjtGeom.mjGEOM_CYLINDER):
        first, sample = _cylinder_rims(size), _on_cylinder
    else:
        first, sample = np.zeros((0, 3)), _on_ball
    if count < len(first):
        raise ShapeError(f"{count} surface points of '{body}'; expected at least {len(first)}")
    return np.concatenate([first, sample(size, count - len(first), generator)])


def seen_share(objects: NDArray[np.uint8], number: int, surface_camera: Float, K: Float) -> float:
    """Return which share of a convex object's outline is seen, 0 to 1; what is outside of the picture is not.

    Args:
        objects: (H, W) of `TruePicture`.
        number: The object's, from 1.
        surface_camera: (S, 3) metres, its surface in the camera's frame.
        K: (3, 3) px.
    """
    pixels = int((objects == number).sum())
    if pixels == 0 or surface_camera[:, 2].min() < _NEAR_M:
        return 0.0
    projected = surface_camera @ K.T
    hull = cv2.convexHull((projected[:, :2] / projected[:, 2:]).astype(np.float32))
    return min(1.0, pixels / max(float(cv2.contourArea(hull)), 1.0))


def _box_corners(half: Float) -> Float:
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    corners: Float = signs * half
    return corners


def _on_box(half: Float, count: int, generator: np.random.Generator) -> Float:
    areas = np.array([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = generator.choice(3, count, p=areas / areas.sum())
    points = generator.uniform(-1.0, 1.0, (count, 3))
    points[np.arange(count), axis] = np.sign(points[np.arange(count), axis])
    on: Float = points * half
    return on


def _cylinder_rims(size: Float) -> Float:
    turns = np.arange(_RIM_POINTS) * 2 * np.pi / _RIM_POINTS
    ring = size[0] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return np.concatenate([np.column_stack([ring, np.full(_RIM_POINTS, z)]) for z in (-size[1], size[1])])


def _on_cylinder(size: Float, count: int, generator: np.random.Generator) -> Float:
    radius, half = size[0], size[1]
    is_side = generator.random(count) < 2 * half / (2 * half + radius)
    turns = generator.uniform(-np.pi, np.pi, count)
    reach = np.where(is_side, radius, radius * np.sqrt(generator.random(count)))
    heights = np.where(is_side, generator.uniform(-half, half, count), half * np.sign(generator.uniform(-1, 1, count)))
    return np.stack([reach * np.cos(turns), reach * np.sin(turns), heights], axis=1)


def _on_ball(size: Float, count: int, generator: np.random.Generator) -> Float:
    points = generator.standard_normal((count, 3))
    on: Float = size[0] * points / np.linalg.norm(points, axis=1, keepdims=True)
    return on
