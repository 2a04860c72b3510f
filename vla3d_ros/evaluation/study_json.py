"""The results for programs: counts, rates with intervals, comparisons, and every trial."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from typing import Any

from vla3d_ros.evaluation.mode_agreement import mode_agreements
from vla3d_ros.evaluation.statistics import wilson_interval
from vla3d_ros.evaluation.study_calibration import calibrations
from vla3d_ros.evaluation.study_comparison import compare_policies
from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults, Tally, failure_counts, tally

_FACTORS = ("task", "setting", "category", "object")


def results_json(results: StudyResults) -> str:
    """Return everything as JSON text. Rates are fractions of 1, times seconds, intervals 95 %."""
    comparisons = compare_policies(results)
    content = {
        "study": {"name": results.study.name, "title": results.study.title, "digest": results.study.digest},
        "calibrations": [state.to_json() for state in calibrations(results)],
        "runs": [_run(results, index) for index in range(len(results.runs))],
        "is_revealed": results.is_revealed,
        "attempts": {
            "planned": results.planned,
            "valid": len(results.trials) + len(results.others),
            "invalid": len(results.invalid),
            "interrupted": results.interrupted,
        },
        "policies": {policy: _policy(results, policy) for policy in results.policies},
        "comparisons": [asdict(pair) for pair in comparisons.pairs],
        "letters": comparisons.letters,
        "cochrans_q": comparisons.cochran,
        "modes": [asdict(found) for found in mode_agreements(results)],
        "trials": [_trial(trial) for trial in (*results.trials, *results.others)],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _run(results: StudyResults, index: int) -> dict[str, Any]:
    data = results.runs[index]
    return {
        "name": data.folder.name,
        "mode": data.mode,
        "seed": data.plan.seed,
        "trials": len(data.plan.trials),
        "valid": len(data.valid),
        "resumed": data.resumed,
        "stopped_because": data.stopped_because,
    }


def _policy(results: StudyResults, policy: str) -> dict[str, Any]:
    trials = results.of(policy)
    return {
        **_tally(tally(trials)),
        "failures": dict(failure_counts(results, policy)),
        "cells": _cells(trials),
        "sub_tasks": _sub_tasks(trials),
    }


def _tally(counted: Tally) -> dict[str, Any]:
    return {
        **asdict(counted.whole),
        "sub_task_share": counted.sub_task_share,
        "sub_task_share_95": [counted.sub_task_low, counted.sub_task_high],
        "median_success_time_s": counted.success_time_s,
        "interventions": counted.interventions,
        "aided": asdict(counted.aided),
        "successes_unaided": counted.unaided,
        "rate_95_by_object": counted.by_object,
    }


def _cells(trials: list[PooledTrial]) -> list[dict[str, Any]]:
    def key(trial: PooledTrial) -> tuple[str, ...]:
        return tuple(str(getattr(trial.condition, factor)) for factor in _FACTORS)

    return [
        {**dict(zip(_FACTORS, cell, strict=True)), **_tally(tally(list(group)))}
        for cell, group in groupby(sorted(trials, key=key), key=key)
    ]


def _sub_tasks(trials: list[PooledTrial]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[bool]] = {}
    for trial in trials:
        for name, is_done in trial.record.sub_tasks.items():
            found.setdefault((trial.condition.task, name), []).append(is_done)
    return [
        {"task": task, "sub_task": name, **asdict(wilson_interval(sum(done), len(done)))}
        for (task, name), done in found.items()
    ]


def _trial(trial: PooledTrial) -> dict[str, Any]:
    record = trial.record.to_json() | {"policy": trial.policy}
    return {"run": trial.data.folder.name, "mode": trial.data.mode, **record, "condition": asdict(trial.condition)}
