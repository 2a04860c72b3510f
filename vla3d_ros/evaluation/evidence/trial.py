"""One trial of a cell, and what is written down about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from vla3d_ros.errors import RecordingError, Vla3dError
from vla3d_ros.evaluation.milestones import MilestoneWatch, Moment
from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup
from vla3d_ros.twin.truth import Truth

NEVER_REACHED = "never at the cube"
NOT_LIFTED = "at the cube, not lifted"
NOT_CARRIED = "lifted, not over the pad"
NOT_PLACED = "over the pad, not placed"
SAFETY_STOP = "safety stop"
ERROR = "an error"
FAILURES = (NEVER_REACHED, NOT_LIFTED, NOT_CARRIED, NOT_PLACED, SAFETY_STOP, ERROR)
"""How a trial can fail: by the last milestone it reached, or what ended it before."""

_AFTER = {"": NEVER_REACHED, "reached": NOT_LIFTED, "lifted": NOT_CARRIED, "carried": NOT_PLACED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTrial:
    """One trial.

    `failure` is one of `FAILURES`, empty for a success. `sim_s` is its length in the world's time, `wall_s` on the
    wall (no part of the result). `verdicts` counts the safety gate's answers by kind.
    """

    trial: int
    is_success: bool
    failure: str
    reason: str
    instruction: str
    sim_s: float
    verdicts: Mapping[str, int]
    wall_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"verdicts": dict(self.verdicts)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CellTrial:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: If a field is unknown or missing, or the failure is of no known kind.
        """
        known = sorted(entry.name for entry in fields(cls))
        if sorted(values) != known:
            raise RecordingError(f"trial with fields {sorted(values)}; expected {known}")
        trial = cls(**values)
        if trial.failure not in ("", *FAILURES) or trial.is_success == bool(trial.failure):
            raise RecordingError(
                f"trial {trial.trial} is a {'success' if trial.is_success else 'failure'} with failure "
                f"'{trial.failure}'; expected one of {list(FAILURES)} for a failure alone"
            )
        return trial


def run_cell_trial(setup: TrialSetup, *, seed: int, trial: int) -> CellTrial:
    """Run one trial; the same arguments give the same result.

    Args:
        setup: What it is made of.
        seed: Of the plan.
        trial: Its number; its scene is drawn from (`seed`, `trial`).

    Returns:
        The trial. An error once it has begun, of the policy or the physics, is its failure: it would be on a robot.

    Raises:
        Vla3dError: If it can not begin: a file is wrong, or the scene does not fit on the table.
    """
    loop = TrialLoop(setup, np.random.default_rng([seed, trial]))
    watch = MilestoneWatch(loop.scene, loop.trial.cube, loop.trial.pad)
    loop.on_truth = lambda truth: watch.update(_moment(truth))
    start_ns = loop.world.time_ns
    try:
        result = loop.run(trial, seed)
    except Vla3dError as error:
        return CellTrial(
            trial=trial,
            is_success=False,
            failure=ERROR,
            reason=f"{type(error).__name__}: {error}",
            instruction=loop.trial.instruction,
            sim_s=round((loop.world.time_ns - start_ns) / 1e9, 3),
            verdicts={},
        )
    return CellTrial(
        trial=trial,
        is_success=result.is_success,
        failure="" if result.is_success else failure_of(watch.reached, result.reason),
        reason=result.reason,
        instruction=result.instruction,
        sim_s=round(result.sim_s, 3),
        verdicts=dict(result.verdicts),
    )


def failure_of(reached: tuple[str, ...], reason: str) -> str:
    """Return how a failed trial failed.

    Args:
        reached: Its milestones, in order.
        reason: Why it ended.
    """
    if reason.startswith(SAFETY_STOP):
        return SAFETY_STOP
    return _AFTER[reached[-1] if reached else ""]


def _moment(truth: Truth) -> Moment:
    return Moment(
        p_cubes={name: found.T_world_object.translation for name, found in truth.cubes.items()},
        p_pads={name: found.T_world_object.translation for name, found in truth.pads.items()},
        p_ees=dict(truth.p_world_ee),
    )
