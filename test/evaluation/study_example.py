"""A small protocol for tests, and trials that take no time."""

from __future__ import annotations

from pathlib import Path

from vla3d_ros.evaluation.plan import PlannedTrial
from vla3d_ros.evaluation.study_run import RunOrder, StudyRun
from vla3d_ros.evaluation.trial_record import TrialRecord

PROTOCOL = """
title: Fruit
description: Fruit into bowls
source: a test
world: real
design:
  order: interleaved
  trials_per_cell: 2
  keep_together: [setting]
  blind: true
  most_attempts: 3
  comparison: {method: fixed, alpha: 0.05}
randomisation:
  region_x_m: [0.3, 0.7]
  region_y_m: [-0.3, 0.3]
  yaw_deg: [-180, 180]
  least_distance_m: 0.06
  background: [cup, spoon, box, sponge, tin, ball]
tasks:
  - name: pick
    instruction: put the {object} into the bowl
    success: the fruit rests in the bowl
    timeout_s: 60
    per_object: true
    sub_tasks:
      - {name: grasp, text: the fruit leaves the table}
      - {name: place, text: the fruit rests in the bowl}
objects:
  - {category: round, names: [apple, plum]}
  - {category: long, names: [banana]}
settings:
  - {name: sparse, text: few things around, background_objects: [1, 2]}
  - name: dense
    text: many things around
    background_objects: [3, 5]
    changes:
      - {what: tablecloth, every_trials: 4, values: [white, checked]}
      - {what: lighting, every_trials: 2, values: [warm, cold, dim]}
table: {rows: [category], columns: [policy, setting], cell: rate}
"""


def order(seed: int = 5, protocol: str = PROTOCOL, policies: tuple[str, ...] = ("pi", "tau")) -> RunOrder:
    return RunOrder(protocol=protocol, name="fruit", policies=policies, seed=seed, mode="real", salt="salt")


def record(trial: PlannedTrial, attempt: int, *, is_success: bool = True, **changes: object) -> TrialRecord:
    values = {
        "trial": trial.number,
        "attempt": attempt,
        "policy": trial.policy,
        "is_valid": True,
        "outcome": "success" if is_success else "failure",
        "reason": "",
        "ended_by": "success" if is_success else "timeout",
        "judged_by": "operator",
        "sim_s": 12.5,
        "wall_s": 13.0,
        "ended_at": "2026-01-01T00:00:00+00:00",
        "failure": "" if is_success else "grasp",
        "sub_tasks": {"grasp": is_success, "place": is_success},
    }
    return TrialRecord(**(values | changes))


def run_some(run: StudyRun, trials: int) -> None:
    """Run at most so many trials."""
    for _ in range(trials):
        trial = run.next_trial()
        if trial is None:
            return
        attempt = run.start(trial, {})
        run.finish(record(trial, attempt, is_success=(trial.condition.number + len(trial.policy)) % 3 != 0))


def journal_of(folder: Path) -> Path:
    return folder / "journal.jsonl"
