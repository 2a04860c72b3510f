"""From joint states, named, partial and out of order, to robot states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.datatypes import RobotState
from vla3d_ros.geometry import Transform
from vla3d_ros.state_history import RobotStateHistory

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _JointReading:
    stamp_ns: int
    q: float
    dq: float


class ArmStateEstimator:
    """Merge joint states into states of one arm and remember them for a while.

    A state is complete when every joint of the arm was heard since the state before it; its stamp is the newest of
    theirs. The gripper's joints may come from another driver at another rate: their last known position is used.
    """

    def __init__(self, arm: ArmSpec, forward: Callable[[Float], Transform], *, memory_ns: int) -> None:
        """Start without a state.

        Args:
            arm: Names of joints and gripper.
            forward: Forward kinematics, q (J,) -> T_base_ee.
            memory_ns: How long states are kept for `at`.
        """
        self._arm = arm
        self._forward = forward
        self._fingers = arm.gripper.joint_names if arm.gripper else ()
        self._known: dict[str, _JointReading] = {}
        self._fresh: set[str] = set()
        self._history = RobotStateHistory(memory_ns=memory_ns)

    @property
    def latest(self) -> RobotState | None:
        """The newest complete state."""
        return self._history.newest

    @property
    def missing(self) -> tuple[str, ...]:
        """Joints (arm and gripper) that were never heard."""
        return tuple(name for name in (*self._arm.joint_names, *self._fingers) if name not in self._known)

    def clear(self) -> None:
        """Forget everything, e.g. after the clock was reset."""
        self._known.clear()
        self._fresh.clear()
        self._history.clear()

    def update(self, names: Sequence[str], q: Float, dq: Float, stamp_ns: int) -> RobotState | None:
        """Take one joint state message.

        Args:
            names: (N,) joint names, of any robot, in any order.
            q: (N,) positions; a joint with a value that is not finite is left out.
            dq: (N,) or empty; where missing or not finite it is estimated from the previous position.
            stamp_ns: When the encoders were read. A reading not newer than the joint's last one is left out.

        Returns:
            A state if this message completed one.
        """
        wanted = {*self._arm.joint_names, *self._fingers}
        for i, name in enumerate(names):
            if name in wanted and np.isfinite(q[i]):
                self._take(name, float(q[i]), float(dq[i]) if i < len(dq) else float("nan"), stamp_ns)
        if not self._fresh.issuperset(self._arm.joint_names) or self.missing:
            return None
        self._fresh.clear()
        return self._complete()

    def at(self, stamp_ns: int) -> RobotState:
        """Interpolate the state at a time inside the memory.

        Raises:
            StaleObservationError: If the time is not covered; says by how much.
        """
        return self._history.lookup(stamp_ns)

    def _take(self, name: str, q: float, dq: float, stamp_ns: int) -> None:
        previous = self._known.get(name)
        if previous is not None and stamp_ns <= previous.stamp_ns:
            return
        if not np.isfinite(dq):
            dq = 0.0 if previous is None else (q - previous.q) / ((stamp_ns - previous.stamp_ns) * 1e-9)
        self._known[name] = _JointReading(stamp_ns, q, dq)
        self._fresh.add(name)

    def _complete(self) -> RobotState:
        readings = [self._known[name] for name in self._arm.joint_names]
        q = np.array([reading.q for reading in readings])
        opening = 0.0
        if self._arm.gripper:
            opening = self._arm.gripper.opening(np.array([self._known[name].q for name in self._fingers]))
        stamp_ns = max(reading.stamp_ns for reading in readings)
        state = RobotState(
            arm=self._arm.name,
            stamp_ns=stamp_ns,
            joint_names=self._arm.joint_names,
            q=q,
            dq=np.array([reading.dq for reading in readings]),
            T_base_ee=self._forward(q),
            gripper_opening=opening,
        )
        self._history.add(state)
        return state
