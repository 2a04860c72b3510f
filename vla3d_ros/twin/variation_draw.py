"""Draw from a variation: the scene, the cameras' true places, what stands around. Each aspect has its own generator."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.camera.rig import CameraRig, CameraSpec
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.twin.placement import TrialScene
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.surroundings import SHAPES, USUAL_LIGHTING, Distractor, Lighting, Plate
from vla3d_ros.twin.variation import (
    CameraVariation,
    Count,
    LightVariation,
    ObjectVariation,
    OcclusionVariation,
    Range,
    Variation,
)

Float = NDArray[np.float64]

_DRAWS = 1000
_APART_HUE_DEG = 20.0
_GREY_SHARE = 0.3
_DISTRACTOR_M = (0.025, 0.06)
_DISTRACTOR_GAP_M = 0.07
_AROUND_REGION_M = 0.08
_PLATE_AT = (0.30, 0.45)  # of the way from the camera to the cube
_PLATE_M = (0.10, 0.14)  # as it would be at the cube: away from its edge, and along it
_OUTLINE = 1.2  # width of a cube's outline over its edge, on average over its turns


def between(bounds: Range, generator: np.random.Generator) -> float:
    """Draw a number between bounds."""
    return float(generator.uniform(*bounds))


def _whole(bounds: Count, generator: np.random.Generator) -> int:
    return int(generator.integers(bounds[0], bounds[1] + 1))


# -------------------------------------------------------------------------------------------------- the scene


def vary_scene(variation: Variation, scene: SceneConfig, generator: np.random.Generator) -> SceneConfig:
    """Return the scene with other colours, numbers of objects and table height.

    Raises:
        ConfigError: If more objects are asked for than there are colours.
    """
    for_objects, for_table, for_background = generator.spawn(3)
    if variation.objects is not None:
        scene = _vary_objects(variation.objects, scene, for_objects)
    if variation.table is not None:
        height_m = between(variation.table.height_m, for_table)
        scene = replace(scene, table=replace(scene.table, top_z_m=scene.table.top_z_m + height_m))
    if variation.background is not None:
        given = variation.background
        colours = [
            _rgb(
                for_background.uniform(),
                between(given.saturation, for_background),
                between(given.brightness, for_background),
            )
            for _ in range(2)
        ]
        scene = replace(scene, table=replace(scene.table, colour=colours[0], floor_colour=colours[1]))
    return scene


def _vary_objects(variation: ObjectVariation, scene: SceneConfig, generator: np.random.Generator) -> SceneConfig:
    trial = scene.trial
    counts: dict[str, Any] = {}
    for kind, bounds, colours in (
        ("cubes", variation.cubes, scene.cubes.colours),
        ("pads", variation.pads, scene.pads.colours),
    ):
        if bounds is None:
            continue
        if not 1 <= bounds[0] <= bounds[1] <= len(colours):
            raise ConfigError(
                f"'objects.{kind}' is {list(bounds)}; expected from 1 to {len(colours)}, one per colour {list(colours)}"
            )
        counts[kind] = _whole(bounds, generator)
    return replace(
        scene,
        trial=replace(trial, **counts),
        cubes=replace(scene.cubes, colours=_stray(variation, scene.cubes.colours, generator)),
        pads=replace(scene.pads, colours=_stray(variation, scene.pads.colours, generator)),
    )


def _stray(
    variation: ObjectVariation, colours: Mapping[str, Float], generator: np.random.Generator
) -> dict[str, Float]:
    strayed = {}
    for name, colour in colours.items():
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        hue += generator.uniform(-variation.hue_deg, variation.hue_deg) / 360.0
        saturation *= between(variation.saturation, generator)
        value *= between(variation.brightness, generator)
        strayed[name] = _rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))
    return strayed


def _rgb(hue: float, saturation: float, value: float) -> Float:
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


# ------------------------------------------------------------------------------------------------ the cameras


def vary_rig(
    variation: CameraVariation | None, rig: CameraRig, riding: Collection[str], generator: np.random.Generator
) -> CameraRig:
    """Return the rig with its cameras where they truly are.

    Args:
        variation: How far they may be off; None = not at all.
        rig: Where they should be.
        riding: Names of the cameras that sit on an end effector.
        generator: Randomness.
    """
    if variation is None:
        return rig
    cameras = []
    for camera in rig.cameras:
        is_riding = camera.name in riding
        shift_m = between(variation.riding_shift_m if is_riding else variation.fixed_shift_m, generator)
        turn_deg = between(variation.riding_turn_deg if is_riding else variation.fixed_turn_deg, generator)
        cameras.append(_moved(camera, shift_m, turn_deg, generator))
    return replace(rig, cameras=tuple(cameras))


def _moved(camera: CameraSpec, shift_m: float, turn_deg: float, generator: np.random.Generator) -> CameraSpec:
    shift, turn = shift_m * _direction(generator), np.radians(turn_deg) * _direction(generator)
    T_camera_moved = Transform.from_rotation(exp_se3(np.concatenate([np.zeros(3), turn]))[:3, :3], shift)
    mount = replace(camera.mount, T_parent_camera=camera.mount.T_parent_camera @ T_camera_moved)
    return replace(camera, mount=mount)


def _direction(generator: np.random.Generator) -> Float:
    """Draw a unit vector (3,), every direction as likely."""
    vector = generator.standard_normal(3)
    unit: Float = vector / np.linalg.norm(vector)
    return unit


# ------------------------------------------------------------------------------------------- what stands around


def draw_distractors(
    bounds: Count, scene: SceneConfig, trial: TrialScene, generator: np.random.Generator
) -> tuple[Distractor, ...]:
    """Draw loose things that leave room for the task.

    Raises:
        ConfigError: If there is no room for as many.
    """
    taken = [(at.x_m, at.y_m, scene.trial.cube_cube_m) for at in trial.cubes.values()]
    taken += [(at.x_m, at.y_m, scene.trial.cube_pad_m) for at in trial.pads.values()]
    things: list[Distractor] = []
    for _ in range(_whole(bounds, generator)):
        x_m, y_m = _free_place(scene, taken, generator)
        taken.append((x_m, y_m, _DISTRACTOR_GAP_M))
        things.append(_distractor(scene, x_m, y_m, generator))
    return tuple(things)


def _free_place(
    scene: SceneConfig, taken: Collection[tuple[float, float, float]], generator: np.random.Generator
) -> tuple[float, float]:
    (x_low, x_high), (y_low, y_high) = scene.trial.region_x_m, scene.trial.region_y_m
    margin_m = _AROUND_REGION_M
    clear_x_m, clear_y_m, radius_m = scene.trial.keep_clear_m
    for _ in range(_DRAWS):
        x_m = float(generator.uniform(x_low - margin_m, x_high + margin_m))
        y_m = float(generator.uniform(y_low - margin_m, y_high + margin_m))
        is_clear = np.hypot(x_m - clear_x_m, y_m - clear_y_m) >= radius_m
        if is_clear and all(np.hypot(x_m - x, y_m - y) >= apart_m for x, y, apart_m in taken):
            return x_m, y_m
    raise ConfigError(f"no room for another distractor among {len(taken)} things; use fewer")


def _distractor(scene: SceneConfig, x_m: float, y_m: float, generator: np.random.Generator) -> Distractor:
    shape = SHAPES[int(generator.integers(len(SHAPES)))]
    size_m = generator.uniform(*_DISTRACTOR_M, 3)
    if shape != "box":
        size_m[1] = size_m[0]
    if shape == "ball":
        size_m[2] = size_m[0]
    is_grey = bool(generator.random() < _GREY_SHARE)
    hue, saturation = _free_hue(scene, generator), generator.uniform(0.5, 1.0)
    colour = _rgb(hue, 0.0 if is_grey else saturation, generator.uniform(0.2, 0.9))
    yaw_rad = float(generator.uniform(-np.pi, np.pi))
    return Distractor(shape=shape, size_m=size_m, colour=colour, x_m=x_m, y_m=y_m, yaw_rad=yaw_rad)


def _free_hue(scene: SceneConfig, generator: np.random.Generator) -> float:
    """Draw a hue in [0, 1) away from those which instructions name."""
    colours = [*scene.cubes.colours.values(), *scene.pads.colours.values()]
    named = np.array([colorsys.rgb_to_hsv(*colour)[0] for colour in colours])
    for _ in range(_DRAWS):
        hue = float(generator.random())
        apart = np.abs((named - hue + 0.5) % 1.0 - 0.5)
        if apart.min() * 360.0 >= _APART_HUE_DEG:
            return hue
    raise ConfigError(f"every hue is within {_APART_HUE_DEG:g} degrees of a colour of the scene; use fewer colours")


def draw_plates(
    variation: OcclusionVariation,
    scene: SceneConfig,
    p_world_target: Float,
    Ts_world_camera: Mapping[str, Transform],
    generator: np.random.Generator,
) -> tuple[Plate, ...]:
    """Draw plates, each between one camera and the target, its edge across the target.

    Args:
        variation: In how many views, and which share of the target each hides.
        scene: Says how large the target is.
        p_world_target: (3,) metres, its centre.
        Ts_world_camera: Where the cameras truly are, of those which may be chosen.
        generator: Randomness.

    Raises:
        ConfigError: If there are fewer cameras than views to be hidden.
    """
    count = _whole(variation.views, generator)
    if count > len(Ts_world_camera):
        raise ConfigError(f"'occlusion.views' asks for {count}; fixed cameras: {sorted(Ts_world_camera)}")
    names = sorted(Ts_world_camera)
    chosen = [names[index] for index in generator.permutation(len(names))[:count]]
    radius_m = _OUTLINE * scene.cubes.size_m / 2
    return tuple(_plate(variation, Ts_world_camera[name], p_world_target, radius_m, generator) for name in chosen)


def _plate(
    variation: OcclusionVariation,
    T_world_camera: Transform,
    p_world_target: Float,
    radius_m: float,
    generator: np.random.Generator,
) -> Plate:
    p_camera = T_world_camera.inverse().apply(p_world_target)
    fraction = between(_PLATE_AT, generator)
    turn_rad = generator.uniform(-np.pi, np.pi)
    away_m, along_m = _PLATE_M
    edge_m = (2.0 * between(variation.hidden, generator) - 1.0) * radius_m
    across = np.array([np.cos(turn_rad), np.sin(turn_rad), 0.0])
    middle = fraction * (p_camera + across * (edge_m - away_m) / 2)
    T_camera_plate = Transform.from_rotation(Rotation.from_euler("z", turn_rad).as_matrix(), middle)
    return Plate(
        T_world_plate=T_world_camera @ T_camera_plate,
        size_m=fraction * np.array([away_m + edge_m, along_m]),
        colour=_rgb(generator.random(), generator.uniform(0.0, 0.2), generator.uniform(0.2, 0.8)),
    )


def draw_lighting(variation: LightVariation | None, generator: np.random.Generator) -> Lighting:
    """Draw the light; the usual one if there is no variation."""
    usual = USUAL_LIGHTING
    if variation is None:
        return usual
    factor = between(variation.brightness, generator) * generator.uniform(1 - variation.tint, 1 + variation.tint, 3)
    tilt_rad = np.radians(between(variation.sun_tilt_deg, generator))
    heading_rad = generator.uniform(-np.pi, np.pi)
    sideways = np.sin(tilt_rad) * np.array([np.cos(heading_rad), np.sin(heading_rad)])
    return Lighting(
        sun_direction=np.array([*sideways, -np.cos(tilt_rad)]),
        sun=factor * usual.sun,
        ambient=factor * usual.ambient,
        headlight=factor * usual.headlight,
    )


def place_cameras(
    rig: CameraRig, names: Collection[str], frame_pose: Callable[[str], Transform]
) -> dict[str, Transform]:
    """Return T_world_camera of cameras by name, given where their parents' frames are."""
    return {
        camera.name: frame_pose(camera.mount.parent_frame) @ camera.mount.T_parent_camera
        for camera in rig.cameras
        if camera.name in names
    }
