"""Time to success. A trial that failed is not missing: it had not succeeded by then, nor until the timeout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from vla3d_ros.evaluation.statistics.proportions import Z_95

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SurvivalCurve:
    """Share not yet successful: after `times_s[i]` it is `survival[i]`, with a 95 % band; all (N,), times ascending."""

    times_s: Float
    survival: Float
    low: Float
    high: Float

    def at(self, time_s: float) -> float:
        """Return the share that had not succeeded by then."""
        index = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return 1.0 if index < 0 else float(self.survival[index])

    @property
    def median_s(self) -> float | None:
        """When half had succeeded; None if that never came."""
        below = np.flatnonzero(self.survival <= 0.5)
        return float(self.times_s[below[0]]) if len(below) else None

    def mean_until(self, horizon_s: float) -> float:
        """Return the mean time to success, counting those later than the horizon with the horizon."""
        inside = self.times_s < horizon_s
        edges = np.concatenate(([0.0], self.times_s[inside], [horizon_s]))
        levels = np.concatenate(([1.0], self.survival[inside]))
        return float((np.diff(edges) * levels).sum())


def success_times(times_s: ArrayLike, is_success: ArrayLike, timeout_s: float) -> tuple[Float, Bool]:
    """Return times for a curve: failures count as "not until the timeout", whenever they became certain.

    A trial that failed early stays failed, so ending its clock there would count it as if it might yet have succeeded.
    """
    success = np.asarray(is_success, dtype=np.bool_)
    times = np.where(success, np.asarray(times_s, dtype=np.float64), timeout_s)
    return times, success


def survival_curve(times_s: ArrayLike, is_success: ArrayLike) -> SurvivalCurve:
    """Estimate after Kaplan and Meier, with Greenwood's variance on the log-log scale.

    Args:
        times_s: (N,) seconds to success, or to the moment until which there was none.
        is_success: (N,) bool.
    """
    times, success = np.asarray(times_s, dtype=np.float64), np.asarray(is_success, dtype=np.bool_)
    events = np.unique(times[success])
    at_risk = np.array([(times >= t).sum() for t in events], dtype=np.float64)
    ended = np.array([((times == t) & success).sum() for t in events], dtype=np.float64)
    survival = np.asarray(np.cumprod(1.0 - ended / at_risk), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(ended / (at_risk * (at_risk - ended)))
        log_s = np.log(survival)
        half = Z_95 * np.sqrt(variance) / np.abs(log_s)
        low, high = survival ** np.exp(half), survival ** np.exp(-half)
    is_known = (survival > 0) & (survival < 1)
    return SurvivalCurve(
        times_s=events,
        survival=survival,
        low=np.where(is_known, low, survival),
        high=np.where(is_known, high, survival),
    )


def log_rank_p_value(first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike]) -> float:
    """Test whether two groups succeed equally fast.

    Args:
        first: Times and successes, (N,) each, as for `survival_curve`.
        second: The same of the other group.

    Returns:
        Two-sided p-value; 1 where nobody succeeded.
    """
    (t1, s1), (t2, s2) = ((np.asarray(t, dtype=np.float64), np.asarray(s, dtype=np.bool_)) for t, s in (first, second))
    observed_less_expected, variance = 0.0, 0.0
    for t in np.unique(np.concatenate((t1[s1], t2[s2]))):
        n1, n2 = float((t1 >= t).sum()), float((t2 >= t).sum())
        d1, d2 = float(((t1 == t) & s1).sum()), float(((t2 == t) & s2).sum())
        n, d = n1 + n2, d1 + d2
        observed_less_expected += d1 - d * n1 / n
        if n > 1:
            variance += d * (n1 / n) * (n2 / n) * (n - d) / (n - 1)
    if variance == 0.0:
        return 1.0
    return float(2 * stats.norm.sf(abs(observed_less_expected) / math.sqrt(variance)))
