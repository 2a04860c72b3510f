"""A careless elbow: pushes the named cube aside while the arm comes near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.placement import TrialScene
from vla3d_ros.twin.scene import SceneConfig

_DISTANCE_M = (0.02, 0.05)
_AT_DISTANCE_M = (0.11, 0.30)
_TURN_RAD = 0.6
_LESS_CLEARANCE_M = 0.02
_DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Nudge:
    """A push in metres and radians, given once an end effector is nearer to the cube than `at_distance_m`."""

    at_distance_m: float
    dx_m: float
    dy_m: float
    dyaw_rad: float


def draw_nudge(scene: SceneConfig, trial: TrialScene, generator: np.random.Generator) -> Nudge:
    """Draw a push of the named cube that leaves room for a gripper and does not end on a pad.

    Raises:
        ConfigError: If there is no room for one.
    """
    start = trial.cubes[trial.cube]
    cubes = [(at.x_m, at.y_m, scene.trial.cube_cube_m) for name, at in trial.cubes.items() if name != trial.cube]
    pads = [(at.x_m, at.y_m, scene.trial.cube_pad_m) for at in trial.pads.values()]
    for _ in range(_DRAWS):
        distance_m, heading_rad = generator.uniform(*_DISTANCE_M), generator.uniform(-np.pi, np.pi)
        dx_m, dy_m = distance_m * np.cos(heading_rad), distance_m * np.sin(heading_rad)
        gaps_m = [np.hypot(start.x_m + dx_m - x, start.y_m + dy_m - y) - apart for x, y, apart in cubes + pads]
        if min(gaps_m, default=0.0) >= -_LESS_CLEARANCE_M:
            return Nudge(
                at_distance_m=generator.uniform(*_AT_DISTANCE_M),
                dx_m=float(dx_m),
                dy_m=float(dy_m),
                dyaw_rad=generator.uniform(-_TURN_RAD, _TURN_RAD),
            )
    raise ConfigError(f"no room to nudge the {trial.cube} cube of '{trial.instruction}'; use fewer objects")
