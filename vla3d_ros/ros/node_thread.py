"""A thread that works while its node is active."""

from __future__ import annotations

import threading
from collections.abc import Callable

_GOODBYE_S = 2.0


class NodeThread:
    """Works from `start` to `stop`; what it waits for is announced on `changed`, and `is_wanted` tells when to end."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        """Prepare.

        Args:
            name: Of the thread.
            work: Returns soon after `is_wanted` has become False.
        """
        self._name, self._work = name, work
        self._thread: threading.Thread | None = None
        self.changed = threading.Condition()
        self.is_wanted = False

    def start(self) -> None:
        """Begin."""
        self.is_wanted = True
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the work end, and wait for it; safe to call twice."""
        with self.changed:
            self.is_wanted = False
            self.changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=_GOODBYE_S)
            self._thread = None

    def rest(self, seconds: float) -> None:
        """Wait in the thread for so long, for news, or for the end."""
        with self.changed:
            if self.is_wanted:
                self.changed.wait(seconds)
