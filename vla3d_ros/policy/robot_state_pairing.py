"""Joint states and end-effector states, heard on two topics, become robot states that depend on stamps alone.

Which message came first, or late, or is heard again from a recording, makes no difference to what the policy sees.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import RobotState
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
EeStates = Mapping[str, tuple[Transform, float]]
"""Pose of the end effector in the base frame, and opening of the gripper 0..1, by arm."""

_MEMORY = 400
_MOST_PENDING = 200


@dataclass(slots=True)
class _JointSeries:
    """The last readings of one joint, by increasing stamp."""

    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_MEMORY))
    readings: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_MEMORY))

    def add(self, stamp_ns: int, q: float, dq: float) -> None:
        if not self.stamps_ns or stamp_ns > self.stamps_ns[-1]:
            self.stamps_ns.append(stamp_ns)
            self.readings.append((q, dq))

    def at(self, stamp_ns: int) -> tuple[float, float]:
        """The reading of a covered stamp: the very one, or linear between its neighbours."""
        upper = bisect_left(self.stamps_ns, stamp_ns)
        (q, dq), after_ns = self.readings[upper], self.stamps_ns[upper]
        if after_ns == stamp_ns:
            return q, dq
        (q_before, dq_before), before_ns = self.readings[upper - 1], self.stamps_ns[upper - 1]
        fraction = (stamp_ns - before_ns) / (after_ns - before_ns)
        return q_before + fraction * (q - q_before), dq_before + fraction * (dq - dq_before)


class RobotStatePairing:
    """Gives a robot state for every end-effector state whose stamp the joint states of its arm cover."""

    def __init__(self, joint_names: Mapping[str, Sequence[str]]) -> None:
        """Take the joints of every arm, in the policy's order."""
        self._joint_names = {arm: tuple(names) for arm, names in joint_names.items()}
        self._series = {name: _JointSeries() for names in self._joint_names.values() for name in names}
        self._pending: dict[str, deque[tuple[int, Transform, float]]] = {
            arm: deque(maxlen=_MOST_PENDING) for arm in self._joint_names
        }

    def add_joint_state(self, names: Sequence[str], q: Float, dq: Float, stamp_ns: int) -> tuple[RobotState, ...]:
        """Take one message: names (N,), q (N,) rad, dq (N,) rad/s, which may be NaN.

        Returns:
            The states which it completed, in order of their stamps.
        """
        for index, name in enumerate(names):
            if name in self._series and np.isfinite(q[index]):
                self._series[name].add(stamp_ns, float(q[index]), float(dq[index]))
        return self._completed()

    def add_ee_state(self, stamp_ns: int, ee_states: EeStates) -> tuple[RobotState, ...]:
        """Take one message about all arms.

        Returns:
            The states which it completed, in order of their stamps.
        """
        for arm, (T_base_ee, opening) in ee_states.items():
            self._pending[arm].append((stamp_ns, T_base_ee, opening))
        return self._completed()

    def _completed(self) -> tuple[RobotState, ...]:
        states = [state for arm, pending in self._pending.items() for state in self._completed_of(arm, pending)]
        return tuple(sorted(states, key=lambda state: state.stamp_ns))

    def _completed_of(self, arm: str, pending: deque[tuple[int, Transform, float]]) -> list[RobotState]:
        series = [self._series[name] for name in self._joint_names[arm]]
        if not all(joint.stamps_ns for joint in series):
            return []
        first_ns = max(joint.stamps_ns[0] for joint in series)
        last_ns = min(joint.stamps_ns[-1] for joint in series)
        states = []
        while pending and pending[0][0] <= last_ns:
            stamp_ns, T_base_ee, opening = pending.popleft()
            if stamp_ns < first_ns:  # joints were not heard yet then
                continue
            readings = [joint.at(stamp_ns) for joint in series]
            states.append(
                RobotState(
                    arm=arm,
                    stamp_ns=stamp_ns,
                    joint_names=self._joint_names[arm],
                    q=np.array([q for q, _ in readings]),
                    dq=np.array([dq for _, dq in readings]),
                    T_base_ee=T_base_ee,
                    gripper_opening=opening,
                )
            )
        return states
