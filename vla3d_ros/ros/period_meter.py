"""How regularly something periodic really happens."""

from __future__ import annotations

from collections import deque

import numpy as np


class PeriodMeter:
    """Remembers the time between consecutive beginnings of something, as many as fit into its memory."""

    def __init__(self, memory: int) -> None:
        """Start empty; the oldest of more than `memory` periods is forgotten."""
        self._periods_ms: deque[float] = deque(maxlen=memory)
        self._last_ns: int | None = None

    def note(self, steady_ns: int) -> None:
        """Take note of a beginning, on a clock that never jumps."""
        if self._last_ns is not None:
            self._periods_ms.append((steady_ns - self._last_ns) / 1e6)
        self._last_ns = steady_ns

    def restart(self) -> None:
        """Forget all periods, e.g. after a pause that was meant."""
        self._periods_ms.clear()
        self._last_ns = None

    def values(self, name: str) -> dict[str, str]:
        """Return count, percentiles and maximum by name, for diagnostics; nothing if nothing was measured."""
        if not self._periods_ms:
            return {}
        p50, p99, longest = np.percentile(list(self._periods_ms), [50.0, 99.0, 100.0]).tolist()
        return {
            f"{name}_periods": str(len(self._periods_ms)),
            f"{name}_p50_ms": f"{p50:.3f}",
            f"{name}_p99_ms": f"{p99:.3f}",
            f"{name}_max_ms": f"{longest:.3f}",
        }
