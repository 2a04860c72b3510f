"""A short memory of where a frame was."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import numpy as np

from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry.interpolation import blend_transforms
from vla3d_ros.geometry.transform import Transform


class PoseHistory:
    """Stamped poses of one frame, bounded in time, interpolated on request, never extrapolated."""

    def __init__(self, *, duration_ns: int) -> None:
        self._duration_ns = duration_ns
        self._stamps_ns: deque[int] = deque()
        self._poses: deque[Transform] = deque()

    def __len__(self) -> int:
        return len(self._stamps_ns)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest pose, or None when empty."""
        return self._stamps_ns[-1] if self._stamps_ns else None

    def clear(self) -> None:
        """Forget everything, e.g. after the clock was reset."""
        self._stamps_ns.clear()
        self._poses.clear()

    def add(self, stamp_ns: int, T_a_b: Transform) -> bool:
        """Remember a pose.

        Returns:
            False if the stamp is not newer than the newest one, in which case nothing is stored.
        """
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            return False
        self._stamps_ns.append(stamp_ns)
        self._poses.append(T_a_b)
        while self._stamps_ns[0] < stamp_ns - self._duration_ns:
            self._stamps_ns.popleft()
            self._poses.popleft()
        return True

    def lookup(self, stamp_ns: int) -> Transform:
        """Return `T_a_b` at a time inside the memory.

        Raises:
            StaleObservationError: If the time is not covered; says by how much.
        """
        if not self._stamps_ns:
            raise StaleObservationError(f"no pose known yet, asked for stamp {stamp_ns} ns")
        first_ns, last_ns = self._stamps_ns[0], self._stamps_ns[-1]
        if not first_ns <= stamp_ns <= last_ns:
            gap_ms = (first_ns - stamp_ns if stamp_ns < first_ns else stamp_ns - last_ns) / 1e6
            side = "before the oldest" if stamp_ns < first_ns else "after the newest"
            raise StaleObservationError(f"stamp {stamp_ns} ns is {gap_ms:.1f} ms {side} of {len(self)} known poses")
        upper = bisect_right(self._stamps_ns, stamp_ns)
        if self._stamps_ns[upper - 1] == stamp_ns:
            return self._poses[upper - 1]
        before_ns, after_ns = self._stamps_ns[upper - 1], self._stamps_ns[upper]
        fraction = np.float64((stamp_ns - before_ns) / (after_ns - before_ns))
        return Transform(blend_transforms(self._poses[upper - 1].matrix, self._poses[upper].matrix, fraction))
