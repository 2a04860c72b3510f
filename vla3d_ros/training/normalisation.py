"""Mean and spread of states and actions, from the training episodes alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.policy.manifest import ACTION_WIDTH
from vla3d_ros.training.samples import Normalisation, SampleSource

Float = NDArray[np.float64]

_LEAST_POSE = np.array([0.002] * 3 + [0.005] * 6 + [0.05])
"""Smallest spread that is divided by, of position in m, rotation columns and opening. What varies less than this in the
demonstrations would be blown up to the size of everything else; half a millimetre matters to nobody."""
_LEAST_JOINT_RAD = 0.01


def measure_normalisation(source: SampleSource, indices: Iterable[int]) -> Normalisation:
    """Go through samples once.

    Args:
        source: Samples with raw states and actions.
        indices: Those to count: of training episodes.

    Returns:
        Mean and population standard deviation, but at least 2 mm, 0.005 of a rotation's column, 0.05 of the gripper's
        stroke, 0.01 rad. Slots without an arm: mean 0, spread 1.

    Raises:
        ShapeError: If there are no samples.
    """
    states, actions = _Moments(), _Moments()
    for index in indices:
        sample = source[index]
        states.add(sample.state[None], sample.state_mask[None])
        steps = sample.actions.reshape(len(sample.actions), -1, ACTION_WIDTH)
        actions.add(steps, np.broadcast_to(sample.arm_mask, steps.shape[:2]))
    joints = states.width - ACTION_WIDTH
    state_mean, state_std = states.result(np.concatenate([_LEAST_POSE, np.full(joints, _LEAST_JOINT_RAD)]))
    action_mean, action_std = actions.result(_LEAST_POSE)
    return Normalisation(state_mean=state_mean, state_std=state_std, action_mean=action_mean, action_std=action_std)


class _Moments:
    """Running sums of (n, A, W) values per slot and number, shifted by the first value against rounding."""

    def __init__(self) -> None:
        self._shift: Float | None = None
        self._count, self._sum, self._square = np.zeros(1), np.zeros(1), np.zeros(1)

    def add(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        if self._shift is None:
            self._shift = values[0].astype(np.float64)
            self._sum, self._square = np.zeros_like(self._shift), np.zeros_like(self._shift)
            self._count = np.zeros((len(self._shift), 1))
        offset = np.where(mask[..., None], values.astype(np.float64) - self._shift, 0.0)
        self._count = self._count + mask.sum(axis=0)[:, None]
        self._sum, self._square = self._sum + offset.sum(axis=0), self._square + (offset**2).sum(axis=0)

    @property
    def width(self) -> int:
        if self._shift is None:
            raise ShapeError("normalisation of no samples; expected at least one training episode")
        return int(self._shift.shape[1])

    def result(self, least: Float) -> tuple[Float, Float]:
        assert self._shift is not None
        count = np.maximum(self._count, 1.0)
        mean = self._sum / count
        spread = np.sqrt(np.maximum(self._square / count - mean**2, 0.0))
        is_used = self._count > 0
        return np.where(is_used, self._shift + mean, 0.0), np.where(is_used, np.maximum(spread, least), 1.0)
