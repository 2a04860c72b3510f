"""Normalised numbers <-> poses relative to where the end effector was at the observation, and gripper openings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ArmChunk
from vla3d_ros.errors import EngineError, ShapeError
from vla3d_ros.policy.manifest import ACTION_WIDTH, ActionSpec
from vla3d_ros.policy.preprocess import pose_numbers

Float = NDArray[np.float64]

_SHORTEST = 1e-6


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DecodedActions:
    """The chunk's arms, and how many gripper openings lay outside 0..1 and were set to the nearer end."""

    arms: tuple[ArmChunk, ...]
    clipped_openings: int


class ActionDecoder:
    """Knows a package's normalisation and which arm sits in which slot."""

    def __init__(self, actions: ActionSpec, slots: tuple[str, ...], arms: Mapping[str, str]) -> None:
        """Take names.

        Args:
            actions: The chunk and its normalisation.
            slots: The package's arm slots, in order.
            arms: Arm in each slot that is filled.
        """
        self._spec = actions
        self._slots = slots
        self._arms = [(index, arms[slot]) for index, slot in enumerate(slots) if slot in arms]

    def decode(self, normalised: NDArray[np.float32]) -> DecodedActions:
        """Return the arms' poses and openings.

        Args:
            normalised: (K, A*10) as an engine gives them.

        Raises:
            EngineError: If a number is not finite, or a rotation has no direction; names arm and step.
        """
        values = self._spec.mean + self._spec.std * self._by_slot(normalised)
        arms, clipped = [], 0
        for index, arm in self._arms:
            numbers = values[:, index]
            if not np.isfinite(numbers).all():
                steps = np.flatnonzero(~np.isfinite(numbers).all(axis=1)).tolist()
                raise EngineError(f"the policy's actions of arm '{arm}' are not finite at steps {steps}")
            openings = np.clip(numbers[:, 9], 0.0, 1.0)
            clipped += int((openings != numbers[:, 9]).sum())
            arms.append(ArmChunk(arm=arm, Ts_ee0_ee=_poses(numbers[:, :9], arm), gripper_opening=openings))
        return DecodedActions(arms=tuple(arms), clipped_openings=clipped)

    def encode(self, arms: Mapping[str, tuple[Float, Float]]) -> NDArray[np.float32]:
        """Return (K, A*10) normalised actions, 0 in slots that are not given; `decode` undoes it.

        Args:
            arms: For each arm, Ts_ee0_ee (K, 4, 4) and gripper opening (K,).
        """
        normalised = np.zeros((self._spec.steps, len(self._slots), ACTION_WIDTH))
        for index, arm in self._arms:
            if arm in arms:
                Ts_ee0_ee, opening = arms[arm]
                numbers = np.concatenate([pose_numbers(Ts_ee0_ee), opening[:, None]], axis=1)
                normalised[:, index] = (numbers - self._spec.mean[index]) / self._spec.std[index]
        return normalised.reshape(self._spec.steps, -1).astype(np.float32)

    def _by_slot(self, normalised: NDArray[np.float32]) -> Float:
        shape = (self._spec.steps, len(self._slots) * ACTION_WIDTH)
        if normalised.shape != shape:
            raise ShapeError(f"actions have shape {normalised.shape}; the package's have {shape}")
        return normalised.astype(np.float64).reshape(shape[0], len(self._slots), ACTION_WIDTH)


def rotations_from_6d(columns: Float, subject: str) -> Float:
    """Return (K, 3, 3) rotations from (K, 6) two column vectors each, by Gram-Schmidt.

    Raises:
        EngineError: If the first is about zero, or the second about parallel to it; names the steps.
    """
    first, second = columns[:, :3], columns[:, 3:]
    length = np.linalg.norm(first, axis=1, keepdims=True)
    x = first / np.maximum(length, _SHORTEST)
    beside = second - (x * second).sum(axis=1, keepdims=True) * x
    width = np.linalg.norm(beside, axis=1, keepdims=True)
    wrong = np.flatnonzero((length < _SHORTEST) | (width < _SHORTEST))
    if wrong.size:
        raise EngineError(f"{subject}: the rotations of steps {wrong.tolist()} have no direction")
    y = beside / width
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _poses(numbers: Float, arm: str) -> Float:
    Ts_ee0_ee = np.tile(np.eye(4), (len(numbers), 1, 1))
    Ts_ee0_ee[:, :3, 3] = numbers[:, :3]
    Ts_ee0_ee[:, :3, :3] = rotations_from_6d(numbers[:, 3:], f"actions of arm '{arm}'")
    return Ts_ee0_ee
