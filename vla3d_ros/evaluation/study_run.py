"""A run of a protocol on the disk: plan, sealed key and journal in one folder, and which trial comes next."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from vla3d_ros.errors import ConfigError, RecordingError, join_problems
from vla3d_ros.evaluation.blinding import PolicyKey, draw_key, read_key, write_key
from vla3d_ros.evaluation.journal import Event, Journal, read_journal, write_durably
from vla3d_ros.evaluation.plan import PlannedTrial, SeedSource, TrialPlan, make_plan
from vla3d_ros.evaluation.stopping import StoppingRule
from vla3d_ros.evaluation.study import Study
from vla3d_ros.evaluation.study_reader import parse_study
from vla3d_ros.evaluation.trial_record import TrialRecord

JOURNAL, PLAN, KEY, PROTOCOL = "journal.jsonl", "plan.json", "key.sealed.json", "protocol.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyData:
    """What a run's folder holds, read back. `records` are the attempts that ended, valid or not, in order."""

    folder: Path
    study: Study
    plan: TrialPlan
    key: PolicyKey
    mode: str
    records: tuple[TrialRecord, ...]
    interrupted: tuple[Mapping[str, Any], ...]
    stopped_because: str
    resumed: int

    @property
    def valid(self) -> dict[int, TrialRecord]:
        """The valid attempt of every trial that has one, by the trial's number."""
        return {record.trial: record for record in self.records if record.is_valid}

    @property
    def is_complete(self) -> bool:
        """Whether no more trial is to be run."""
        return bool(self.stopped_because) or len(self.valid) == len(self.plan.trials)


