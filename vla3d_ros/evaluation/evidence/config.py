"""What is to be shown: variants, variations, how many trials, what is compared, which bars there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of the policies. `policy`: `scripted`, settings in config/policies, or a package's folder."""

    name: str
    title: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a variant has to reach under a variation: a success rate, as a fraction of 1."""

    variant: str
    variation: str
    at_least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantage:
    """By how many points (100 = all trials) a variant has to be better than another, with the intervals apart."""

    variant: str
    over: str
    variation: str
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialCheck:
    """Of which variant, on how many scenes of every variation, instances and completion are compared with the truth.

    `at_s`: seconds into a trial at which is looked. `seed`: of its scenes, apart from the trials' and the
    demonstrations'.
    """

    variant: str
    scenes: int
    seed: int
    at_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePlan:
    """Everything a settings file in `config/benchmarks` says.

    Trial number i takes place in the scene drawn from (`seed`, i) alone: the same scene for every variant, and the same
    objects in the same places under every variation that leaves them alone. `comparisons`: pairs of variants, the first
    minus the second; the first pair leads. `live`: folder of a run of `vla3d evaluate`, empty for none.
    """

    title: str
    deployment: str
    trials: int
    seed: int
    latency_ms: float
    nudge_share: float
    timeout_s: float
    variants: tuple[Variant, ...]
    variations: tuple[str, ...]
    comparisons: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    advantages: tuple[Advantage, ...]
    spatial: SpatialCheck
    live: str

    def variant(self, name: str) -> Variant:
        """Return a variant by name."""
        return next(variant for variant in self.variants if variant.name == name)

    def cells(self, variants: Sequence[str] = (), cells: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
        """Return (variant, variation) of a part of the plan; all where nothing is named.

        Args:
            variants: Names of variants.
            cells: `VARIANT/VARIATION`, or a variation alone for that of every variant.

        Raises:
            ConfigError: Lists every name that is not in the plan.
        """
        known = [variant.name for variant in self.variants]
        everything = [(variant, variation) for variant in known for variation in self.variations]
        words = {f"{variant}/{variation}" for variant, variation in everything} | set(self.variations)
        problems = [f"unknown variant '{name}'; expected one of {known}" for name in variants if name not in known]
        problems += [
            f"unknown cell '{cell}'; expected VARIANT/VARIATION or one of {list(self.variations)}"
            for cell in cells
            if cell not in words
        ]
        if problems:
            raise ConfigError(join_problems(f"plan '{self.title}'", problems))
        return tuple(
            (variant, variation)
            for variant, variation in everything
            if (not variants or variant in variants)
            and (not cells or variation in cells or f"{variant}/{variation}" in cells)
        )


def load_plan(path: Path) -> EvidencePlan:
    """Read a settings file.

    Raises:
        ConfigError: If there is none, or it is wrong; lists every problem.
    """
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"no plan {path}; available: {available}")
    return read_plan(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


def read_plan(content: Any, *, where: str) -> EvidencePlan:
    """Read a settings file's content.

    Raises:
        ConfigError: Lists every problem.
    """
    reader = ConfigReader(content, where="")
    numbers = {key: reader.number(key) for key in ("latency_ms", "nudge_share")}
    plan = EvidencePlan(
        title=reader.text("title"),
        deployment=reader.text("deployment"),
        trials=_whole(reader, "trials", 1),
        seed=_whole(reader, "seed", 0),
        timeout_s=reader.positive("timeout_s"),
        **numbers,
        variants=_variants(reader, content),
        variations=reader.names("variations"),
        comparisons=_comparisons(reader, content),
        bars=tuple(_bar(entry) for entry in _entries(reader, "bars")),
        advantages=tuple(_advantage(entry) for entry in _entries(reader, "advantages")),
        spatial=_spatial(reader.section("spatial")),
        live=reader.text("live") if reader.has("live") else "",
    )
    reader.finish(optional=("bars", "advantages", "live"))
    problems = [*reader.problems, *_contradictions(plan)]
    if problems:
        raise ConfigError(join_problems(f"plan {where}", problems))
    return plan


def _variants(reader: ConfigReader, content: Any) -> tuple[Variant, ...]:
    """The variants' names are the user's choice, so they are read from the raw mapping."""
    given = content.get("variants") if isinstance(content, dict) else None
    section = reader.section("variants")
    if not isinstance(given, dict):
        return ()
    found = []
    for name in map(str, given):
        entry = section.section(name)
        found.append(Variant(name=name, title=entry.text("title"), policy=entry.text("policy")))
        entry.finish()
    if not found:
        reader.problems.append("'variants' is empty; expected at least one name with its policy")
    section.finish()
    return tuple(found)


def _comparisons(reader: ConfigReader, content: Any) -> tuple[tuple[str, str], ...]:
    section = reader.section("comparisons")
    given = content.get("comparisons") if isinstance(content, dict) else None
    pairs = tuple((str(name), section.text(str(name))) for name in given) if isinstance(given, dict) else ()
    section.finish()
    return pairs


def _entries(reader: ConfigReader, key: str) -> tuple[ConfigReader, ...]:
    return reader.sections(key) if reader.has(key) else ()


def _bar(reader: ConfigReader) -> Bar:
    bar = Bar(variant=reader.text("variant"), variation=reader.text("variation"), at_least=reader.positive("at_least"))
    reader.finish()
    return bar


def _advantage(reader: ConfigReader) -> Advantage:
    names = {key: reader.text(key) for key in ("variant", "over", "variation")}
    advantage = Advantage(**names, points=reader.positive("points"))
    reader.finish()
    return advantage


def _spatial(reader: ConfigReader) -> SpatialCheck:
    check = SpatialCheck(
        variant=reader.text("variant"),
        scenes=_whole(reader, "scenes", 1),
        seed=_whole(reader, "seed", 0),
        at_s=tuple(sorted(float(value) for value in reader.numbers("at_s"))),
    )
    reader.finish()
    return check


def _whole(reader: ConfigReader, key: str, least: int) -> int:
    value = reader.number(key)
    if value % 1 or value < least:
        reader.problems.append(f"'{key}' is {value:g}; expected a whole number from {least} on")
        return least
    return int(value)


def _contradictions(plan: EvidencePlan) -> list[str]:
    """Names that are none of the plan's, and numbers out of their range."""
    variants, variations = [variant.name for variant in plan.variants], list(plan.variations)
    used = [("comparisons", name) for pair in plan.comparisons for name in pair]
    used += [("bars", bar.variant) for bar in plan.bars] + [("spatial", plan.spatial.variant)]
    used += [("advantages", name) for advantage in plan.advantages for name in (advantage.variant, advantage.over)]
    problems = [
        f"'{key}' names variant '{name}'; expected one of {variants}" for key, name in used if name not in variants
    ]
    places = [("bars", bar.variation) for bar in plan.bars]
    places += [("advantages", advantage.variation) for advantage in plan.advantages]
    problems += [
        f"'{key}' names variation '{name}'; expected one of {variations}"
        for key, name in places
        if name not in variations
    ]
    problems += [f"'bars' asks for {bar.at_least:g}; expected at most 1" for bar in plan.bars if bar.at_least > 1]
    problems += [f"'{name}' can not be a folder's name" for name in (*variants, *variations) if "/" in name]
    if not 0.0 <= plan.nudge_share <= 1.0:
        problems.append(f"'nudge_share' is {plan.nudge_share:g}; expected 0 to 1")
    if plan.latency_ms < 0.0:
        problems.append(f"'latency_ms' is {plan.latency_ms:g}; expected at least 0")
    if not plan.spatial.at_s or plan.spatial.at_s[0] < 0.0:
        problems.append(f"'spatial.at_s' is {list(plan.spatial.at_s)}; expected at least one number from 0 on")
    return problems
