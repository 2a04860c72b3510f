"""Which policy is better: every pair of policies, with effect, interval, p-values corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from vla3d_ros.evaluation.statistics.clustered import clustered_difference
from vla3d_ros.evaluation.statistics.differences import miettinen_nurminen_interval, newcombe_interval, unpaired_p_value
from vla3d_ros.evaluation.statistics.multiplicity import compact_letters, holm
from vla3d_ros.evaluation.statistics.paired import (
    PairedCounts,
    cochrans_q,
    count_pairs,
    mcnemar_p_value,
    tango_interval,
)
from vla3d_ros.evaluation.statistics.sequential import DiscordantEProcess
from vla3d_ros.evaluation.statistics.stratified import (
    Stratum,
    cochran_mantel_haenszel,
    stratified_difference,
    stratified_p_value,
)
from vla3d_ros.evaluation.statistics.survival import log_rank_p_value, success_times
from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults, object_counts, tally

_LEAST_PAIRS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyComparison:
    """Two policies: difference of success rates (first minus second) with its 95 % interval.

    Paired where every trial of both has a partner on the same scene: McNemar exact (and mid-p), Tango's interval.
    Otherwise, where both were tried in two or more of the same combinations of task, setting and object (`strata`), the
    exact stratified test with the Mantel-Haenszel difference; else Boschloo's test and the Miettinen-Nurminen interval.
    Fisher and Newcombe are given for readers who expect them. `by_object` is the difference's interval with objects as
    the sample, where each was tried repeatedly. `p_corrected` is Holm's over all pairs of policies. `e_value` is valid
    however often one has looked.
    """

    first: str
    second: str
    is_paired: bool
    pairs: PairedCounts | None
    strata: int
    difference: float
    low: float
    high: float
    by_object: tuple[float, float] | None
    test: str
    p_value: float
    p_corrected: float
    other_p_values: dict[str, float]
    newcombe: tuple[float, float] | None
    e_value: float | None
    log_rank_p: float

    def is_separated(self, alpha: float) -> bool:
        """Whether the two are told apart."""
        return self.p_corrected < alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """All pairs; letters by policy (sharing one = not told apart); Cochran's Q over all where they are paired."""

    pairs: tuple[PolicyComparison, ...]
    letters: dict[str, str]
    cochran: tuple[float, float] | None


def compare_policies(results: StudyResults) -> Comparisons:
    """Compare every pair of policies of a study."""
    drawn = [_compare(results, first, second) for first, second in combinations(results.policies, 2)]
    known = [pair for pair in drawn if pair is not None]
    corrected = holm([pair.p_value for pair in known]) if known else np.zeros(0)
    pairs = tuple(replace(pair, p_corrected=float(p)) for pair, p in zip(known, corrected, strict=True))
    rates = {policy: tally(results.of(policy)).whole.rate for policy in results.policies}
    ranked = sorted(results.policies, key=lambda policy: -rates[policy])
    letters = compact_letters(
        ranked, {(p.first, p.second): p.p_corrected for p in pairs}, alpha=results.study.design.comparison.alpha
    )
    return Comparisons(pairs=pairs, letters=letters if pairs else {}, cochran=_cochran(results))


def matched(first: Sequence[PooledTrial], second: Sequence[PooledTrial]) -> list[tuple[PooledTrial, PooledTrial]]:
    """Return the trials of two policies (or modes) on the same scenes, in the order of the first."""
    partners = {trial.match: trial for trial in second}
    return [(trial, partners[trial.match]) for trial in first if trial.match in partners]


def _compare(results: StudyResults, first: str, second: str) -> PolicyComparison | None:
    ours, theirs = results.of(first), results.of(second)
    if not ours or not theirs:
        return None
    pairs = matched(ours, theirs)
    is_paired = len(pairs) >= _LEAST_PAIRS and 2 * len(pairs) >= max(len(ours), len(theirs))
    log_rank_p = log_rank_p_value(_times(results, ours), _times(results, theirs))
    if is_paired:
        return replace(_paired(first, second, pairs, log_rank_p), by_object=_by_object(ours, theirs))
    return _unpaired(first, second, (ours, theirs), log_rank_p)