@dataclass(slots=True)
class _Progress:
    """What the events say so far."""

    attempts: dict[int, int] = field(default_factory=dict)
    open_trial: int | None = None
    records: list[TrialRecord] = field(default_factory=list)
    interrupted: list[Mapping[str, Any]] = field(default_factory=list)
    stopped_because: str = ""
    resumed: int = 0

    def take(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self.attempts[event["trial"]] = event["attempt"]
                self.open_trial = event["trial"]
            case "end":
                record = TrialRecord.from_json({key: value for key, value in event.items() if key != "event"})
                self.records.append(record)
                self.open_trial = None
            case "interrupted":
                self.interrupted.append(event)
                self.open_trial = None
            case "resumed":
                self.resumed += 1
            case "stopped":
                self.stopped_because = event["reason"]


class StudyRun:
    """Hands out trials one by one and writes down what became of them, so that a crash costs one attempt at most."""

    def __init__(self, folder: Path, study: Study, plan: TrialPlan, key: PolicyKey, journal: Journal) -> None:
        """Wrap an open journal; use `begin_run` or `resume_run`."""
        self.folder, self.study, self.plan, self.key = folder, study, plan, key
        self._journal = journal
        self._progress = _Progress()
        for event in journal.events:
            self._progress.take(event)
        self._rule = StoppingRule(study.design.comparison, plan)
        for record in self._progress.records:
            self._rule.take(record)

    def __enter__(self) -> StudyRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()

    @property
    def valid_trials(self) -> frozenset[int]:
        """Numbers of the trials that have a valid result."""
        return frozenset(record.trial for record in self._progress.records if record.is_valid)

    @property
    def stopped_because(self) -> str:
        """Why the run ended before its plan did; empty if it did not."""
        return self._progress.stopped_because

    def next_trial(self) -> PlannedTrial | None:
        """Return the first trial without a valid result, None when all have one or the design says stop.

        Raises:
            ConfigError: If a trial was invalid as often as the protocol allows.
        """
        if self._rule.reason and not self._progress.stopped_because:  # a crash came before it was written down
            self._append("stopped", {"reason": self._rule.reason})
        if self._progress.stopped_because:
            return None
        valid = self.valid_trials
        trial = next((trial for trial in self.plan.trials if trial.number not in valid), None)
        if trial is None:
            return None
        spoiled = [r.invalid_because for r in self._progress.records if r.trial == trial.number]
        if len(spoiled) >= self.study.design.most_attempts:
            raise ConfigError(
                f"trial {trial.number} was invalid {len(spoiled)} times ('most_attempts' of the protocol), "
                f"the last time because: {spoiled[-1]}; repair that, then begin a new run"
            )
        return trial

    def start(self, trial: PlannedTrial, values: Event) -> int:
        """Write down that an attempt begins; return its number, from 1."""
        attempt = self._progress.attempts.get(trial.number, 0) + 1
        self._append("start", {"trial": trial.number, "attempt": attempt, "policy": trial.policy, **values})
        return attempt

    def finish(self, record: TrialRecord) -> None:
        """Write down what became of an attempt; afterwards nothing of it can be lost.

        Raises:
            RecordingError: If the record contradicts itself or is not that of the open attempt.
        """
        problems = record.problems()
        expected = (self._progress.open_trial, self._progress.attempts.get(record.trial))
        if (record.trial, record.attempt) != expected:
            problems.append(f"it is attempt {record.attempt} at trial {record.trial}; expected {expected}")
        if problems:
            raise RecordingError(join_problems(f"record of trial {record.trial}", problems))
        self._append("end", record.to_json())
        self._rule.take(record)
        if reason := self._rule.reason:
            self._append("stopped", {"reason": reason})

    def note(self, event: str, values: Event) -> None:
        """Write down something else, e.g. who is at the robot."""
        self._append(event, values)

    def close_interrupted(self) -> PlannedTrial | None:
        """Write down that the attempt that was running when the last process ended did not count; return its trial."""
        number = self._progress.open_trial
        if number is None:
            return None
        attempt = self._progress.attempts[number]
        self._append("interrupted", {"trial": number, "attempt": attempt})
        return self.plan.trial(number)

    def _append(self, event: str, values: Event) -> None:
        self._progress.take(self._journal.append(event, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What a run is to be: the protocol's text, policies' names, seed, how trials are run ("live", "fast", "real").

    `salt` is random text for the sealed key's fingerprint; `scene_seeds` as for `make_plan`.
    """

    protocol: str
    name: str
    policies: tuple[str, ...]
    seed: int
    mode: str
    salt: str
    scene_seeds: SeedSource | None = None


def begin_run(folder: Path, order: RunOrder) -> StudyRun:
    """Write plan, key and protocol into a folder and begin its journal.

    Args:
        folder: New, or without a run.
        order: What is to be run.

    Raises:
        ConfigError: If the folder holds a run already.
    """
    if (folder / JOURNAL).exists() and read_journal(folder / JOURNAL):
        raise ConfigError(f"{folder} holds a run already; add --resume to go on with it, or choose another --out")
    study = parse_study(order.protocol, order.name)
    if study.design.comparison.method == "e_process" and len(order.policies) != 2:
        raise ConfigError(f"method 'e_process' compares two policies; got {list(order.policies)}")
    key = draw_key(order.policies, order.seed, order.salt, is_blind=study.design.is_blind)
    plan = make_plan(study, key.labels, order.seed, order.scene_seeds)
    write_durably(folder / PROTOCOL, order.protocol)
    write_durably(folder / PLAN, json.dumps(plan.to_json(), indent=1, ensure_ascii=False) + "\n")
    write_key(key, folder / KEY)
    journal = Journal(folder / JOURNAL)
    values = {
        "study": study.name,
        "digest": study.digest,
        "seed": order.seed,
        "mode": order.mode,
        "labels": list(key.labels),
    }
    journal.append("begun", {**values, "trials": len(plan.trials), "key": key.fingerprint})
    return StudyRun(folder, study, plan, key, journal)


def resume_run(folder: Path, check: Callable[[StudyData], None] = lambda data: None) -> StudyRun:
    """Go on with a run at the very trial at which it ended.

    Args:
        folder: The run's.
        check: Raises if the run must not be resumed.

    Raises:
        RecordingError: If plan, key or journal are missing, broken or do not belong together.
    """
    data = read_run(folder)
    check(data)
    run = StudyRun(folder, data.study, data.plan, data.key, Journal(folder / JOURNAL))
    interrupted = run.close_interrupted()
    if not data.is_complete:
        run.note("resumed", {"at_trial": interrupted.number if interrupted else len(run.valid_trials) + 1})
    return run


def read_run(folder: Path) -> StudyData:
    """Read a run's folder.

    Raises:
        RecordingError: If plan, key or journal are missing, broken or do not belong together.
    """
    events = read_journal(folder / JOURNAL)
    if not events or events[0]["event"] != "begun":
        raise RecordingError(
            f"journal {folder / JOURNAL} does not begin with what the run is; remove it and begin anew"
        )
    begun = events[0]
    try:
        plan = TrialPlan.from_json(json.loads((folder / PLAN).read_text(encoding="utf-8")))
        study = parse_study((folder / PROTOCOL).read_text(encoding="utf-8"), begun["study"])
    except (OSError, ValueError) as error:
        raise RecordingError(f"run {folder} can not be read: {error}") from error
    if not study.digest == plan.digest == begun["digest"]:
        raise RecordingError(f"run {folder}: protocol, plan and journal do not belong together; a file was changed")
    progress = _Progress()
    for event in events:
        progress.take(event)
    return StudyData(
        folder=folder,
        study=study,
        plan=plan,
        key=read_key(folder / KEY, begun["key"]),
        mode=begun["mode"],
        records=tuple(progress.records),
        interrupted=tuple(progress.interrupted),
        stopped_because=progress.stopped_because,
        resumed=progress.resumed,
    )
