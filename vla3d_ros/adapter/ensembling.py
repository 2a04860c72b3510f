"""Temporal ensembling: the mean of what several chunks ask for at one instant, rotations averaged in SO(3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.geometry import exp_se3, interpolate_transforms, log_se3

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_MAX_ITERATIONS = 10
_CONVERGED_RAD = 1e-9


def mean_transforms(Ts_a_b: Float, weights: Float) -> Float:
    """Average poses: positions linearly, rotations as the point of SO(3) nearest to all (weighted Karcher mean).

    Args:
        Ts_a_b: (C, T, 4, 4) poses, C candidates for each of T instants, each instant's rotations within a half turn.
        weights: (C, T) >= 0, each instant's sum positive.

    Returns:
        (T, 4, 4).
    """
    share = weights / weights.sum(axis=0)
    nearest = share.argmax(axis=0)
    mean: Float = Ts_a_b[nearest, np.arange(Ts_a_b.shape[1])].copy()
    mean[:, :3, 3] = np.einsum("ct,cti->ti", share, Ts_a_b[:, :, :3, 3])
    for _ in range(_MAX_ITERATIONS):
        turns = np.zeros((*share.shape, 4, 4))
        turns[..., :3, :3] = mean[None, :, :3, :3].swapaxes(-1, -2) @ Ts_a_b[..., :3, :3]
        turns[..., 3, 3] = 1.0
        step = np.einsum("ct,cti->ti", share, log_se3(turns))
        mean[:, :3, :3] = mean[:, :3, :3] @ exp_se3(step)[:, :3, :3]
        if np.abs(step).max() < _CONVERGED_RAD:
            break
    return mean


class PoseEnsemble:
    """The absolute poses recent chunks asked for, and their mean at any instant.

    The oldest chunk weighs 1, each younger one `exp(-decay)` times the one before, as in the work that introduced it:
    0 averages evenly, negative values trust the youngest most. A chunk counts only where it has steps.
    """

    def __init__(self, *, memory_ns: int, decay: float) -> None:
        """Start empty.

        Args:
            memory_ns: Chunks whose stamp is older than the newest by more than this are forgotten.
            decay: See above.
        """
        self._memory_ns = memory_ns
        self._decay = decay
        self._chunks: list[tuple[int, Times, Float]] = []

    def add(self, stamp_ns: int, times_ns: Times, Ts_base_ee: Float) -> None:
        """Remember a chunk: poses (T, 4, 4) due at times_ns (T,)."""
        self._chunks = [entry for entry in self._chunks if stamp_ns - self._memory_ns <= entry[0] < stamp_ns]
        self._chunks.append((stamp_ns, times_ns, Ts_base_ee))

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()

    def average(self, stamp_ns: int, times_ns: Times, Ts_base_ee: Float) -> Float:
        """Return the mean (T, 4, 4) of a new chunk's poses, due at times_ns (T,), and what is remembered of others."""
        remembered = [entry for entry in self._chunks if stamp_ns - self._memory_ns <= entry[0] < stamp_ns]
        if not remembered:
            return Ts_base_ee
        stacks, covered = _on_common_times(remembered, times_ns)
        candidates = np.concatenate([stacks, Ts_base_ee[None]])
        is_covered = np.concatenate([covered, np.ones((1, len(times_ns)), dtype=bool)])
        age = np.cumsum(is_covered, axis=0) - 1  # 0 for the oldest chunk with a step at that instant
        return mean_transforms(candidates, np.where(is_covered, np.exp(-self._decay * age), 0.0))


def _on_common_times(chunks: Sequence[tuple[int, Times, Float]], times_ns: Times) -> tuple[Float, NDArray[np.bool_]]:
    """Interpolate each chunk: poses (C, T, 4, 4), and where it has steps (C, T)."""
    stacks, covered = [], []
    for _, known_ns, poses in chunks:
        inside = np.clip(times_ns, known_ns[0], known_ns[-1])
        stacks.append(interpolate_transforms(known_ns, poses, inside))
        covered.append(inside == times_ns)
    return np.stack(stacks), np.stack(covered)
