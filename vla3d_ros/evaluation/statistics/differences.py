"""Two rates from independent trials: how far apart, how sure, and could it be chance.

`statsmodels` (up to 0.15.0) computes the score interval of a difference with a count in the place of a number of trials
(its issue 10269), so the Miettinen-Nurminen interval is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import optimize, stats

from vla3d_ros.evaluation.statistics.proportions import Z_95, check_counts, wilson_interval

Test = Literal["fisher", "barnard", "boschloo"]

_EDGE = 1e-9


def newcombe_interval(x1: int, n1: int, x2: int, n2: int) -> tuple[float, float]:
    """Return Newcombe's hybrid score interval (his method 10) of p1 - p2, 95 %.

    Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890.
    """
    first, second = wilson_interval(x1, n1), wilson_interval(x2, n2)
    difference = first.rate - second.rate
    low = difference - math.hypot(first.rate - first.low, second.high - second.rate)
    high = difference + math.hypot(first.high - first.rate, second.rate - second.low)
    return max(-1.0, low), min(1.0, high)


def miettinen_nurminen_interval(x1: int, n1: int, x2: int, n2: int) -> tuple[float, float]:
    """Return the score interval of p1 - p2, 95 %: all differences that the score test does not reject.

    Source: O. Miettinen, M. Nurminen, Statistics in Medicine 4 (1985) 213-226.
    """
    check_counts(x1, n1)
    check_counts(x2, n2)
    observed = x1 / n1 - x2 / n2

    def excess(difference: float) -> float:
        return _score(x1, n1, x2, n2, difference) - Z_95

    return (
        -1.0 if observed <= -1.0 else _root(excess, -1.0 + _EDGE, observed),
        1.0 if observed >= 1.0 else _root(excess, 1.0 - _EDGE, observed),
    )


def unpaired_p_value(x1: int, n1: int, x2: int, n2: int, *, test: Test = "boschloo") -> float:
    """Return the two-sided p-value of "both rates are equal" for independent trials.

    Args:
        x1: Successes of the first.
        n1: Trials of the first.
        x2: Successes of the second.
        n2: Trials of the second.
        test: Boschloo's test finds whatever Fisher's finds, and more; Fisher's is what most papers report.
    """
    check_counts(x1, n1)
    check_counts(x2, n2)
    table = [[x1, x2], [n1 - x1, n2 - x2]]  # columns are the samples
    if x1 + x2 in (0, n1 + n2):
        return 1.0
    if test == "fisher":
        return float(stats.fisher_exact(table).pvalue)
    if test == "barnard":
        return float(stats.barnard_exact(table, pooled=True, n=32).pvalue)
    return min(1.0, float(stats.boschloo_exact(table, n=32).pvalue))


def _score(x1: int, n1: int, x2: int, n2: int, difference: float) -> float:
    """Absolute score statistic of p1 - p2 = difference."""
    q1, q2 = _restricted_rates(x1, n1, x2, n2, difference)
    total = n1 + n2
    variance = (q1 * (1 - q1) / n1 + q2 * (1 - q2) / n2) * total / (total - 1)
    distance = abs(x1 / n1 - x2 / n2 - difference)
    return distance / math.sqrt(variance) if variance > 0 else (0.0 if distance < _EDGE else math.inf)


def _restricted_rates(x1: int, n1: int, x2: int, n2: int, difference: float) -> tuple[float, float]:
    """Most likely rates among those that differ by `difference`: a root of the likelihood's cubic."""
    total, x = n1 + n2, x1 + x2
    cubic = (
        total,
        (n1 + 2 * n2) * difference - total - x,
        (n2 * difference - total - 2 * x2) * difference + x,
        x2 * difference * (1 - difference),
    )
    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)
    roots = [float(root.real) for root in np.roots(cubic) if abs(root.imag) < 1e-6]
    candidates = [min(high, max(low, root)) for root in roots] or [low, high]
    best = max(candidates, key=lambda q2: _log_likelihood(x1, n1, q2 + difference) + _log_likelihood(x2, n2, q2))
    return min(1.0, max(0.0, best + difference)), best


def _log_likelihood(x: int, n: int, q: float) -> float:
    q = min(1.0 - 1e-15, max(1e-15, q))
    return x * math.log(q) + (n - x) * math.log(1.0 - q)


def _root(excess: Callable[[float], float], edge: float, observed: float) -> float:
    """Where the score test begins to reject, between the observed difference and the edge."""
    if excess(edge) <= 0.0:
        return math.copysign(1.0, edge)
    return float(optimize.brentq(excess, observed, edge, xtol=1e-10))
