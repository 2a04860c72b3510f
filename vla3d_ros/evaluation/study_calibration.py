"""The calibrations that were in force during a study's trials, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vla3d_ros.evaluation.calibration_state import CalibrationState, CameraCalibration
from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationUse:
    """One calibration, as of the last trial in which it was in force, and the trials, e.g. "1-4, 7"."""

    state: CalibrationState
    run: str
    trials: str


def calibration_of(trial: PooledTrial) -> CalibrationState | None:
    """Return what was in force during a trial; None if its journal does not say."""
    told = trial.record.calibration
    return None if told is None else CalibrationState.from_json(told)


def calibrations(results: StudyResults) -> list[CalibrationState]:
    """Return every calibration that was in force, once."""
    return [use.state for use in calibration_uses(results)]


def calibration_uses(results: StudyResults) -> list[CalibrationUse]:
    """Return every calibration that was in force, with the trials of each run."""
    found: dict[tuple[str, CalibrationState], tuple[CalibrationState, list[int]]] = {}
    for trial in (*results.trials, *results.others):
        state = calibration_of(trial)
        if state is None:
            continue
        key = (trial.data.folder.name, _ageless(state))
        numbers = found[key][1] if key in found else []
        found[key] = (state, [*numbers, trial.record.trial])
    return [
        CalibrationUse(state=state, run=run, trials=_ranges(sorted(numbers)))
        for (run, _), (state, numbers) in found.items()
    ]


def calibration_text(state: CalibrationState) -> str:
    """Return a calibration in a few words, e.g. "0.31 px, 12 days old"."""
    if state.is_exact:
        return "exact, in the twin"
    error = "" if state.error_px is None else f"{state.error_px:.2f} px, "
    return "no record" if state.age_days is None else f"{error}{_days(state.age_days)} old"


def camera_text(camera: CameraCalibration) -> str:
    """Return what is known of one camera's intrinsics or extrinsics."""
    if not camera.method or camera.age_days is None:
        return "no record"
    errors = [
        f"{value:.2f} {unit}" for value, unit in ((camera.error_px, "px"), (camera.error_mm, "mm")) if value is not None
    ]
    return " · ".join([camera.method, *errors, f"{camera.made_on}, {_days(camera.age_days)} old"])


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _ageless(state: CalibrationState) -> CalibrationState:
    """A calibration grows older during a run without becoming another."""
    return replace(state, cameras=tuple(replace(camera, age_days=None) for camera in state.cameras))


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as ranges, e.g. "1-3, 7"."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return ", ".join(str(g[0]) if len(g) == 1 else f"{g[0]}\u2013{g[-1]}" for g in groups)
