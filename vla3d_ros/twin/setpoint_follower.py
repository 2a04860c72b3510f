"""How an arm moves that is sent setpoints instead of trajectories: the servo law between one setpoint and the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_NS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ServoLaw:
    """A position loop without a planner, critically damped: lags a moving setpoint by 2 / bandwidth seconds."""

    bandwidth_rad_s: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PlannerLaw:
    """A planner in the arm: to every setpoint at a limited speed and acceleration, (J,) each, at rest on arrival."""

    speed: Float
    acceleration: Float


Law = ServoLaw | PlannerLaw


class SetpointFollower:
    """The reference of one arm between setpoints. The last setpoint is held for ever: nothing here has a timeout."""

    def __init__(self) -> None:
        """Rest wherever the arm is at the first update."""
        self._time_ns: int | None = None
        self._q = np.zeros(0)
        self._dq = np.zeros(0)
        self._target: Float | None = None
        self._law: Law = ServoLaw(bandwidth_rad_s=1.0)

    @property
    def is_resting(self) -> bool:
        """Whether no setpoint was ever given since the start."""
        return self._target is None

    @property
    def reference_q(self) -> Float | None:
        """Where the joints are told to be now, (J,) rad; None before the first update."""
        return None if self._time_ns is None else self._q.copy()

    def reset(self) -> None:
        """Forget the setpoint and rest wherever the arm is at the next update."""
        self._time_ns = None
        self._target = None

    def follow(self, target: Float, law: Law) -> None:
        """Take a setpoint (J,) rad and the law by which to go there."""
        self._target, self._law = target.astype(np.float64), law

    def hold(self) -> None:
        """Stay where the reference is now."""
        if self._target is not None:
            self._target, self._dq = self._q.copy(), np.zeros_like(self._q)

    def update(self, now_ns: int, q: Float) -> tuple[Float, Float]:
        """Advance to now; q (J,) is the measured position, used only for the start.

        Returns:
            Reference (q, dq), (J,) each.
        """
        if self._time_ns is None:
            self._q, self._dq = q.copy(), np.zeros_like(q)
        else:
            self._advance((now_ns - self._time_ns) * _NS)
        self._time_ns = now_ns
        return self._q, self._dq

    def _advance(self, dt_s: float) -> None:
        if self._target is None or dt_s <= 0.0:
            return
        if isinstance(self._law, ServoLaw):
            w = self._law.bandwidth_rad_s
            self._dq = self._dq + dt_s * w * (w * (self._target - self._q) - 2.0 * self._dq)
        else:
            self._dq = self._planned_speed(self._law, self._target, dt_s)
        self._q = self._q + dt_s * self._dq

    def _planned_speed(self, law: PlannerLaw, target: Float, dt_s: float) -> Float:
        error = target - self._q
        wanted = np.sign(error) * np.minimum(law.speed, np.sqrt(2.0 * law.acceleration * np.abs(error)))
        wanted = np.where(np.abs(error) < law.acceleration * dt_s * dt_s, error / dt_s, wanted)
        change = np.clip(wanted - self._dq, -law.acceleration * dt_s, law.acceleration * dt_s)
        return np.asarray(self._dq + change)
