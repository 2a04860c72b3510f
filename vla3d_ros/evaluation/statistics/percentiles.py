"""Percentiles of what was measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def percentile(values: ArrayLike, percent: float) -> float | None:
    """Return a percentile of the finite values, None if there are none."""
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    return float(np.percentile(finite, percent)) if finite.size else None
