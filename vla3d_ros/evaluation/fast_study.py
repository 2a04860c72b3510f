"""A whole protocol in one process or a few, faster than real time, through the cores of the live graph."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np

from vla3d_ros.evaluation.calibration_state import CalibrationState
from vla3d_ros.evaluation.milestones import MilestoneWatch, Moment
from vla3d_ros.evaluation.plan import PlannedTrial
from vla3d_ros.evaluation.study import Study, Task
from vla3d_ros.evaluation.study_run import StudyRun
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup
from vla3d_ros.evaluation.trial_record import TrialRecord
from vla3d_ros.twin.truth import Truth

Clock = Callable[[], str]


def run_fast_study(
    run: StudyRun,
    setups: Mapping[str, TrialSetup],
    clock: Clock,
    *,
    processes: int = 1,
    progress: Callable[[PlannedTrial, TrialRecord], None] = lambda trial, record: None,
    calibration: Callable[[], CalibrationState | None] = lambda: None,
) -> None:
    """Run what is left of a run.

    Args:
        run: The run.
        setups: What trials of each policy are made of, by blinded label.
        clock: Returns the wall time as text.
        processes: Worker processes; results do not depend on it.
        progress: Called after every trial.
        calibration: Returns which calibration is in force.
    """
    pending = _pending(run)
    for trial, record in _records(run.study, pending, setups, processes):
        attempt = run.start(trial, {"seed": trial.condition.seed})
        state = calibration()
        told = None if state is None else state.to_json()
        finished = replace(record, attempt=attempt, ended_at=clock(), calibration=told)
        run.finish(finished)
        progress(trial, finished)
        if run.stopped_because:
            return


def _pending(run: StudyRun) -> list[PlannedTrial]:
    first = run.next_trial()
    return [] if first is None else [t for t in run.plan.trials if t.number not in run.valid_trials]


def _records(
    study: Study, pending: list[PlannedTrial], setups: Mapping[str, TrialSetup], processes: int
) -> Iterator[tuple[PlannedTrial, TrialRecord]]:
    jobs = [(study.task(t.condition.task), setups[t.policy], t) for t in pending]
    if processes == 1:
        for job in jobs:
            yield job[2], run_fast_trial(*job)
        return
    # Rendering contexts do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run_fast_trial, *job) for job in jobs]
        try:
            for job, future in zip(jobs, futures, strict=True):
                yield job[2], future.result()
        finally:
            for future in futures:
                future.cancel()


def run_fast_trial(task: Task, setup: TrialSetup, trial: PlannedTrial) -> TrialRecord:
    """Run one trial from its scene's seed; the same arguments give the same result.

    Returns:
        The record of attempt 1, without the time at which it ended.
    """
    seed = trial.condition.seed
    loop = TrialLoop(replace(setup, timeout_s=task.timeout_s), np.random.default_rng(seed))
    watch = MilestoneWatch(loop.scene, loop.trial.cube, loop.trial.pad)
    loop.on_truth = lambda truth: watch.update(moment_of(truth))
    return _record(task, trial, loop.run(trial.number, seed), watch)


def moment_of(truth: Truth) -> Moment:
    """Return what milestones are judged from."""
    return Moment(
        p_cubes={name: found.T_world_object.translation for name, found in truth.cubes.items()},
        p_pads={name: found.T_world_object.translation for name, found in truth.pads.items()},
        p_ees=dict(truth.p_world_ee),
    )


def _record(task: Task, trial: PlannedTrial, result: TrialResult, watch: MilestoneWatch) -> TrialRecord:
    is_stopped = result.reason.startswith("safety stop")
    is_late = result.reason.startswith("not within")
    ended_by = "success" if result.is_success else "safety stop" if is_stopped else "timeout" if is_late else "failure"
    return TrialRecord(
        trial=trial.number,
        attempt=1,
        policy=trial.policy,
        is_valid=True,
        outcome=result.outcome,
        reason=result.reason,
        ended_by=ended_by,
        judged_by="twin",
        sim_s=result.sim_s,
        wall_s=0.0,
        ended_at="",
        failure="" if result.is_success else watch.failure_kind(is_stopped=is_stopped).value,
        sub_tasks=watch.sub_tasks(task, is_success=result.is_success),
        latency_p50_ms=result.latency_p50_ms,
        latency_p99_ms=result.latency_p99_ms,
        skew_p99_ms=result.skew_p99_ms,
        verdicts=result.verdicts,
    )
