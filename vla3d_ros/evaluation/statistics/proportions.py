"""One success rate, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vla3d_ros.errors import ConfigError

Float = NDArray[np.float64]

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A success rate with its 95 % Wilson interval; all fractions of 1."""

    successes: int
    trials: int
    rate: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int) -> Proportion:
    """Estimate a success rate from few trials.

    Args:
        successes: How many succeeded.
        trials: How many there were; with none, nothing is known: the interval is [0, 1].

    Returns:
        The rate (0 without trials) and the interval that covers the true rate 19 times of 20.

    Raises:
        ConfigError: If more succeeded than there were.
    """
    check_counts(successes, trials)
    rate = successes / trials if trials else 0.0
    low, high = _wilson(rate, trials)
    return Proportion(successes=successes, trials=trials, rate=rate, low=low, high=high)


def share_interval(shares: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of shares from 0 to 1, one per trial, and a 95 % interval: Wilson's for the same mean.

    It is at least as wide as needed, because no shares between 0 and 1 spread more than outcomes of yes and no; and it
    stays honest where all shares are the same, of which a bootstrap makes an interval without width.

    Raises:
        ConfigError: If a share is not between 0 and 1.
    """
    if any(not 0.0 <= share <= 1.0 for share in shares):
        raise ConfigError(f"shares {list(shares)}; expected each from 0 to 1")
    mean = sum(shares) / len(shares) if shares else 0.0
    return (mean, *_wilson(mean, len(shares)))


def _wilson(rate: float, trials: int) -> tuple[float, float]:
    if trials == 0:
        return 0.0, 1.0
    denominator = 1.0 + Z_95**2 / trials
    centre = (rate + Z_95**2 / (2 * trials)) / denominator
    half = Z_95 * math.sqrt(rate * (1.0 - rate) / trials + Z_95**2 / (4 * trials**2)) / denominator
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def clopper_pearson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the exact, conservative 95 % interval of a rate.

    Raises:
        ConfigError: If more succeeded than there were.
    """
    check_counts(successes, trials)
    low = 0.0 if successes == 0 else float(stats.beta.ppf(0.025, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(0.975, successes + 1, trials - successes))
    return low, high


def most_failures_unseen(trials: int) -> float:
    """Return the failure rate that so many trials without any failure rule out (95 %, one-sided)."""
    return float(1.0 - 0.05 ** (1.0 / trials))


def probability_of_better(successes: tuple[int, int], trials: tuple[int, int]) -> float:
    """Return the posterior probability that the first rate is the higher one, from uniform priors.

    It describes the data at hand; as a stopping rule it does not bound the error.
    """
    (x1, x2), (n1, n2) = successes, trials
    p: Float = np.linspace(0.0, 1.0, 20_001)
    density = stats.beta.pdf(p, x1 + 1, n1 - x1 + 1) * stats.beta.cdf(p, x2 + 1, n2 - x2 + 1)
    return float(np.trapezoid(density, p)) if hasattr(np, "trapezoid") else float(np.sum(density) * (p[1] - p[0]))


def check_counts(successes: int, trials: int) -> None:
    """Refuse counts that can not be.

    Raises:
        ConfigError: If not 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ConfigError(f"{successes} successes of {trials} trials; expected 0 to {trials} successes")