def _unpaired(
    first: str, second: str, trials: tuple[Sequence[PooledTrial], Sequence[PooledTrial]], log_rank_p: float
) -> PolicyComparison:
    ours, theirs = trials
    x1, n1, x2, n2 = _successes(ours), len(ours), _successes(theirs), len(theirs)
    difference, (low, high) = x1 / n1 - x2 / n2, miettinen_nurminen_interval(x1, n1, x2, n2)
    test, p_value = "Boschloo", unpaired_p_value(x1, n1, x2, n2)
    others = {
        "Fisher": unpaired_p_value(x1, n1, x2, n2, test="fisher"),
        "Barnard": unpaired_p_value(x1, n1, x2, n2, test="barnard"),
    }
    strata = _strata(ours, theirs)
    if strata:
        others = {"Boschloo, not stratified": p_value, "Cochran-Mantel-Haenszel": cochran_mantel_haenszel(strata)[1]}
        test, p_value = "stratified, exact", stratified_p_value(strata)
        difference, low, high = stratified_difference(strata)
    return PolicyComparison(
        first=first,
        second=second,
        is_paired=False,
        pairs=None,
        strata=len(strata),
        difference=difference,
        low=low,
        high=high,
        by_object=_by_object(ours, theirs),
        test=test,
        p_value=p_value,
        p_corrected=p_value,
        other_p_values=others,
        newcombe=newcombe_interval(x1, n1, x2, n2),
        e_value=None,
        log_rank_p=log_rank_p,
    )


def _strata(ours: Sequence[PooledTrial], theirs: Sequence[PooledTrial]) -> list[Stratum]:
    """Return the counts in every combination of task, setting and object; empty unless two share trials of both."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for side, trials in enumerate((ours, theirs)):
        for trial in trials:
            counts = found.setdefault(trial.match[:3], [0, 0, 0, 0])
            counts[2 * side] += trial.record.is_success
            counts[2 * side + 1] += 1
    strata = [Stratum(*counts) for counts in found.values() if counts[1] and counts[3]]
    return strata if len(strata) > 1 else []


def _by_object(ours: Sequence[PooledTrial], theirs: Sequence[PooledTrial]) -> tuple[float, float] | None:
    """Return the interval of the difference with objects as the sample, if both tried the same ones repeatedly."""
    first, second = object_counts(ours), object_counts(theirs)
    if not first or set(first) != set(second):
        return None
    both = [np.array([counts[name] for name in first]) for counts in (first, second)]
    return clustered_difference(
        (both[0][:, 0], both[0][:, 1]), (both[1][:, 0], both[1][:, 1]), np.random.default_rng(0)
    )


def _paired(
    first: str, second: str, pairs: Sequence[tuple[PooledTrial, PooledTrial]], log_rank_p: float
) -> PolicyComparison:
    outcomes = np.array([[a.record.is_success, b.record.is_success] for a, b in pairs], dtype=np.bool_)
    counts = count_pairs(outcomes[:, 0], outcomes[:, 1])
    low, high = tango_interval(counts.first_only, counts.second_only, counts.pairs)
    p_value = mcnemar_p_value(counts.first_only, counts.second_only)
    evidence = DiscordantEProcess()
    for one, other in outcomes.tolist():
        evidence.update(one, other)
    return PolicyComparison(
        first=first,
        second=second,
        is_paired=True,
        pairs=counts,
        strata=0,
        difference=counts.difference,
        low=low,
        high=high,
        by_object=None,
        test="McNemar, exact",
        p_value=p_value,
        p_corrected=p_value,
        other_p_values={
            "McNemar, mid-p": mcnemar_p_value(counts.first_only, counts.second_only, is_mid_p=True),
            "any time": evidence.p_value,
        },
        newcombe=None,
        e_value=evidence.e_value,
        log_rank_p=log_rank_p,
    )


def _cochran(results: StudyResults) -> tuple[float, float] | None:
    """Cochran's Q over the scenes that every policy was tried on; only for three policies or more."""
    if len(results.policies) < 3:
        return None
    by_policy = [{trial.match: trial.record.is_success for trial in results.of(policy)} for policy in results.policies]
    common = sorted(set.intersection(*(set(outcomes) for outcomes in by_policy)))
    if len(common) < _LEAST_PAIRS:
        return None
    return cochrans_q(np.array([[outcomes[match] for outcomes in by_policy] for match in common], dtype=np.bool_))


def _times(results: StudyResults, trials: Sequence[PooledTrial]) -> tuple[list[float], list[bool]]:
    timeout_s = max(task.timeout_s for task in results.study.tasks)
    times, success = success_times(
        [trial.record.sim_s for trial in trials], [trial.record.is_success for trial in trials], timeout_s
    )
    return times.tolist(), success.tolist()


def _successes(trials: Sequence[PooledTrial]) -> int:
    return sum(trial.record.is_success for trial in trials)
