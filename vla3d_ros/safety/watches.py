"""What only shows over time: a clock that was set, encoders that do not change, an operator who let go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import Reason, RobotState

Float = NDArray[np.float64]

_NS = 1_000_000_000
_BACK_NS = 1_000_000  # clocks read by two threads may disagree by this much
_MOVED_RAD = 0.005  # a reference that went this far must show in the encoders


class ClockWatch:
    """Notices time that goes backwards or leaps: the clock was set, or this process did not run."""

    def __init__(self, max_step_s: float) -> None:
        """Take the longest time that may pass between two looks."""
        self._max_step_ns = int(max_step_s * _NS)
        self.last_ns: int | None = None

    def look(self, now_ns: int) -> list[Reason]:
        """Take note of the time; return a reason if it leapt since the last look."""
        last_ns, self.last_ns = self.last_ns, now_ns
        if last_ns is None or -_BACK_NS <= now_ns - last_ns <= self._max_step_ns:
            return []
        step_s = (now_ns - last_ns) / _NS
        if step_s < 0:
            text = f"time went back by {-step_s:.3f} s: the clock was set, or the simulation started anew"
        else:
            text = f"time leapt by {step_s:.3f} s, allowed {self._max_step_ns / _NS:.3f} s"
            text += ": the clock was set, or this process did not run"
        return [Reason(check="clock", message=text)]


class FreezeWatch:
    """Notices joint states that arrive with new stamps but the very same values while the arm is told to move."""

    def __init__(self, max_frozen_s: float) -> None:
        """Take the longest time that values may stay bitwise equal in motion."""
        self._max_frozen_ns = int(max_frozen_s * _NS)
        self._since: tuple[int, Float, Float] | None = None

    def clear(self) -> None:
        """Forget what was seen."""
        self._since = None

    def look(self, state: RobotState, q_reference: Float) -> list[Reason]:
        """Compare a state with those before it.

        Args:
            state: Newest measured state.
            q_reference: (J,) rad, what the joints were told for that instant.

        Returns:
            A reason if the state has been the same for too long while the reference moved.
        """
        if self._since is None or not np.array_equal(state.q, self._since[1]):
            self._since = (state.stamp_ns, state.q, q_reference)
            return []
        since_ns, _, reference_then = self._since
        moved_rad = float(np.abs(q_reference - reference_then).max())
        frozen_ns = state.stamp_ns - since_ns
        if moved_rad < _MOVED_RAD or frozen_ns <= self._max_frozen_ns:
            return []
        text = f"arm '{state.arm}': joint positions have not changed for {1e-6 * frozen_ns:.0f} ms"
        return [Reason(check="state_frozen", message=f"{text} while told to move by {moved_rad:.3f} rad")]


class HeartbeatWatch:
    """A deadman: somebody must say again and again that motion is wanted."""

    def __init__(self, timeout_s: float) -> None:
        """Take the longest silence; 0 = nobody has to say anything."""
        self._timeout_ns = int(timeout_s * _NS)
        self._heard_ns: int | None = None

    def hear(self, now_ns: int) -> None:
        """Take note of a heartbeat."""
        self._heard_ns = now_ns

    def look(self, now_ns: int) -> list[Reason]:
        """Return a reason if the last heartbeat is too long ago."""
        if not self._timeout_ns:
            return []
        if self._heard_ns is None:
            return [Reason(check="heartbeat", message="no heartbeat was ever heard; start whatever sends it")]
        silent_ns = now_ns - self._heard_ns
        if silent_ns <= self._timeout_ns:
            return []
        text = f"no heartbeat for {silent_ns / _NS:.2f} s, allowed {self._timeout_ns / _NS:.2f} s"
        return [Reason(check="heartbeat", message=text)]
