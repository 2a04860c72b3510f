"""Where a trial's objects go: drawn from a seed, the same for every policy, and shown to the operator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.plan import Condition
from vla3d_ros.evaluation.study import Randomisation, Study

_ATTEMPTS = 200
_DRAWS_PER_OBJECT = 60
_OBJECT_M = (0.05, 0.05)  # of things whose size the protocol does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One object: centre in metres and turn in degrees on the table, seen from the robot; `role` target, item, ..."""

    name: str
    role: str
    x_m: float
    y_m: float
    yaw_deg: float
    size_m: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementPicture:
    """What to draw for the operator: the rectangle in which objects lie, and the objects."""

    title: str
    region_x_m: tuple[float, float]
    region_y_m: tuple[float, float]
    placed: tuple[Placed, ...]

    def lines(self) -> tuple[str, ...]:
        """Return one line per object for people without the picture."""
        return tuple(
            f"{at.name}: {100 * at.x_m:.0f} cm away, {_side(at.y_m)}, turned {at.yaw_deg:.0f}°" for at in self.placed
        )


def draw_placement(study: Study, condition: Condition) -> PlacementPicture:
    """Draw a scene of a protocol for a real robot from the condition's seed.

    Raises:
        ConfigError: If the task says nothing about its scenes, or the objects do not fit at the distance asked for.
    """
    task, setting = study.task(condition.task), study.setting(condition.setting)
    drawn = task.randomisation
    if drawn is None:
        raise ConfigError(f"task '{task.name}' has no 'randomisation': say how its scenes are drawn")
    generator = np.random.default_rng([condition.seed, 4])
    low, high = setting.background_objects
    count = int(generator.integers(low, high + 1)) if high else 0
    names = [(name, "item") for name in drawn.items] + [
        (name, "background") for name in _draw_names(drawn.background, count, generator)
    ]
    if condition.object:
        names.insert(0, (condition.object, "target"))
    places = _draw_places(drawn, len(names), generator)
    if places is None:
        raise ConfigError(
            f"{len(names)} objects of task '{task.name}' do not fit into x {list(drawn.region_x_m)} m, "
            f"y {list(drawn.region_y_m)} m with {drawn.least_distance_m:g} m between centres; widen the region"
        )
    return PlacementPicture(
        title=task.instruction.format(object=condition.object),
        region_x_m=drawn.region_x_m,
        region_y_m=drawn.region_y_m,
        placed=tuple(
            Placed(name=name, role=role, x_m=x, y_m=y, yaw_deg=yaw, size_m=_OBJECT_M)
            for (name, role), (x, y, yaw) in zip(names, places, strict=True)
        ),
    )


def _draw_names(pool: tuple[str, ...], count: int, generator: np.random.Generator) -> list[str]:
    """Draw distinct names, in rounds where there are fewer names than objects."""
    names: list[str] = []
    while len(names) < count:
        names += [pool[index] for index in generator.permutation(len(pool))]
    return names[:count]


def _draw_places(
    drawn: Randomisation, count: int, generator: np.random.Generator
) -> list[tuple[float, float, float]] | None:
    for _ in range(_ATTEMPTS):
        places: list[tuple[float, float, float]] = []
        for _ in range(count):
            for _ in range(_DRAWS_PER_OBJECT):
                x, y = generator.uniform(*drawn.region_x_m), generator.uniform(*drawn.region_y_m)
                if all(np.hypot(x - other[0], y - other[1]) >= drawn.least_distance_m for other in places):
                    places.append((float(x), float(y), float(generator.uniform(*drawn.yaw_deg))))
                    break
            else:
                break
        if len(places) == count:
            return places
    return None


def _side(y_m: float) -> str:
    return f"{100 * abs(y_m):.0f} cm to the {'left' if y_m >= 0 else 'right'}"
