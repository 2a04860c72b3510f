"""Lets simulated time run only as fast as the graph can follow: a slow machine slows the world, not the result."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Stream:
    max_lag_ns: int
    stamp_ns: int
    heard_s: float


class Pacing:
    """Watches how far the stamps of what the graph produces lie behind simulated time.

    While a stream is further behind than it may be, the world waits for it. A stream that has been silent for
    `patience_s` of wall time is not waited for: a dead node must meet its watchdogs, not a frozen world.
    """

    def __init__(self, max_lag_s: Mapping[str, float], *, patience_s: float) -> None:
        """Take the streams to watch.

        Args:
            max_lag_s: Seconds of simulated time that each stream's newest stamp may lie behind.
            patience_s: Seconds of wall time.
        """
        self._patience_s = patience_s
        self._streams = {name: _Stream(int(lag_s * 1e9), 0, float("-inf")) for name, lag_s in max_lag_s.items()}
        self._lock = threading.Lock()

    def hear(self, name: str, stamp_ns: int, wall_s: float) -> None:
        """Take note of a message: its stamp, and the wall time at which it came."""
        with self._lock:
            stream = self._streams[name]
            stream.stamp_ns, stream.heard_s = stamp_ns, wall_s

    def expect(self, name: str, now_ns: int, wall_s: float) -> None:
        """Wait for a stream that has been silent and was just asked to speak, as if it had been heard at `now_ns`."""
        self.hear(name, now_ns, wall_s)

    def lagging(self, now_ns: int, wall_s: float) -> tuple[str, ...]:
        """Return the streams that the world has to wait for at simulated time `now_ns`."""
        with self._lock:
            return tuple(
                name
                for name, stream in self._streams.items()
                if wall_s - stream.heard_s < self._patience_s and now_ns - stream.stamp_ns > stream.max_lag_ns
            )
