"""What stands around the task in one world: clutter on the table, plates in a camera's view, the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.geometry import Transform
from vla3d_ros.twin.engine import import_mujoco
from vla3d_ros.twin.scene import SceneConfig

Float = NDArray[np.float64]

DISTRACTOR_PREFIX = "distractor_"
SHAPES = ("box", "cylinder", "ball")
_PLATE_PREFIX = "plate_"
_PLATE_M = 0.002


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Distractor:
    """A loose thing on the table: extent (3,) in metres, colour RGB (3,) in [0, 1], where it stands in the world.

    A cylinder stands upright and has extent (diameter, diameter, height); a ball has its diameter three times.
    """

    shape: str
    size_m: Float
    colour: Float
    x_m: float
    y_m: float
    yaw_rad: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Plate:
    """A thin plate that hides what is behind it and touches nothing: size (2,) in metres along its x and y axes."""

    T_world_plate: Transform
    size_m: Float
    colour: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lighting:
    """Light by colour channel, (3,) each: of the sun, of what comes from everywhere, and of the camera's own lamp.

    sun_direction (3,) is where the sun's light goes to.
    """

    sun_direction: Float
    sun: Float
    ambient: Float
    headlight: Float


USUAL_LIGHTING = Lighting(
    sun_direction=np.array([-0.25, 0.35, -1.0]),
    sun=np.full(3, 0.50),
    ambient=np.full(3, 0.45),
    headlight=np.full(3, 0.12),
)
"""A sunny room."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Surroundings:
    """Everything that a world has beside robot, table, cubes and pads."""

    distractors: tuple[Distractor, ...] = ()
    plates: tuple[Plate, ...] = ()
    lighting: Lighting = USUAL_LIGHTING


def add_surroundings(spec: Any, surroundings: Surroundings, scene: SceneConfig, **visible: Any) -> None:
    """Add everything to a model under construction.

    Args:
        spec: A `mujoco.MjSpec` that has its light already.
        surroundings: What to add.
        scene: Says where the table is, and what loose things weigh and grip like: its cubes.
        visible: Geometry settings of what belongs to the world: `contype`, `conaffinity`, `group`.
    """
    for index, distractor in enumerate(surroundings.distractors):
        _add_distractor(spec, f"{DISTRACTOR_PREFIX}{index}", distractor, scene, visible)
    for index, plate in enumerate(surroundings.plates):
        _add_plate(spec, f"{_PLATE_PREFIX}{index}", plate, visible)
    _set_lighting(spec, surroundings.lighting)


def _add_distractor(spec: Any, name: str, thing: Distractor, scene: SceneConfig, visible: dict[str, Any]) -> None:
    position_m = [thing.x_m, thing.y_m, scene.table.top_z_m + thing.size_m[2] / 2]
    turn = [np.cos(thing.yaw_rad / 2), 0.0, 0.0, np.sin(thing.yaw_rad / 2)]
    body = spec.worldbody.add_body(name=name, pos=position_m, quat=turn)
    body.add_freejoint(name=name)
    kind, size = _mujoco_shape(thing)
    body.add_geom(
        name=name,
        type=kind,
        size=size,
        rgba=[*thing.colour, 1.0],
        mass=scene.cubes.mass_kg,
        friction=[scene.cubes.friction, 0.01, 0.005],  # a ball has to come to rest, too
        condim=6,
        **visible,
    )


def _mujoco_shape(thing: Distractor) -> tuple[Any, list[float]]:
    geom, half = import_mujoco().mjtGeom, thing.size_m / 2
    if thing.shape == "box":
        return geom.mjGEOM_BOX, half.tolist()
    if thing.shape == "cylinder":
        return geom.mjGEOM_CYLINDER, [half[0], half[2], 0.0]
    return geom.mjGEOM_SPHERE, [half[0], 0.0, 0.0]


def _add_plate(spec: Any, name: str, plate: Plate, visible: dict[str, Any]) -> None:
    x, y, z, w = plate.T_world_plate.xyzw
    spec.worldbody.add_geom(
        name=name,
        type=import_mujoco().mjtGeom.mjGEOM_BOX,
        pos=plate.T_world_plate.translation,
        quat=[w, x, y, z],
        size=[*plate.size_m / 2, _PLATE_M / 2],
        rgba=[*plate.colour, 1.0],
        group=visible["group"],
        contype=0,
        conaffinity=0,
    )


def _set_lighting(spec: Any, lighting: Lighting) -> None:
    (sun,) = spec.lights
    sun.dir, sun.diffuse = lighting.sun_direction, lighting.sun
    spec.visual.headlight.ambient = lighting.ambient
    spec.visual.headlight.diffuse = lighting.headlight
