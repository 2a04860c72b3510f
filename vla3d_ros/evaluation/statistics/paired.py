"""Two or more policies on the same conditions: only conditions on which they differ say which is better."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.proportions import Z_95

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCounts:
    """Pairs by who succeeded: `first_only` and `second_only` are the discordant ones."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.both + self.first_only + self.second_only + self.neither

    @property
    def difference(self) -> float:
        """First rate minus second rate; 0 without pairs."""
        return (self.first_only - self.second_only) / self.pairs if self.pairs else 0.0


def count_pairs(first: Bool, second: Bool) -> PairedCounts:
    """Count pairs of outcomes, (N,) bool each.

    Raises:
        ConfigError: If the lengths differ.
    """
    if first.shape != second.shape:
        raise ConfigError(f"{first.shape} outcomes against {second.shape}; expected one of each per condition")
    return PairedCounts(
        both=int((first & second).sum()),
        first_only=int((first & ~second).sum()),
        second_only=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
    )


def mcnemar_p_value(first_only: int, second_only: int, *, is_mid_p: bool = False) -> float:
    """Return McNemar's exact two-sided p-value, or its mid-p, from the discordant pairs.

    The mid-p subtracts the probability of what was seen: less conservative, its error slightly above the nominal one.
    """
    discordant = first_only + second_only
    if discordant == 0:
        return 1.0
    exact = min(1.0, 2.0 * float(stats.binom.cdf(min(first_only, second_only), discordant, 0.5)))
    if not is_mid_p:
        return exact
    tail = 2.0 * float(stats.binom.cdf(min(first_only, second_only), discordant, 0.5))
    return min(1.0, tail - float(stats.binom.pmf(min(first_only, second_only), discordant, 0.5)))


def tango_interval(first_only: int, second_only: int, pairs: int) -> tuple[float, float]:
    """Return the score interval of the difference of two paired rates, 95 %.

    Source: T. Tango, Statistics in Medicine 17 (1998) 891-908.

    Raises:
        ConfigError: If there are no pairs, or fewer than the discordant ones.
    """
    if not 0 < pairs >= first_only + second_only:
        raise ConfigError(f"{first_only} + {second_only} discordant of {pairs} pairs; expected at least as many pairs")
    observed = (first_only - second_only) / pairs

    def score(difference: float) -> float:
        linear = -first_only - second_only + (2 * pairs - first_only + second_only) * difference
        constant = -second_only * difference * (1 - difference)
        q21 = (math.sqrt(max(0.0, linear**2 - 8 * pairs * constant)) - linear) / (4 * pairs)
        variance = pairs * (2 * q21 + difference * (1 - difference))
        distance = first_only - second_only - pairs * difference
        if abs(distance) < 1e-9:
            return 0.0
        return distance / math.sqrt(variance) if variance > 1e-15 else math.copysign(math.inf, distance)

    edge = 1.0 - 1e-9
    low, high = -1.0, 1.0
    if observed > -1.0 and score(-edge) >= Z_95:
        low = float(optimize.brentq(lambda d: score(d) - Z_95, -edge, observed))
    if observed < 1.0 and score(edge) <= -Z_95:
        high = float(optimize.brentq(lambda d: score(d) + Z_95, observed, edge))
    return low, high


def cochrans_q(outcomes: Bool) -> tuple[float, float]:
    """Test whether several policies succeed equally often on the same conditions.

    Args:
        outcomes: (conditions, policies) bool.

    Returns:
        Cochran's Q and its p-value (chi-squared with policies - 1 degrees of freedom); 0 and 1 where none differ.
    """
    table = outcomes.astype(np.float64)
    k = table.shape[1]
    columns, rows = table.sum(axis=0), table.sum(axis=1)
    spread = float((rows * (k - rows)).sum())
    if spread == 0.0:
        return 0.0, 1.0
    q = k * (k - 1) * float(((columns - columns.mean()) ** 2).sum()) / spread
    return q, float(stats.chi2.sf(q, k - 1))
