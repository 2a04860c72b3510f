"""The trials of one or several runs of a protocol, pooled, with the policies' names if their key may be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.plan import Condition
from vla3d_ros.evaluation.statistics import Proportion, percentile, wilson_interval
from vla3d_ros.evaluation.statistics.clustered import FEWEST_CLUSTERS, clustered_interval
from vla3d_ros.evaluation.statistics.proportions import share_interval
from vla3d_ros.evaluation.study import Study
from vla3d_ros.evaluation.study_run import StudyData
from vla3d_ros.evaluation.trial_record import TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTrial:
    """One valid trial. `policy` is the name, or the label while the key is sealed; `data` is the run it is from."""

    policy: str
    condition: Condition
    record: TrialRecord
    data: StudyData

    @property
    def match(self) -> tuple[str, str, str, int]:
        """What two trials on the same scene have in common."""
        condition = self.condition
        return condition.task, condition.setting, condition.object, condition.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResults:
    """All valid trials of the first run's mode in `trials`; those of other modes in `others`."""

    study: Study
    runs: tuple[StudyData, ...]
    is_revealed: bool
    policies: tuple[str, ...]
    trials: tuple[PooledTrial, ...]
    others: tuple[PooledTrial, ...]

    def of(self, policy: str, keep: Callable[[PooledTrial], bool] = lambda trial: True) -> list[PooledTrial]:
        """Return a policy's trials, those to keep."""
        return [trial for trial in self.trials if trial.policy == policy and keep(trial)]

    @property
    def invalid(self) -> list[tuple[StudyData, TrialRecord]]:
        """Attempts that did not count, with their run."""
        return [(data, record) for data in self.runs for record in data.records if not record.is_valid]

    @property
    def interrupted(self) -> int:
        """Attempts that were running when a process ended."""
        return sum(len(data.interrupted) for data in self.runs)

    @property
    def planned(self) -> int:
        """Trials of all plans."""
        return sum(len(data.plan.trials) for data in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Successes with interval, mean share of sub-tasks done with interval, median time to success.

    `aided` counts the trials with an intervention, `unaided` the successes without one. `by_object` is the interval of
    the rate that takes objects, not trials, as the sample; None where objects were not tried again and again.
    """

    whole: Proportion
    sub_task_share: float
    sub_task_low: float
    sub_task_high: float
    success_time_s: float | None
    interventions: int
    aided: Proportion
    unaided: int
    by_object: tuple[float, float] | None


def pool_runs(runs: Sequence[StudyData], *, reveal: bool = False) -> StudyResults:
    """Pool runs of one protocol.

    The policies' names are shown when every run is complete, or on demand.

    Raises:
        ConfigError: If the runs are not of the same protocol.
    """
    first = runs[0]
    others = sorted({f"{data.folder} ({data.study.name})" for data in runs if data.study.digest != first.study.digest})
    if others:
        raise ConfigError(f"{first.folder} is a run of '{first.study.name}'; these are of other protocols: {others}")
    is_revealed = reveal or all(data.is_complete for data in runs)
    trials = [
        PooledTrial(
            policy=_shown(data, record.policy, runs, is_revealed),
            condition=data.plan.trial(number).condition,
            record=record,
            data=data,
        )
        for data in runs
        for number, record in sorted(data.valid.items())
    ]
    shown = [_shown(data, label, runs, is_revealed) for data in runs for label in data.key.labels]
    policies = sorted(dict.fromkeys(shown))
    return StudyResults(
        study=first.study,
        runs=tuple(runs),
        is_revealed=is_revealed,
        policies=tuple(policies),
        trials=tuple(trial for trial in trials if trial.data.mode == first.mode),
        others=tuple(trial for trial in trials if trial.data.mode != first.mode),
    )


def tally(trials: Sequence[PooledTrial]) -> Tally:
    """Count trials. Intervals that are drawn are drawn from a fixed seed."""
    records = [trial.record for trial in trials]
    share, low, high = share_interval([record.sub_task_share for record in records])
    aided = sum(record.interventions > 0 for record in records)
    return Tally(
        whole=wilson_interval(sum(record.is_success for record in records), len(records)),
        sub_task_share=share,
        sub_task_low=low,
        sub_task_high=high,
        success_time_s=percentile([record.sim_s for record in records if record.is_success], 50),
        interventions=sum(record.interventions for record in records),
        aided=wilson_interval(aided, len(records)),
        unaided=sum(record.is_success and not record.interventions for record in records),
        by_object=_by_object(trials),
    )


def object_counts(trials: Sequence[PooledTrial]) -> dict[str, tuple[int, int]]:
    """Return successes and trials of every object; empty unless there are enough, and most were tried repeatedly."""
    found: dict[str, tuple[int, int]] = {}
    for trial in trials:
        if trial.condition.object:
            successes, count = found.get(trial.condition.object, (0, 0))
            found[trial.condition.object] = (successes + trial.record.is_success, count + 1)
    total = sum(count for _, count in found.values())
    return found if len(found) >= FEWEST_CLUSTERS and total >= 2 * len(found) else {}


def _by_object(trials: Sequence[PooledTrial]) -> tuple[float, float] | None:
    counts = list(object_counts(trials).values())
    if not counts:
        return None
    return clustered_interval([x for x, _ in counts], [n for _, n in counts], np.random.default_rng(0))


def failure_counts(results: StudyResults, policy: str) -> Counter[str]:
    """Count why a policy's trials failed."""
    failed = (trial.record for trial in results.of(policy) if not trial.record.is_success)
    return Counter(record.failure or record.ended_by for record in failed)


def _shown(data: StudyData, label: str, runs: Sequence[StudyData], is_revealed: bool) -> str:
    """Return a policy's name; labels of several runs need not mean the same policy."""
    if is_revealed or not data.study.design.is_blind:
        return data.key.policies[label]
    return f"policy {label}" if len(runs) == 1 else f"policy {label} of {data.folder.name}"
