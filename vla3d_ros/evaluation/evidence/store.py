"""The trials of every cell on the disk: a journal each, append-only, begun with what its trials are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from vla3d_ros.errors import ConfigError, RecordingError, join_problems
from vla3d_ros.evaluation.evidence.trial import CellTrial
from vla3d_ros.evaluation.journal import Event, Journal, read_journal

FOLDER = "cells"
_BEGUN, _TRIAL = "begun", "trial"
_SHOWN = 6

Cell = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRecord:
    """A cell as its journal has it: what its trials are made of, and those that are done, by rising number."""

    cell: Cell
    identity: Mapping[str, Any]
    trials: tuple[CellTrial, ...]


def cell_path(folder: Path, cell: Cell) -> Path:
    """Return where a cell's journal is."""
    return folder / FOLDER / cell[0] / f"{cell[1]}.jsonl"


def read_cells(folder: Path) -> tuple[CellRecord, ...]:
    """Return every cell that a folder has, also those that no plan names any more; trials by rising number.

    Raises:
        RecordingError: If a journal is broken in a way that no crash explains.
    """
    paths = sorted((folder / FOLDER).glob("*/*.jsonl"))
    records = [_record((path.parent.name, path.stem), path, read_journal(path)) for path in paths]
    return tuple(record for record in records if record is not None)


class CellStore:
    """Takes trials as they end. `kill -9` costs the trials that are running, and no other."""

    def __init__(self, folder: Path, identities: Mapping[Cell, Mapping[str, Any]]) -> None:
        """Open the journals of some cells, or begin them.

        Args:
            folder: Of the run.
            identities: What each cell's trials are made of, plain values.

        Raises:
            ConfigError: If a journal was begun with something else; says what, for every cell.
            RecordingError: If a journal is broken, or another process writes it.
        """
        self._journals: dict[Cell, Journal] = {}
        self._done: dict[Cell, set[int]] = {}
        problems = []
        try:
            for cell, identity in identities.items():
                journal = self._journals[cell] = Journal(cell_path(folder, cell))
                record = _record(cell, cell_path(folder, cell), journal.events)
                self._done[cell] = set() if record is None else {trial.trial for trial in record.trials}
                if record is not None:
                    problems += identity_problems(cell, record.identity, identity)
            if problems:
                raise ConfigError(
                    join_problems(
                        f"{folder} holds trials of something else, which must not be mixed; choose another --out, or "
                        f"remove these cells from {folder / FOLDER}",
                        problems,
                    )
                )
            for cell, identity in identities.items():
                if not self._journals[cell].events:
                    self._journals[cell].append(_BEGUN, {"identity": identity})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CellStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def missing(self, trials: int) -> list[tuple[int, Cell]]:
        """Return what is still to be run: trial by trial, each in every cell, so that cells grow side by side."""
        return [(trial, cell) for trial in range(trials) for cell in self._journals if trial not in self._done[cell]]

    def add(self, cell: Cell, trial: CellTrial) -> None:
        """Write a trial down; afterwards nothing of it can be lost.

        Raises:
            RecordingError: If the cell has that trial already.
        """
        if trial.trial in self._done[cell]:
            raise RecordingError(f"cell {'/'.join(cell)} has trial {trial.trial} already")
        self._journals[cell].append(_TRIAL, {"result": trial.to_json()})
        self._done[cell].add(trial.trial)

    def close(self) -> None:
        """Let others have the journals."""
        for journal in self._journals.values():
            journal.close()
        self._journals = {}


def identity_problems(cell: Cell, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return how what trials were made of differs from what they would be made of now, one sentence each."""
    problems = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            problems.append(f"cell {'/'.join(cell)}: '{key}' differs in {', '.join(names[:_SHOWN])}{more}")
        else:
            problems.append(f"cell {'/'.join(cell)}: '{key}' was {old}, is {new}")
    return problems


def require_one_origin(identities: Mapping[Cell, Mapping[str, Any]]) -> None:
    """Make sure that cells can be compared: one world, code and plan, one policy a variant.

    Args:
        identities: What each cell's trials are made of.

    Raises:
        ConfigError: Lists every cell that differs from the first it is to be compared with, and in what.
    """
    problems, first = [], dict[str, tuple[Cell, Any]]()
    for cell, identity in identities.items():
        own = {"policy": f"policy of {cell[0]}", "variation": f"variation {cell[1]}"}
        for key, value in identity.items():
            other, expected = first.setdefault(own.get(key, key), (cell, value))
            found = identity_problems(cell, {key: expected}, {key: value})
            problems += [f"{problem} (cell {'/'.join(other)} has the former)" for problem in found]
    if problems:
        raise ConfigError(join_problems("cells that must not be compared; run one of them again elsewhere", problems))


def _record(cell: Cell, path: Path, events: Sequence[Event]) -> CellRecord | None:
    """Return what a journal says; None if it was never begun."""
    known = [event for event in events if event["event"] in (_BEGUN, _TRIAL)]
    if not known:
        return None
    if known[0]["event"] != _BEGUN:
        raise RecordingError(f"journal {path} does not begin with what its trials are made of; remove it")
    found = [CellTrial.from_json(event["result"]) for event in known[1:] if event["event"] == _TRIAL]
    by_number = {trial.trial: trial for trial in found}
    if len(by_number) != len(found):
        raise RecordingError(f"journal {path} has a trial twice; it was changed by hand")
    trials = tuple(by_number[number] for number in sorted(by_number))
    return CellRecord(cell=cell, identity=known[0]["identity"], trials=trials)
