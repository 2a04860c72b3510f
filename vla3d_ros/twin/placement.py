"""Draw trials: which objects, where on the table, and what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.scene import SceneConfig, TrialSpec

_ATTEMPTS = 200
_DRAWS_PER_OBJECT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an object lies: centre in metres and yaw, in the world."""

    x_m: float
    y_m: float
    yaw_rad: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrialScene:
    """One trial: the instruction, the cube and the pad it names, and where everything lies, by colour."""

    instruction: str
    cube: str
    pad: str
    cubes: Mapping[str, Placement]
    pads: Mapping[str, Placement]


def draw_trial(scene: SceneConfig, generator: np.random.Generator) -> TrialScene:
    """Draw distinct colours and separated places; the same generator state gives the same trial.

    Raises:
        ConfigError: If the objects do not fit into the region at the distances asked for.
    """
    trial = scene.trial
    cubes = _draw_names(list(scene.cubes.colours), trial.cubes, generator)
    pads = _draw_names(list(scene.pads.colours), trial.pads, generator)
    for _ in range(_ATTEMPTS):
        places = _draw_places(trial, generator)
        if places is not None:
            return TrialScene(
                instruction=trial.instruction.format(cube=cubes[0], pad=pads[0]),
                cube=cubes[0],
                pad=pads[0],
                cubes=dict(zip(cubes, places[trial.pads :], strict=True)),
                pads=dict(zip(pads, places[: trial.pads], strict=True)),
            )
    raise ConfigError(
        f"{trial.cubes} cubes and {trial.pads} pads do not fit into x {trial.region_x_m.tolist()} m, "
        f"y {trial.region_y_m.tolist()} m with distances cube-cube {trial.cube_cube_m}, cube-pad {trial.cube_pad_m}, "
        f"pad-pad {trial.pad_pad_m} m ({_ATTEMPTS} attempts); widen the region or reduce 'trial' in the scene file"
    )


def _draw_names(names: list[str], count: int, generator: np.random.Generator) -> list[str]:
    return [names[index] for index in generator.permutation(len(names))[:count]]


def _draw_places(trial: TrialSpec, generator: np.random.Generator) -> list[Placement] | None:
    """Pads first: they are the largest. None if this attempt ran into a corner."""
    kinds = ["pad"] * trial.pads + ["cube"] * trial.cubes
    apart = {("pad", "pad"): trial.pad_pad_m, ("cube", "cube"): trial.cube_cube_m}
    places: list[Placement] = []
    for kind in kinds:
        for _ in range(_DRAWS_PER_OBJECT):
            x, y = generator.uniform(*trial.region_x_m), generator.uniform(*trial.region_y_m)
            distances = [
                np.hypot(x - other.x_m, y - other.y_m) - apart.get((kind, kinds[index]), trial.cube_pad_m)
                for index, other in enumerate(places)
            ]
            clear_x_m, clear_y_m, radius_m = trial.keep_clear_m
            distances.append(np.hypot(x - clear_x_m, y - clear_y_m) - radius_m)
            if min(distances) >= 0.0:
                places.append(Placement(x_m=x, y_m=y, yaw_rad=generator.uniform(-np.pi, np.pi)))
                break
        else:
            return None
    return places
