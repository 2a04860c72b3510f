"""Evidence one may look at after every trial: e-values, which stay honest however often and whenever one stops.

Under "no difference" an e-process exceeds 1/alpha at any time with probability at most alpha (Ville's inequality), so a
comparison may stop as soon as it does. Method, alpha and the most pairs are fixed before the first trial.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


class EProcess(Protocol):
    """Evidence that grows pair by pair."""

    @property
    def e_value(self) -> float:
        """Evidence against "no difference" so far; 1 = none."""
        ...

    @property
    def p_value(self) -> float:
        """An anytime-valid p-value."""
        ...

    def update(self, first: bool, second: bool) -> float:
        """Take the outcomes of one pair, return the evidence."""
        ...


@dataclass(slots=True)
class _OneSided:
    """Evidence that the second rate is higher than the first, from pairs of independent outcomes.

    Source: R. Turner, P. Gruenwald, Exact anytime-valid confidence intervals for contingency tables and beyond (2023),
    with Beta(1, 2) and Beta(2, 1) priors of the two rates.
    """

    first: tuple[float, float] = (1.0, 2.0)
    second: tuple[float, float] = (2.0, 1.0)
    e_value: float = 1.0

    def update(self, first: bool, second: bool) -> None:
        a = self.first[0] / sum(self.first)
        b = self.second[0] / sum(self.second)
        if a < b:
            middle = (a + b) / 2
            alternative = (a if first else 1 - a) * (b if second else 1 - b)
            null = (middle if first else 1 - middle) * (middle if second else 1 - middle)
            self.e_value *= alternative / null
        self.first = (self.first[0] + first, self.first[1] + (not first))
        self.second = (self.second[0] + second, self.second[1] + (not second))


class TwoArmEProcess:
    """Pairs of independent trials, one of each policy; two-sided: the mean of the evidence for either direction."""

    def __init__(self) -> None:
        self._second_better, self._first_better = _OneSided(), _OneSided()
        self._largest = 1.0

    @property
    def e_value(self) -> float:
        """Evidence against equal rates."""
        return (self._second_better.e_value + self._first_better.e_value) / 2

    @property
    def e_second_better(self) -> float:
        """Evidence against "the second is not better", one-sided."""
        return self._second_better.e_value

    @property
    def p_value(self) -> float:
        """One over the largest evidence so far."""
        return min(1.0, 1.0 / self._largest)

    def update(self, first: bool, second: bool) -> float:
        """Take one outcome of each policy, return the evidence."""
        self._second_better.update(first, second)
        self._first_better.update(second, first)
        self._largest = max(self._largest, self.e_value)
        return self.e_value


class DiscordantEProcess:
    """Pairs on the same condition: evidence that, where they differ, one wins more often than by a coin's toss.

    The mixture over all shares, uniform in [0, 1], against one half: 2^(b + c) B(b + 1, c + 1).
    """

    def __init__(self) -> None:
        self.first_only = 0
        self.second_only = 0
        self._largest = 1.0

    @property
    def e_value(self) -> float:
        """Evidence against equal rates, two-sided."""
        return discordant_e_value(self.first_only, self.second_only)

    @property
    def p_value(self) -> float:
        """One over the largest evidence so far."""
        return min(1.0, 1.0 / self._largest)

    def update(self, first: bool, second: bool) -> float:
        """Take the outcomes of both policies on one condition, return the evidence."""
        self.first_only += first and not second
        self.second_only += second and not first
        self._largest = max(self._largest, self.e_value)
        return self.e_value


def discordant_e_value(first_only: int, second_only: int) -> float:
    """Return the two-sided evidence of discordant pairs."""
    log_e = (first_only + second_only) * math.log(2.0) + float(special.betaln(first_only + 1, second_only + 1))
    return math.exp(log_e)


def discordant_e_value_one_sided(first_only: int, second_only: int) -> float:
    """Return the evidence that the first wins more than half of the discordant pairs."""
    upper = 1.0 - float(special.betainc(first_only + 1, second_only + 1, 0.5))
    return 2.0 * discordant_e_value(first_only, second_only) * upper


def simulate_two_arm(rates: tuple[float, float], pairs: int, runs: int, generator: np.random.Generator) -> Float:
    """Run many imagined comparisons at once.

    Args:
        rates: True success rates.
        pairs: Pairs in each run.
        runs: How many.
        generator: Randomness.

    Returns:
        (runs, pairs) evidence of `TwoArmEProcess` after every pair.
    """
    first, second = (generator.random((runs, pairs)) < rate for rate in rates)
    return (_one_sided_paths(first, second) + _one_sided_paths(second, first)) / 2


def simulate_discordant(shares: tuple[float, float], pairs: int, runs: int, generator: np.random.Generator) -> Float:
    """Run many imagined paired comparisons at once.

    Args:
        shares: Probabilities that only the first, and that only the second succeeds.
        pairs: Pairs in each run.
        runs: How many.
        generator: Randomness.

    Returns:
        (runs, pairs) evidence of `DiscordantEProcess` after every pair.
    """
    draw = generator.random((runs, pairs))
    b = np.cumsum(draw < shares[0], axis=1)
    c = np.cumsum((draw >= shares[0]) & (draw < sum(shares)), axis=1)
    paths: Float = np.exp((b + c) * math.log(2.0) + special.betaln(b + 1, c + 1))
    return paths


def _one_sided_paths(first: Bool, second: Bool) -> Float:
    seen = np.arange(first.shape[1])
    a = (1.0 + np.cumsum(first, axis=1) - first) / (3.0 + seen)
    b = (2.0 + np.cumsum(second, axis=1) - second) / (3.0 + seen)
    middle = (a + b) / 2
    alternative = np.where(first, a, 1 - a) * np.where(second, b, 1 - b)
    null = np.where(first, middle, 1 - middle) * np.where(second, middle, 1 - middle)
    paths: Float = np.exp(np.cumsum(np.where(a < b, np.log(alternative / null), 0.0), axis=1))
    return paths
