"""Decide from the truth whether a trial has succeeded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.placement import TrialScene
from vla3d_ros.twin.scene import SceneConfig
from vla3d_ros.twin.world import Truth

_NS = 1e-9
_FALLEN_M = 0.05


class Outcome(Enum):
    """How a trial ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The judge's last word: outcome, the reason in one sentence, and how long the trial took in simulated seconds."""

    outcome: Outcome
    reason: str
    sim_s: float


class Judge:
    """Watches one trial. Success is a state that lasts, so an object in flight or still held does not count."""

    def __init__(self, scene: SceneConfig, trial: TrialScene, *, start_ns: int) -> None:
        """Start the trial's clock.

        Args:
            scene: Sizes and success criteria.
            trial: What was asked for.
            start_ns: When the instruction was given; the timeout counts from here.
        """
        self._scene = scene
        self._trial = trial
        self._start_ns = start_ns
        self._since_ns: int | None = None
        self._ruling: Ruling | None = None

    @property
    def ruling(self) -> Ruling | None:
        """The ruling, or None while the trial runs."""
        return self._ruling

    def update(self, truth: Truth) -> Ruling | None:
        """Look at one instant.

        Args:
            truth: Later than the previous one.

        Returns:
            The ruling once there is one; it never changes afterwards.
        """
        if self._ruling is not None:
            return self._ruling
        missing = self.missing(truth)
        elapsed_s = (truth.stamp_ns - self._start_ns) * _NS
        success = self._scene.success
        if missing:
            self._since_ns = None
            height_m = truth.cubes[self._trial.cube].T_world_object.translation[2] - self._scene.table.top_z_m
            if height_m < -_FALLEN_M:
                self._rule(Outcome.FAILURE, f"the {self._trial.cube} cube fell off the table", elapsed_s)
            elif elapsed_s >= success.timeout_s:
                self._rule(Outcome.FAILURE, f"not within {success.timeout_s:g} s: {'; '.join(missing)}", elapsed_s)
            return self._ruling
        self._since_ns = truth.stamp_ns if self._since_ns is None else self._since_ns
        if (truth.stamp_ns - self._since_ns) * _NS >= success.hold_s:
            self._rule(Outcome.SUCCESS, f"the {self._trial.cube} cube rests on the {self._trial.pad} pad", elapsed_s)
        return self._ruling

    def missing(self, truth: Truth) -> tuple[str, ...]:
        """Say what separates this instant from success, one sentence each; empty if nothing does.

        Raises:
            ConfigError: If the truth is that of another trial.
        """
        cube_name, pad_name = self._trial.cube, self._trial.pad
        if cube_name not in truth.cubes or pad_name not in truth.pads:
            raise ConfigError(
                f"the truth shows cubes {list(truth.cubes)} and pads {list(truth.pads)}; "
                f"expected those of the trial '{self._trial.instruction}'"
            )
        success, size_m = self._scene.success, self._scene.pads.size_m
        cube, pad = truth.cubes[cube_name], truth.pads[pad_name]
        p_world_cube = cube.T_world_object.translation
        p_pad_cube = pad.T_world_object.inverse().apply(p_world_cube)
        problems = []
        if np.abs(p_pad_cube[:2] / size_m[:2]).max() > 1 / 2:
            off_mm = 1e3 * float(np.linalg.norm(p_pad_cube[:2]))
            problems.append(f"the cube is {off_mm:.0f} mm from the pad's centre")
        height_m = float(p_pad_cube[2]) - (size_m[2] + self._scene.cubes.size_m) / 2
        if abs(height_m) > success.height_tolerance_m:
            problems.append(f"the cube is {1e3 * height_m:.0f} mm above its place")
        if cube.speed_m_s > success.speed_m_s:
            problems.append(f"the cube moves at {cube.speed_m_s:.3f} m/s")
        for arm, opening in truth.gripper_opening.items():
            distance_m = float(np.linalg.norm(truth.p_world_ee[arm] - p_world_cube))
            if distance_m < success.gripper_away_m:
                problems.append(f"gripper of arm '{arm}' is {1e3 * distance_m:.0f} mm from the cube")
            if opening < success.gripper_open:
                problems.append(f"gripper of arm '{arm}' is open by {opening:.2f}")
        return tuple(problems)

    def _rule(self, outcome: Outcome, reason: str, sim_s: float) -> None:
        self._ruling = Ruling(outcome=outcome, reason=reason, sim_s=sim_s)
