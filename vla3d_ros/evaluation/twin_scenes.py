"""Scenes of the twin for a plan: seeds whose scene names the object that is to be tested."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.placement import Placed, PlacementPicture
from vla3d_ros.evaluation.plan import SeedSource
from vla3d_ros.evaluation.study import Study
from vla3d_ros.twin.placement import TrialScene, draw_trial
from vla3d_ros.twin.scene import SceneConfig


def twin_scene(scene: SceneConfig, seed: int) -> TrialScene:
    """Return the scene that the twin draws from a seed."""
    return draw_trial(scene, np.random.default_rng(seed))


def twin_seeds(scene: SceneConfig) -> SeedSource:
    """Return a source of seeds, counted up from the plan's, whose scenes name the wanted cube.

    Raises:
        ConfigError: While seeds are taken, if the scene file has no such cube.
    """

    def seeds(name: str, first: int) -> Iterator[int]:
        if name and name not in scene.cubes.colours:
            raise ConfigError(f"object '{name}' is no cube of the scene; expected one of {list(scene.cubes.colours)}")
        yield from (seed for seed in count(first) if not name or twin_scene(scene, seed).cube == name)

    return seeds


def twin_picture(scene: SceneConfig, trial: TrialScene) -> PlacementPicture:
    """Return where everything lies in a scene of the twin."""
    cube_m, pad_m = (scene.cubes.size_m,) * 2, (float(scene.pads.size_m[0]), float(scene.pads.size_m[1]))
    placed = [
        Placed(
            name=f"{name} {kind}",
            role="target" if name in (trial.cube, trial.pad) else "background",
            x_m=at.x_m,
            y_m=at.y_m,
            yaw_deg=float(np.rad2deg(at.yaw_rad)),
            size_m=size_m,
        )
        for kind, places, size_m in (("pad", trial.pads, pad_m), ("cube", trial.cubes, cube_m))
        for name, at in places.items()
    ]
    region = scene.trial
    return PlacementPicture(
        title=trial.instruction,
        region_x_m=(float(region.region_x_m[0]), float(region.region_x_m[1])),
        region_y_m=(float(region.region_y_m[0]), float(region.region_y_m[1])),
        placed=tuple(placed),
    )


def check_twin_study(study: Study, scene: SceneConfig) -> None:
    """Check that the twin's scene can do what a protocol asks for.

    Raises:
        ConfigError: If objects are missing or timeouts are longer than the scene's.
    """
    problems = [f"object '{o.name}' is no cube" for o in study.objects if o.name not in scene.cubes.colours]
    problems += [
        f"task '{task.name}' may take {task.timeout_s:g} s"
        for task in study.tasks
        if task.timeout_s > scene.success.timeout_s
    ]
    if problems:
        raise ConfigError(
            f"protocol '{study.name}' does not fit the scene with cubes {list(scene.cubes.colours)} and a timeout of "
            f"{scene.success.timeout_s:g} s: {'; '.join(problems)}"
        )
