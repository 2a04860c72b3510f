"""Distances between line segments, and between line segments and boxes, many at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_SMALL = 1e-12
_SHRINK = (5**0.5 - 1) / 2
_SEARCH_STEPS = 10  # of a golden section: the place on the segment is known to 1/120 of its length


def segment_distances(a: Float, b: Float) -> Float:
    """Return the distances between pairs of segments.

    Args:
        a: (..., 2, 3) ends of one segment of each pair; both ends may coincide.
        b: (..., 2, 3) ends of the other.

    Returns:
        (...) distances in the unit of the ends.
    """
    along_a, along_b = a[..., 1, :] - a[..., 0, :], b[..., 1, :] - b[..., 0, :]
    between = a[..., 0, :] - b[..., 0, :]
    aa, bb, ab = _dot(along_a, along_a), _dot(along_b, along_b), _dot(along_a, along_b)
    a_between, b_between = _dot(along_a, between), _dot(along_b, between)
    cross = aa * bb - ab * ab
    s = np.where(cross > _SMALL, (ab * b_between - bb * a_between) / np.maximum(cross, _SMALL), 0.0)
    s = np.clip(s, 0.0, 1.0)
    t = np.where(bb > _SMALL, (ab * s + b_between) / np.maximum(bb, _SMALL), 0.0)
    t = np.clip(t, 0.0, 1.0)
    s = np.where(aa > _SMALL, np.clip((ab * t - a_between) / np.maximum(aa, _SMALL), 0.0, 1.0), 0.0)
    apart = between + s[..., None] * along_a - t[..., None] * along_b
    distances: Float = np.sqrt(_dot(apart, apart))
    return distances


def box_distances(segments: Float, lower: Float, upper: Float) -> Float:
    """Return the distances from segments to an axis-aligned box, 0 where they touch or enter it.

    Args:
        segments: (..., 2, 3) ends.
        lower: (3,) lowest corner.
        upper: (3,) highest corner.

    Returns:
        (...) distances in the unit of the ends.
    """
    start, along = segments[..., 0, :], segments[..., 1, :] - segments[..., 0, :]

    def at(fraction: Float) -> Float:
        point = start + fraction[..., None] * along
        outside = np.maximum(np.maximum(lower - point, point - upper), 0.0)
        return _dot(outside, outside)

    low, high = np.zeros(start.shape[:-1]), np.ones(start.shape[:-1])  # the distance is convex along a segment
    for _ in range(_SEARCH_STEPS):
        left, right = high - _SHRINK * (high - low), low + _SHRINK * (high - low)
        is_left = at(left) <= at(right)
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
    squared = np.minimum(np.minimum(at(np.zeros_like(low)), at(np.ones_like(low))), at((low + high) / 2))
    distances: Float = np.sqrt(squared)
    return distances


def _dot(a: Float, b: Float) -> Float:
    product: Float = np.einsum("...i,...i->...", a, b)
    return product
