"""Many trials without ROS, faster than real time, the same for the same seed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache

import numpy as np

from vla3d_ros.datatypes import ActionChunk, Observation
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_loop import TrialLoop, TrialSetup
from vla3d_ros.policy.backend import PolicyBackend, PolicyDescription
from vla3d_ros.policy.loading import load_backend

_KEPT = "package"


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


class KeptPolicy:
    """A policy that outlives the trial it was built for: `close` leaves it open, `reset` begins anew."""

    def __init__(self, policy: PolicyBackend) -> None:
        """Take the policy; nothing but what `reset` clears may go from one trial into the next."""
        self._policy = policy

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        return self._policy.description

    def reset(self, instruction: str) -> None:
        """Start a new task."""
        self._policy.reset(instruction)

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the next chunk."""
        return self._policy.infer(observation)

    def close(self) -> None:
        """Keep it: loading a package and letting it prove itself takes longer than a second of a trial."""


def kept_backend(kind: str, config_file: str) -> PolicyBackend:
    """Build a policy, or take the one that this process has built for an earlier trial: a package forgets on `reset`.

    Args:
        kind: Kind of policy; all but `package` are built anew, so that a trial depends on nothing before it.
        config_file: Path of its settings, which must not change while the process lives.

    Raises:
        ConfigError: As `load_backend`.
    """
    return KeptPolicy(_package(config_file)) if kind == _KEPT else load_backend(kind, config_file)


@cache
def _package(config_file: str) -> PolicyBackend:
    return load_backend(_KEPT, config_file)
