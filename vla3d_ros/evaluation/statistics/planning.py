"""How many trials a question needs, before the first one is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.differences import Test, unpaired_p_value
from vla3d_ros.evaluation.statistics.sequential import simulate_discordant, simulate_two_arm


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialPlan:
    """What a comparison that may stop after every pair takes: pairs until it stops, cut at the most allowed."""

    most_pairs: int
    power: float
    mean_pairs: float
    median_pairs: float


def trials_per_arm(p1: float, p2: float, *, alpha: float = 0.05, power: float = 0.8, corrected: bool = False) -> float:
    """Return how many independent trials of each policy tell two rates apart; round up.

    Args:
        p1: One true rate.
        p2: The other.
        alpha: Two-sided error.
        power: Chance to find the difference.
        corrected: With Fleiss' continuity correction, which fits exact tests better.

    Raises:
        ConfigError: If the rates are equal or not in [0, 1].
    """
    _check_rates(p1, p2)
    z_a, z_b = float(stats.norm.isf(alpha / 2)), float(stats.norm.ppf(power))
    pooled = (p1 + p2) / 2
    spread = z_a * math.sqrt(2 * pooled * (1 - pooled)) + z_b * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    n = spread**2 / (p1 - p2) ** 2
    return n if not corrected else n / 4 * (1 + math.sqrt(1 + 4 / (n * abs(p1 - p2)))) ** 2


def pairs_needed(first_only: float, second_only: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return how many pairs on the same conditions tell two policies apart; round up.

    Args:
        first_only: Share of conditions on which only the first succeeds.
        second_only: Share on which only the second does.
        alpha: Two-sided error.
        power: Chance to find the difference.

    Raises:
        ConfigError: If the shares are equal, negative or more than all.
    """
    if first_only == second_only or min(first_only, second_only) < 0 or first_only + second_only > 1:
        raise ConfigError(
            f"shares of discordant pairs {first_only}, {second_only}; expected different, at most 1 in sum"
        )
    z_a, z_b = float(stats.norm.isf(alpha / 2)), float(stats.norm.ppf(power))
    discordant, difference = first_only + second_only, first_only - second_only
    spread = z_a * math.sqrt(discordant) + z_b * math.sqrt(discordant - difference**2)
    return spread**2 / difference**2


def exact_power(p1: float, p2: float, trials: int, *, test: Test = "boschloo", alpha: float = 0.05) -> float:
    """Return the chance that so many trials per policy find a difference, summed over all outcomes.

    Raises:
        ConfigError: If a rate is not in [0, 1].
    """
    _check_rates(p1, p2)
    counts = np.arange(trials + 1)
    weight = np.outer(stats.binom.pmf(counts, trials, p1), stats.binom.pmf(counts, trials, p2))
    power = 0.0
    for x1, x2 in np.argwhere(weight > 1e-7):
        if unpaired_p_value(int(x1), trials, int(x2), trials, test=test) <= alpha:
            power += float(weight[x1, x2])
    return power


def sequential_plan(
    p1: float, p2: float, *, most_pairs: int, generator: np.random.Generator, alpha: float = 0.05, runs: int = 4000
) -> SequentialPlan:
    """Simulate comparisons of independent pairs that stop when the evidence reaches 1/alpha."""
    return _stopping(simulate_two_arm((p1, p2), most_pairs, runs, generator) >= 1 / alpha)


def sequential_paired_plan(
    first_only: float,
    second_only: float,
    *,
    most_pairs: int,
    generator: np.random.Generator,
    alpha: float = 0.05,
    runs: int = 4000,
) -> SequentialPlan:
    """Simulate comparisons on the same conditions that stop when the evidence reaches 1/alpha."""
    return _stopping(simulate_discordant((first_only, second_only), most_pairs, runs, generator) >= 1 / alpha)


def _stopping(is_over: np.ndarray) -> SequentialPlan:
    most_pairs = is_over.shape[1]
    found = is_over.any(axis=1)
    pairs = np.where(found, is_over.argmax(axis=1) + 1, most_pairs)
    return SequentialPlan(
        most_pairs=most_pairs,
        power=float(found.mean()),
        mean_pairs=float(pairs.mean()),
        median_pairs=float(np.median(pairs)),
    )


def _check_rates(p1: float, p2: float) -> None:
    if not (0 <= p1 <= 1 and 0 <= p2 <= 1) or p1 == p2:
        raise ConfigError(f"success rates {p1} and {p2}; expected two different fractions from 0 to 1")
