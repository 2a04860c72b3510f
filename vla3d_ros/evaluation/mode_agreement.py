"""Does the fast batch say what the live graph says? The same policies on the same seeds, trial by trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla3d_ros.evaluation.statistics.paired import PairedCounts, count_pairs, mcnemar_p_value, tango_interval
from vla3d_ros.evaluation.statistics.percentiles import percentile
from vla3d_ros.evaluation.study_comparison import matched
from vla3d_ros.evaluation.study_results import StudyResults


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeAgreement:
    """One policy in two modes, e.g. live and fast: outcomes, difference of rates with its interval, times.

    `time_ratio` is the median over scenes on which both succeeded of the second's time over the first's.
    """

    policy: str
    modes: tuple[str, str]
    counts: PairedCounts
    low: float
    high: float
    p_value: float
    time_ratio: float | None

    @property
    def agreeing(self) -> int:
        """Scenes with the same outcome."""
        return self.counts.both + self.counts.neither


def mode_agreements(results: StudyResults) -> list[ModeAgreement]:
    """Compare the main mode with every other one, policy by policy, on the scenes that both ran."""
    found = []
    main = results.runs[0].mode
    for mode in dict.fromkeys(trial.data.mode for trial in results.others):
        for policy in results.policies:
            others = [trial for trial in results.others if trial.policy == policy and trial.data.mode == mode]
            pairs = matched(results.of(policy), others)
            if not pairs:
                continue
            outcomes = np.array([[a.record.is_success, b.record.is_success] for a, b in pairs], dtype=np.bool_)
            counts = count_pairs(outcomes[:, 0], outcomes[:, 1])
            ratios = [b.record.sim_s / a.record.sim_s for a, b in pairs if a.record.is_success and b.record.is_success]
            low, high = tango_interval(counts.first_only, counts.second_only, counts.pairs)
            found.append(
                ModeAgreement(
                    policy=policy,
                    modes=(main, mode),
                    counts=counts,
                    low=low,
                    high=high,
                    p_value=mcnemar_p_value(counts.first_only, counts.second_only),
                    time_ratio=percentile(ratios, 50),
                )
            )
    return found
