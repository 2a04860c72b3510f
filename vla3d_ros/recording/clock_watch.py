"""Notices when the clock that stamps recorded messages is set."""

from __future__ import annotations

_TOLERANCE_NS = 500_000_000


class ClockWatch:
    """Compares the ROS clock with a clock that nobody sets.

    In simulation the ROS clock runs at any speed, so that only a step back can be told.
    """

    def __init__(self, *, is_simulated: bool, tolerance_ns: int = _TOLERANCE_NS) -> None:
        self._is_simulated = is_simulated
        self._tolerance_ns = tolerance_ns
        self._last: tuple[int, int] | None = None

    def restart(self) -> None:
        """Forget what was seen."""
        self._last = None

    def step_ns(self, ros_ns: int, steady_ns: int) -> int:
        """Return by how much the ROS clock stepped since the last call, negative for back, 0 if it did not.

        Args:
            ros_ns: Now, ROS clock.
            steady_ns: Now, a clock that only runs forward at the speed of time.
        """
        before, self._last = self._last, (ros_ns, steady_ns)
        if before is None:
            return 0
        passed_ns = ros_ns - before[0]
        if self._is_simulated:
            return min(0, passed_ns)
        step_ns = passed_ns - (steady_ns - before[1])
        return step_ns if passed_ns < 0 or abs(step_ns) > self._tolerance_ns else 0
