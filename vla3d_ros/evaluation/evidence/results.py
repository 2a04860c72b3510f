"""From trials to statements: rates, paired differences, whether a bar is met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vla3d_ros.evaluation.evidence.config import Advantage, Bar, EvidencePlan
from vla3d_ros.evaluation.evidence.store import Cell, CellRecord
from vla3d_ros.evaluation.evidence.trial import CellTrial
from vla3d_ros.evaluation.statistics import Proportion, percentile, wilson_interval
from vla3d_ros.evaluation.statistics.multiplicity import holm
from vla3d_ros.evaluation.statistics.paired import PairedCounts, count_pairs, mcnemar_p_value, tango_interval

MET, MISSED, OPEN = "met", "missed", "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """One cell: its successes with a Wilson interval, why trials failed, median seconds to success."""

    cell: Cell
    rate: Proportion
    failures: Mapping[str, int]
    success_time_s: float | None
    wall_s: float
    trials: tuple[CellTrial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """First variant minus second under one variation, over the scenes that both were tried on; fractions of 1.

    low, high: Tango's 95 % interval. p_value: McNemar, exact; p_corrected: Holm over every difference of the page.
    """

    first: str
    second: str
    variation: str
    pairs: PairedCounts
    low: float
    high: float
    p_value: float
    p_corrected: float

    @property
    def difference(self) -> float:
        """First rate minus second rate."""
        return self.pairs.difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether something asked for was found: `met`, `missed`, or `open` while trials are missing; and in words."""

    asked: str
    found: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that trials say. `cells` are those of the plan that have any trial."""

    plan: EvidencePlan
    cells: Mapping[Cell, CellResult]
    differences: tuple[Difference, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every cell of the plan has as many trials as it asks for."""
        return all(self.missing(cell) == 0 for cell in self.plan.cells())

    def missing(self, cell: Cell) -> int:
        """Return how many trials a cell lacks."""
        found = self.cells.get(cell)
        return max(0, self.plan.trials - (found.rate.trials if found else 0))


def evaluate(plan: EvidencePlan, records: Sequence[CellRecord]) -> Evidence:
    """Count trials, compare variants, judge bars.

    Args:
        plan: What was asked for; trials beyond its number are left out, cells that it does not name as well.
        records: What there is.
    """
    known = set(plan.cells())
    cells = {
        record.cell: _count(record.cell, [t for t in record.trials if t.trial < plan.trials])
        for record in records
        if record.cell in known
    }
    cells = {cell: found for cell, found in cells.items() if found.rate.trials}
    differences = _compare(plan, cells)
    verdicts = [_judge_bar(plan, bar, cells) for bar in plan.bars]
    verdicts += [_judge_advantage(plan, wanted, cells, differences) for wanted in plan.advantages]
    return Evidence(plan=plan, cells=cells, differences=differences, verdicts=tuple(verdicts))


def _count(cell: Cell, trials: Sequence[CellTrial]) -> CellResult:
    return CellResult(
        cell=cell,
        rate=wilson_interval(sum(trial.is_success for trial in trials), len(trials)),
        failures=dict(Counter(trial.failure for trial in trials if not trial.is_success)),
        success_time_s=percentile([trial.sim_s for trial in trials if trial.is_success], 50),
        wall_s=sum(trial.wall_s for trial in trials),
        trials=tuple(trials),
    )


def _compare(plan: EvidencePlan, cells: Mapping[Cell, CellResult]) -> tuple[Difference, ...]:
    drawn = [
        _difference(first, second, variation, cells)
        for first, second in plan.comparisons
        for variation in plan.variations
    ]
    found = [difference for difference in drawn if difference is not None]
    if not found:
        return ()
    corrected = holm([difference.p_value for difference in found])
    return tuple(replace(one, p_corrected=float(p)) for one, p in zip(found, corrected, strict=True))


def _difference(first: str, second: str, variation: str, cells: Mapping[Cell, CellResult]) -> Difference | None:
    """Compare over common scenes; None without any."""
    if (first, variation) not in cells or (second, variation) not in cells:
        return None
    ours = {trial.trial: trial.is_success for trial in cells[first, variation].trials}
    theirs = {trial.trial: trial.is_success for trial in cells[second, variation].trials}
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    counts = count_pairs(
        np.array([ours[trial] for trial in common], np.bool_), np.array([theirs[trial] for trial in common], np.bool_)
    )
    low, high = tango_interval(counts.first_only, counts.second_only, counts.pairs)
    p_value = mcnemar_p_value(counts.first_only, counts.second_only)
    return Difference(
        first=first,
        second=second,
        variation=variation,
        pairs=counts,
        low=low,
        high=high,
        p_value=p_value,
        p_corrected=p_value,
    )


def _judge_bar(plan: EvidencePlan, bar: Bar, cells: Mapping[Cell, CellResult]) -> Verdict:
    asked = f"{bar.variant}, {bar.variation}: at least {100 * bar.at_least:g} %"
    found = cells.get((bar.variant, bar.variation))
    if found is None or found.rate.trials < plan.trials:
        return Verdict(asked=asked, found=_so_far(plan, found), state=OPEN)
    rate = found.rate
    words = rate_words(rate)
    if rate.rate < bar.at_least:
        possible = "the interval includes it" if rate.high >= bar.at_least else "so is the whole interval"
        return Verdict(asked=asked, found=f"{words}: below, and {possible}", state=MISSED)
    sure = "the whole interval is above" if rate.low >= bar.at_least else "the interval's low end is below"
    return Verdict(asked=asked, found=f"{words}: reached; {sure}", state=MET)


def _judge_advantage(
    plan: EvidencePlan, wanted: Advantage, cells: Mapping[Cell, CellResult], differences: Sequence[Difference]
) -> Verdict:
    asked = f"{wanted.variant} - {wanted.over}, {wanted.variation}: at least {wanted.points:+g} points, intervals apart"
    ours, theirs = (cells.get((name, wanted.variation)) for name in (wanted.variant, wanted.over))
    lacking = [found for found in (ours, theirs) if found is None or found.rate.trials < plan.trials]
    if ours is None or theirs is None or lacking:
        return Verdict(asked=asked, found=_so_far(plan, lacking[0]), state=OPEN)
    found = _difference(wanted.variant, wanted.over, wanted.variation, cells)
    assert found is not None
    is_apart = ours.rate.low > theirs.rate.high
    corrected = [one.p_corrected for one in differences if _is_of(one, wanted)]
    p_text = f", p {corrected[0]:.2g} corrected" if corrected else ""
    words = (
        f"{100 * found.difference:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]{p_text}; "
        f"the two rates' intervals {'are apart' if is_apart else 'overlap'}"
    )
    is_met = is_apart and 100 * found.difference >= wanted.points
    return Verdict(asked=asked, found=words, state=MET if is_met else MISSED)


def _is_of(one: Difference, wanted: Advantage) -> bool:
    return (one.first, one.second, one.variation) == (wanted.variant, wanted.over, wanted.variation)


def _so_far(plan: EvidencePlan, found: CellResult | None) -> str:
    if found is None:
        return "no trial yet"
    return f"{found.rate.trials} of {plan.trials} trials so far: {rate_words(found.rate)}"


def rate_words(rate: Proportion) -> str:
    """Return a rate with its interval, per cent."""
    return f"{100 * rate.rate:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
