"""From a protocol to the list of its trials, in their order, with blinded policies; the same seed, the same list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any

import numpy as np

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.evaluation.study import Order, Setting, Study, StudyObject, Task

SeedSource = Callable[[str, int], Iterator[int]]
"""Seeds of scenes: called with an object's name (empty = any) and the plan's seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What all policies are put through alike. `environment` is what the scheduled changes have come to."""

    number: int
    task: str
    setting: str
    category: str
    object: str
    repeat: int
    seed: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """One trial. `policy` is its blinded label; `changes` is what to change around the robot before it."""

    number: int
    policy: str
    condition: Condition
    changes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """All trials in order. `digest` is that of the protocol's text."""

    study: str
    digest: str
    seed: int
    labels: tuple[str, ...]
    trials: tuple[PlannedTrial, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrialPlan:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: If fields are unknown or missing.
        """
        try:
            trials = tuple(
                PlannedTrial(**{**trial, "condition": Condition(**trial["condition"])}) for trial in values["trials"]
            )
            return cls(**{**values, "labels": tuple(values["labels"]), "trials": trials})
        except (KeyError, TypeError) as error:
            known = [field.name for field in fields(cls)]
            raise RecordingError(
                f"plan of fields {sorted(values)} can not be read: {error}; expected {known}"
            ) from error

    def trial(self, number: int) -> PlannedTrial:
        """Return a trial by its number, from 1."""
        return self.trials[number - 1]


def make_plan(study: Study, labels: Sequence[str], seed: int, scene_seeds: SeedSource | None = None) -> TrialPlan:
    """Expand a protocol.

    What `design.keep_together` names stays in one stretch, stretches and conditions are shuffled, and policies take
    turns: *interleaved*: all on one condition, then all on the next, each first equally often; *balanced*: shuffled
    within blocks of conditions that every policy completes; *blocked*: one policy after the other within a stretch.

    Args:
        study: The protocol.
        labels: Blinded labels of the policies.
        seed: Of everything that is drawn.
        scene_seeds: Where scenes' seeds come from; by default they are drawn.

    Raises:
        ConfigError: If there are no labels, or labels repeat.
    """
    if not labels or len(set(labels)) != len(labels):
        raise ConfigError(f"policies {list(labels)}; expected at least one, each once")
    generator = np.random.default_rng([seed, 1])
    conditions = _conditions(study, seed, generator, scene_seeds or _drawn_seeds)
    turns = [turn for stretch in _stretches(study, conditions) for turn in _turns(study, stretch, labels, generator)]
    trials: list[PlannedTrial] = []
    around: dict[str, str] = {}
    for number, (condition, policy) in enumerate(turns, start=1):
        changes = {what: value for what, value in condition.environment.items() if around.get(what) != value}
        around |= changes
        trials.append(PlannedTrial(number=number, policy=policy, condition=condition, changes=changes))
    return TrialPlan(study=study.name, digest=study.digest, seed=seed, labels=tuple(labels), trials=tuple(trials))


def _conditions(study: Study, seed: int, generator: np.random.Generator, scene_seeds: SeedSource) -> list[Condition]:
    cells = [
        (setting, task, thing)
        for setting in study.settings
        for task in study.tasks
        if task.name in setting.tasks
        for thing in (study.objects if task.has_objects else (StudyObject(name="", category=""),))
    ]
    drawn = [(cell, repeat) for cell in cells for repeat in range(study.design.trials_per_cell)]
    shuffled = [drawn[index] for index in generator.permutation(len(drawn))]
    ranks = _stretch_ranks(study, generator)
    shuffled.sort(key=lambda entry: ranks[_stretch_key(study, entry[0][0].name, entry[0][1].name)])
    sources = {thing.name: scene_seeds(thing.name, seed) for _, _, thing in cells}
    environments = {setting.name: _environments(setting, generator) for setting in study.settings}
    return [
        _condition(number, cell, repeat, next(sources[cell[2].name]), next(environments[cell[0].name]))
        for number, (cell, repeat) in enumerate(shuffled, start=1)
    ]


def _condition(
    number: int, cell: tuple[Setting, Task, StudyObject], repeat: int, seed: int, environment: dict[str, str]
) -> Condition:
    setting, task, thing = cell
    return Condition(
        number=number,
        task=task.name,
        setting=setting.name,
        category=thing.category,
        object=thing.name,
        repeat=repeat,
        seed=seed,
        environment=environment,
    )


def _stretch_key(study: Study, setting: str, task: str) -> tuple[str, ...]:
    return tuple({"setting": setting, "task": task}[factor] for factor in study.design.keep_together)


def _stretch_ranks(study: Study, generator: np.random.Generator) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Draw the order of stretches: the first factor kept together changes slowest."""
    levels = {"setting": [s.name for s in study.settings], "task": [t.name for t in study.tasks]}
    rank = {
        factor: dict(zip(names, generator.permutation(len(names)).tolist(), strict=True))
        for factor, names in levels.items()
    }
    return {
        key: tuple(rank[factor][name] for factor, name in zip(study.design.keep_together, key, strict=True))
        for setting in levels["setting"]
        for task in levels["task"]
        for key in [_stretch_key(study, setting, task)]
    }


def _environments(setting: Setting, generator: np.random.Generator) -> Iterator[dict[str, str]]:
    """Yield what is around the robot for every condition of a setting: all values in turn, in a drawn order."""
    orders = {
        change.what: [change.values[i] for i in generator.permutation(len(change.values))] for change in setting.changes
    }
    index = 0
    while True:
        yield {
            change.what: orders[change.what][index // change.every_trials % len(change.values)]
            for change in setting.changes
        }
        index += 1


def _stretches(study: Study, conditions: Sequence[Condition]) -> list[list[Condition]]:
    return [list(group) for _, group in groupby(conditions, lambda c: _stretch_key(study, c.setting, c.task))]


def _turns(
    study: Study, conditions: Sequence[Condition], labels: Sequence[str], generator: np.random.Generator
) -> list[tuple[Condition, str]]:
    order = study.design.order
    if order is Order.BLOCKED:
        return [(c, labels[i]) for i in generator.permutation(len(labels)) for c in conditions]
    if order is Order.INTERLEAVED:
        turns = zip(conditions, _rotations(labels, generator), strict=False)
        return [(condition, label) for condition, turn in turns for label in turn]
    size = study.design.block_conditions
    blocks = [conditions[start : start + size] for start in range(0, len(conditions), size)]
    every = [[(condition, label) for condition in block for label in labels] for block in blocks]
    return [block[index] for block in every for index in generator.permutation(len(block))]


def _rotations(labels: Sequence[str], generator: np.random.Generator) -> Iterator[list[str]]:
    """Yield orders of the labels such that each comes at each place equally often, in a drawn sequence."""
    while True:
        base = [labels[index] for index in generator.permutation(len(labels))]
        for shift in range(len(base)):
            yield base[shift:] + base[:shift]


def _drawn_seeds(name: str, seed: int) -> Iterator[int]:
    generator = np.random.default_rng([seed, 2, *name.encode()])
    while True:
        yield int(generator.integers(2**31))
