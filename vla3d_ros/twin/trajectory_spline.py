"""Piecewise polynomials as ros2_control interpolates: linear, cubic or quintic, decided per segment."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_NS = 1e-9
_HERMITE_5 = np.array(  # rows: coefficients 3, 4, 5; columns: dp, v0*D, v1*D, a0*D^2, a1*D^2
    [[10.0, -6.0, -4.0, -1.5, 0.5], [-15.0, 8.0, 7.0, 1.5, -1.0], [6.0, -3.0, -3.0, -0.5, 0.5]]
)


class TrajectorySpline:
    """Positions and velocities over time; before the first knot and after the last one the knot is repeated."""

    def __init__(
        self, times_ns: list[int], coefficients: list[Float], last: tuple[Float, Float], is_hold: bool
    ) -> None:
        """Take knots at `times_ns` (K,), K-1 segments of (6, J) coefficients in s, and the last knot's (q, dq)."""
        self._times_ns = times_ns
        self._coefficients = coefficients
        self._last = last
        self.is_hold = is_hold

    @property
    def end_ns(self) -> int:
        """Time of the last knot."""
        return self._times_ns[-1]

    @classmethod
    def hold(cls, q: Float, now_ns: int) -> TrajectorySpline:
        """Rest at q (J,)."""
        return cls([now_ns], [], (q.copy(), np.zeros_like(q)), True)

    @classmethod
    def through(
        cls,
        *,
        times_ns: Sequence[int],
        q: Sequence[Float],
        dq: Sequence[Float | None],
        ddq: Sequence[Float | None],
        before_ns: int,
        before: tuple[Float, Float],
    ) -> TrajectorySpline:
        """Interpolate knots, with a lead-in from the state before where the first knot is still to come.

        Args:
            times_ns: (K,) strictly increasing.
            q: K arrays (J,) rad.
            dq: K arrays (J,) rad/s, None where not given.
            ddq: K arrays (J,) rad/s^2, None where not given.
            before_ns: When the state before was current.
            before: (q, dq) at that time.
        """
        times, qs, dqs, ddqs = list(times_ns), list(q), list(dq), list(ddq)
        if before_ns < times[0]:
            times.insert(0, before_ns)
            qs.insert(0, before[0])
            dqs.insert(0, before[1])
            ddqs.insert(0, np.zeros_like(before[0]) if ddqs[0] is not None else None)
        segments = [
            _segment((times[i + 1] - times[i]) * _NS, qs[i : i + 2], dqs[i : i + 2], ddqs[i : i + 2])
            for i in range(len(times) - 1)
        ]
        last_dq = dqs[-1]
        return cls(times, segments, (qs[-1], np.zeros_like(qs[-1]) if last_dq is None else last_dq), False)

    def sample(self, time_ns: int) -> tuple[Float, Float]:
        """Return (q, dq), (J,) each, at a time."""
        index = bisect_right(self._times_ns, time_ns) - 1
        if index >= len(self._coefficients):
            return self._last
        d = max(0, time_ns - self._times_ns[max(index, 0)]) * _NS
        d2, d3, d4 = d * d, d * d * d, d * d * d * d
        basis = np.array(((1.0, d, d2, d3, d4, d4 * d), (0.0, 1.0, 2.0 * d, 3.0 * d2, 4.0 * d3, 5.0 * d4)))
        values = basis @ self._coefficients[max(index, 0)]
        return values[0], values[1]


def _segment(duration_s: float, q: Sequence[Float], dq: Sequence[Float | None], ddq: Sequence[Float | None]) -> Float:
    """(6, J) polynomial coefficients in seconds; the fields present at both ends decide the degree."""
    D = duration_s
    coefficients = np.zeros((6, len(q[0])))
    coefficients[0] = q[0]
    dp = q[1] - q[0]
    v0, v1, a0, a1 = dq[0], dq[1], ddq[0], ddq[1]
    if v0 is None or v1 is None:
        coefficients[1] = dp / D
    elif a0 is None or a1 is None:
        coefficients[1] = v0
        coefficients[2] = (3.0 * dp - (2.0 * v0 + v1) * D) / D**2
        coefficients[3] = (-2.0 * dp + (v0 + v1) * D) / D**3
    else:
        ends = np.stack([dp, v0 * D, v1 * D, a0 * D**2, a1 * D**2])
        coefficients[1], coefficients[2] = v0, 0.5 * a0
        coefficients[3:] = (_HERMITE_5 @ ends) / np.array([[D**3], [D**4], [D**5]])
    return coefficients
