"""Runs what is missing, on all cores."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.evidence.store import Cell, CellStore
from vla3d_ros.evaluation.evidence.trial import CellTrial, run_cell_trial
from vla3d_ros.evaluation.trial_loop import TrialSetup

Work = Callable[[TrialSetup, int], CellTrial]

_AHEAD = 2  # jobs per process that wait their turn: few, so that an interrupted run ends soon
_ORPHANED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTrial:
    """Runs the trials of a plan, given what they are made of and their number, and says how long each took.

    `clock` tells wall seconds; picklable.
    """

    seed: int
    clock: Callable[[], float]

    def __call__(self, setup: TrialSetup, trial: int) -> CellTrial:
        """Run one trial."""
        begun_s = self.clock()
        done = run_cell_trial(setup, seed=self.seed, trial=trial)
        return replace(done, wall_s=round(self.clock() - begun_s, 3))


def run_missing(
    store: CellStore,
    setups: Mapping[Cell, TrialSetup],
    work: Work,
    *,
    trials: int,
    processes: int = 1,
    progress: Callable[[Cell, CellTrial], None] = lambda cell, trial: None,
) -> None:
    """Run the trials that a store does not have yet, and write each down as it ends.

    Args:
        store: Takes them.
        setups: What the trials of each cell are made of.
        work: Runs a trial; picklable where there are several processes.
        trials: How many every cell shall have.
        processes: Worker processes; results do not depend on it.
        progress: Called after every trial.

    Raises:
        ConfigError: If `trials` or `processes` is not positive.
    """
    if trials < 1 or processes < 1:
        raise ConfigError(f"{trials} trials in {processes} processes; expected at least 1 of each")
    missing = [(cell, trial) for trial, cell in store.missing(trials)]
    for cell, done in (
        _one_by_one(missing, setups, work) if processes == 1 else _pooled(missing, setups, work, processes)
    ):
        store.add(cell, done)
        progress(cell, done)


def _one_by_one(
    missing: Sequence[tuple[Cell, int]], setups: Mapping[Cell, TrialSetup], work: Work
) -> Iterator[tuple[Cell, CellTrial]]:
    for cell, trial in missing:
        yield cell, work(setups[cell], trial)


def _pooled(
    missing: Sequence[tuple[Cell, int]], setups: Mapping[Cell, TrialSetup], work: Work, processes: int
) -> Iterator[tuple[Cell, CellTrial]]:
    # Rendering contexts do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        waiting, pending = iter(missing), dict[Future[CellTrial], Cell]()
        try:
            while True:
                for cell, trial in waiting:
                    pending[pool.submit(work, setups[cell], trial)] = cell
                    if len(pending) >= _AHEAD * processes:
                        break
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield pending.pop(future), future.result()
        finally:
            for future in pending:
                future.cancel()


def _end_with_parent() -> None:
    """End this process when its parent has: after `kill -9` of the parent nobody would collect results.

    Ctrl-C is the parent's to hear.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(_ORPHANED)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
