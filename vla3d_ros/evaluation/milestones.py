"""How far a pick-and-place trial in the twin came: reached, lifted, carried, placed. Judged from the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.evaluation.study import MILESTONES, FailureKind, Task
from vla3d_ros.twin.scene import SceneConfig

Float = NDArray[np.float64]

_REACHED_M = 0.06
_LIFTED_M = 0.03


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Moment:
    """Centres (3,) in the world, metres: cubes and pads by colour, end effectors by arm."""

    p_cubes: Mapping[str, Float]
    p_pads: Mapping[str, Float]
    p_ees: Mapping[str, Float]


class MilestoneWatch:
    """Watches one trial. A milestone that was reached stays reached; each needs those before it."""

    def __init__(self, scene: SceneConfig, cube: str, pad: str) -> None:
        """Take what was asked for.

        Args:
            scene: Sizes.
            cube: Colour of the cube to move.
            pad: Colour of the pad to put it on.
        """
        self._cube, self._pad = cube, pad
        self._rest_z_m = scene.cubes.size_m / 2
        self._pad_half_m = float(scene.pads.size_m[:2].max()) / 2
        self._reached: set[str] = set()

    @property
    def reached(self) -> tuple[str, ...]:
        """The milestones so far, in order."""
        return tuple(name for name in MILESTONES if name in self._reached)

    def update(self, moment: Moment) -> None:
        """Look at one instant; one that does not show the trial's cube and pad says nothing."""
        if self._cube not in moment.p_cubes or self._pad not in moment.p_pads:
            return
        p_cube, p_pad = moment.p_cubes[self._cube], moment.p_pads[self._pad]
        distances_m = [float(np.linalg.norm(p_ee - p_cube)) for p_ee in moment.p_ees.values()]
        if min(distances_m, default=np.inf) < _REACHED_M:
            self._reached.add("reached")
        if "reached" in self._reached and p_cube[2] > self._rest_z_m + _LIFTED_M:
            self._reached.add("lifted")
        if "lifted" in self._reached and float(np.linalg.norm((p_cube - p_pad)[:2])) < self._pad_half_m:
            self._reached.add("carried")

    def sub_tasks(self, task: Task, *, is_success: bool) -> dict[str, bool]:
        """Return which of a task's sub-tasks were done; a success has done them all."""
        done = self._reached | ({*MILESTONES} if is_success else set())
        return {step.name: step.milestone in done for step in task.sub_tasks}

    def failure_kind(self, *, is_stopped: bool) -> FailureKind:
        """Return why a failed trial failed, as far as its milestones tell."""
        if is_stopped:
            return FailureKind.SAFETY_STOP
        if "carried" in self._reached:
            return FailureKind.PLACEMENT
        if "lifted" in self._reached:
            return FailureKind.MOTION
        return FailureKind.GRASP if "reached" in self._reached else FailureKind.PERCEPTION
