"""States of several arms, heard from several drivers, brought to one stamp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.datatypes import RobotState

Float = NDArray[np.float64]


class StateMerger:
    """Waits until every arm was heard again, then shows all of them at the newest instant known of all."""

    def __init__(self, arms: Sequence[str], state_at: Callable[[str, int], RobotState]) -> None:
        """Take the arms' names, and what interpolates one arm's state at a stamp."""
        self._arms = tuple(arms)
        self._state_at = state_at
        self._newest: dict[str, RobotState] = {}

    def add(self, states: Iterable[RobotState]) -> tuple[RobotState, ...]:
        """Take new states.

        Returns:
            The states of all arms at one stamp, in the robot's order; nothing while an arm has not been heard again.
        """
        self._newest |= {state.arm: state for state in states}
        if len(self._newest) < len(self._arms):
            return ()
        stamp_ns = min(state.stamp_ns for state in self._newest.values())
        newest, self._newest = self._newest, {}
        return tuple(
            newest[arm] if newest[arm].stamp_ns == stamp_ns else self._state_at(arm, stamp_ns) for arm in self._arms
        )


def merged_joints(arms: Sequence[ArmSpec], states: Sequence[RobotState]) -> tuple[tuple[str, ...], Float, Float]:
    """Return (names, positions, velocities) of all joints of arms and grippers, under their names in the URDF.

    Positions of a gripper are those of its opening; its velocity is not known and NaN.
    """
    names: list[str] = []
    q, dq = [], []
    for arm, state in zip(arms, states, strict=True):
        names += state.joint_names
        q.append(state.q)
        dq.append(state.dq)
        if arm.gripper is not None:
            names += arm.gripper.joint_names
            q.append(arm.gripper.positions(state.gripper_opening))
            dq.append(np.full(len(arm.gripper.joint_names), np.nan))
    return tuple(names), np.concatenate(q), np.concatenate(dq)
