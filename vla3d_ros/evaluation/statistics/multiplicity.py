"""Many comparisons at once: corrected p-values, and letters that say who is separated from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Float:
    """Return p-values corrected after Holm: any false finding among all at most alpha."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, stepped)
    return corrected


def benjamini_hochberg(p_values: ArrayLike) -> Float:
    """Return p-values corrected after Benjamini and Hochberg: the share of false findings at most alpha."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    scaled = p[order] * len(p) / (len(p) - np.arange(len(p)))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.minimum.accumulate(scaled))
    return corrected


def compact_letters(
    names: Sequence[str], p_values: Mapping[tuple[str, str], float], *, alpha: float = 0.05
) -> dict[str, str]:
    """Give each name letters so that two names share one exactly when they are not separated.

    Sharing a letter means "not told apart by these trials", never "equal".

    Args:
        names: Best first; the best gets "a".
        p_values: Corrected p-value of every pair, in either order.
        alpha: Pairs below are separated.

    Returns:
        Letters by name.

    Source: H.-P. Piepho, Journal of Computational and Graphical Statistics 13 (2004) 456-466: insert and absorb.
    """
    columns: list[set[str]] = [set(names)]
    for (first, second), p_value in p_values.items():
        if p_value >= alpha:
            continue
        split = [column for column in columns if {first, second} <= column]
        kept = [column for column in columns if column not in split]
        candidates = kept + [column - {name} for column in split for name in (first, second)]
        columns = _absorb(candidates)
    rank = {name: index for index, name in enumerate(names)}
    columns.sort(key=lambda column: sorted(rank[name] for name in column))
    return {
        name: "".join(chr(ord("a") + index) for index, column in enumerate(columns) if name in column) for name in names
    }


def _absorb(columns: list[set[str]]) -> list[set[str]]:
    """Drop what is contained in another, keeping one of equals."""
    kept: list[set[str]] = []
    for column in sorted(columns, key=len, reverse=True):
        if column and not any(column <= other for other in kept):
            kept.append(column)
    return kept
