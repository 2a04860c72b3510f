"""Two rates when trials come from several settings, tasks or objects of different difficulty, and do not pair.

Each stratum compares the two only within itself, so a policy that met easier scenes gains nothing from that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics.proportions import Z_95, check_counts

_SAME = 1.0 + 1e-7  # tables as likely as the one seen, up to rounding


class Stratum(NamedTuple):
    """Successes and trials of both in one stratum."""

    x1: int
    n1: int
    x2: int
    n2: int


def stratified_p_value(strata: Sequence[Stratum]) -> float:
    """Return the exact conditional two-sided p-value of "equal in every stratum"; with one stratum it is Fisher's.

    Given each stratum's successes of both together, the first's are hypergeometric; their sum is what is tested.

    Source: C. R. Mehta, N. R. Patel, R. Gray, Journal of the American Statistical Association 80 (1985) 969-973.
    """
    _check(strata)
    likelihood, seen = np.ones(1), 0
    for x1, n1, x2, n2 in strata:
        both = x1 + x2
        lowest, highest = max(0, both - n2), min(both, n1)
        part = stats.hypergeom.pmf(np.arange(lowest, highest + 1), n1 + n2, both, n1)
        likelihood = np.convolve(likelihood, part)
        seen += x1 - lowest
    return min(1.0, float(likelihood[likelihood <= likelihood[seen] * _SAME].sum()))


def cochran_mantel_haenszel(strata: Sequence[Stratum]) -> tuple[float, float]:
    """Return the Cochran-Mantel-Haenszel statistic without continuity correction, and its p-value; 0 and 1 of nothing.

    Source: N. Mantel, W. Haenszel, Journal of the National Cancer Institute 22 (1959) 719-748.
    """
    _check(strata)
    excess = variance = 0.0
    for x1, n1, x2, n2 in strata:
        total, both = n1 + n2, x1 + x2
        if total < 2:
            continue
        excess += x1 - n1 * both / total
        variance += n1 * n2 * both * (total - both) / (total**2 * (total - 1))
    if variance == 0.0:
        return 0.0, 1.0
    statistic = excess**2 / variance
    return statistic, float(stats.chi2.sf(statistic, 1))


def stratified_difference(strata: Sequence[Stratum]) -> tuple[float, float, float]:
    """Return the Mantel-Haenszel difference of rates p1 - p2 with its 95 % interval, valid also for many small strata.

    Source: T. Sato, Biometrics 45 (1989) 1323-1324.

    Raises:
        ConfigError: If no stratum has trials of both.
    """
    _check(strata)
    shared = [stratum for stratum in strata if stratum.n1 and stratum.n2]
    if not shared:
        raise ConfigError(f"{len(strata)} strata and none with trials of both; expected at least one")
    weight = sum(n1 * n2 / (n1 + n2) for _, n1, _, n2 in shared)
    difference = sum((x1 * n2 - x2 * n1) / (n1 + n2) for x1, n1, x2, n2 in shared) / weight
    p = q = 0.0
    for x1, n1, x2, n2 in shared:
        total = n1 + n2
        p += (n1**2 * x2 - n2**2 * x1 + n1 * n2 * (n2 - n1) / 2) / total**2
        q += (x1 * (n2 - x2) + x2 * (n1 - x1)) / (2 * total)
    half = Z_95 * math.sqrt(max(0.0, difference * p + q)) / weight
    return difference, max(-1.0, difference - half), min(1.0, difference + half)


def _check(strata: Sequence[Stratum]) -> None:
    for x1, n1, x2, n2 in strata:
        check_counts(x1, n1)
        check_counts(x2, n2)
