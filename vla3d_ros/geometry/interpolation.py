"""Interpolation along screws: constant twist between two poses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry.transform import exp_se3, log_se3

Float = NDArray[np.float64]


def blend_transforms(Ts_a_from: ArrayLike, Ts_a_to: ArrayLike, fraction: ArrayLike) -> Float:
    """Move from one pose towards another along the screw between them.

    Args:
        Ts_a_from: (..., 4, 4) poses at fraction 0.
        Ts_a_to: (..., 4, 4) poses at fraction 1.
        fraction: (...) in [0, 1].

    Returns:
        (..., 4, 4) float64.
    """
    start = np.asarray(Ts_a_from, dtype=np.float64)
    difference = log_se3(np.linalg.solve(start, np.asarray(Ts_a_to, dtype=np.float64)))
    return start @ exp_se3(difference * np.asarray(fraction, dtype=np.float64)[..., None])


def interpolate_transforms(stamps_ns: ArrayLike, Ts_a_b: ArrayLike, query_ns: ArrayLike) -> Float:
    """Sample a pose track at other times.

    Args:
        stamps_ns: (N,) int64, strictly increasing.
        Ts_a_b: (N, 4, 4) poses at those stamps.
        query_ns: (M,) int64 within [stamps_ns[0], stamps_ns[-1]].

    Returns:
        (M, 4, 4) float64.

    Raises:
        ShapeError: If the stamps do not increase, or a query lies outside the track.
    """
    stamps = np.asarray(stamps_ns, dtype=np.int64)
    queries = np.asarray(query_ns, dtype=np.int64)
    poses = np.asarray(Ts_a_b, dtype=np.float64)
    if len(stamps) != len(poses) or (np.diff(stamps) <= 0).any():
        raise ShapeError(f"pose track of {len(poses)} poses and {len(stamps)} stamps is not strictly increasing")
    if len(queries) and (queries.min() < stamps[0] or queries.max() > stamps[-1]):
        raise ShapeError(
            f"queries span [{queries.min()}, {queries.max()}] ns, outside the track [{stamps[0]}, {stamps[-1]}] ns"
        )
    if len(stamps) == 1:
        return np.repeat(poses, len(queries), axis=0)
    upper = np.clip(np.searchsorted(stamps, queries, side="right"), 1, len(stamps) - 1)
    span = (stamps[upper] - stamps[upper - 1]).astype(np.float64)
    fraction = (queries - stamps[upper - 1]) / span
    return blend_transforms(poses[upper - 1], poses[upper], fraction)
