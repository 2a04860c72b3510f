"""Many trials without ROS, faster than real time, the same for the same seed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup


def run_batch_trial(setup: TrialSetup, *, seed: int, trial: int) -> TrialResult:
    """Run one trial of a batch.

    Args:
        setup: What the trial is made of.
        seed: Seed of the batch.
        trial: Number of the trial; the same pair always gives the same trial and the same result.
    """
    return TrialLoop(setup, np.random.default_rng([seed, trial])).run(trial, seed)


def run_batch(
    setup: TrialSetup,
    *,
    trials: int,
    seed: int,
    processes: int = 1,
    progress: Callable[[TrialResult], None] = lambda result: None,
) -> list[TrialResult]:
    """Run trials 0 to `trials` - 1 of a batch.

    Args:
        setup: What the trials are made of.
        trials: How many, at least one.
        seed: Seed of the batch.
        processes: Worker processes; results do not depend on it.
        progress: Called with every result as it comes in, in any order.

    Returns:
        The results in the order of their numbers.

    Raises:
        ConfigError: If `trials` or `processes` is not positive.
    """
    if trials < 1 or processes < 1:
        raise ConfigError(f"batch of {trials} trials in {processes} processes; expected at least 1 of each")
    results = []
    for result in _results(setup, trials, seed, processes):
        progress(result)
        results.append(result)
    return sorted(results, key=lambda result: result.trial)


def _results(setup: TrialSetup, trials: int, seed: int, processes: int) -> Iterator[TrialResult]:
    if processes == 1:
        for trial in range(trials):
            yield run_batch_trial(setup, seed=seed, trial=trial)
        return
    # Rendering contexts do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run_batch_trial, setup, seed=seed, trial=trial) for trial in range(trials)]
        for future in as_completed(futures):
            yield future.result()
