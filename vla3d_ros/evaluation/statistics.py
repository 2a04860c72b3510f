"""Numbers that say how sure they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_Z_95 = 1.959963984540054


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
    """
    if trials == 0:
        return Proportion(successes=0, trials=0, rate=0.0, low=0.0, high=1.0)
    rate = successes / trials
    denominator = 1.0 + _Z_95**2 / trials
    centre = (rate + _Z_95**2 / (2 * trials)) / denominator
    half = _Z_95 * math.sqrt(rate * (1.0 - rate) / trials + _Z_95**2 / (4 * trials**2)) / denominator
    low, high = max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))
    return Proportion(successes=successes, trials=trials, rate=rate, low=low, high=high)


def percentile(values: ArrayLike, percent: float) -> float | None:
    """Return a percentile of the finite values, None if there are none."""
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    return float(np.percentile(finite, percent)) if finite.size else None
