"""Rates when each object was tried several times: trials on one object resemble one another, so objects are the sample.

Whole objects are drawn with repetition, with all their trials; drawing trials one by one would look surer than it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla3d_ros.errors import ConfigError

FEWEST_CLUSTERS = 10
"""With fewer objects the interval is too narrow, and is not given."""

_DRAWS = 4000


def clustered_interval(successes: ArrayLike, trials: ArrayLike, generator: np.random.Generator) -> tuple[float, float]:
    """Return a 95 % percentile interval of a rate over all trials, from whole clusters drawn with repetition.

    Args:
        successes: (K,) of each cluster.
        trials: (K,) of each cluster, at least one.
        generator: Draws.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8.

    Raises:
        ConfigError: If there are fewer than `FEWEST_CLUSTERS`, or one without trials.
    """
    x, n = _counts(successes, trials)
    drawn = generator.integers(len(x), size=(_DRAWS, len(x)))
    return _middle(x[drawn].sum(axis=1) / n[drawn].sum(axis=1))


def clustered_difference(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], generator: np.random.Generator
) -> tuple[float, float]:
    """Return a 95 % interval of the difference of two rates on the same clusters, which are drawn for both at once.

    Args:
        first: Successes (K,) and trials (K,).
        second: Of the other, on the same clusters.
        generator: Draws.

    Raises:
        ConfigError: If the clusters are too few, differ in number, or one has no trials.
    """
    x1, n1 = _counts(*first)
    x2, n2 = _counts(*second)
    if len(x1) != len(x2):
        raise ConfigError(f"{len(x1)} clusters against {len(x2)}; expected the same clusters")
    drawn = generator.integers(len(x1), size=(_DRAWS, len(x1)))
    rates = [x[drawn].sum(axis=1) / n[drawn].sum(axis=1) for x, n in ((x1, n1), (x2, n2))]
    return _middle(rates[0] - rates[1])


def _counts(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    if x.shape != n.shape or x.ndim != 1 or len(x) < FEWEST_CLUSTERS or (n < 1).any() or (x > n).any() or (x < 0).any():
        raise ConfigError(
            f"{len(np.atleast_1d(x))} clusters with {n.tolist()} trials; expected {FEWEST_CLUSTERS} or more, each with "
            "trials and no more successes than these"
        )
    return x, n


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
