"""How tests wait for something outside their own process: patiently, with a name for it, and never for ever."""

import time
from collections.abc import Callable

LONGEST_COUNTED_S = 0.25
MOST_STALLED = 3.0


class WaitedInVainError(AssertionError):
    """Something did not come in time.

    Tests marked `ros` get a second chance after this, and only after this: see test/conftest.py.
    """


class Patience:
    """Time that runs out while somebody looks, not while the whole machine stands still.

    A look that took longer than a quarter of a second was late because of others: only that much of it counts. After
    three times the limit it is over all the same.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._used_s, self._looked_s = 0.0, time.monotonic()
        self._latest_s = self._looked_s + MOST_STALLED * limit_s

    def look(self, what: str, told: object = "") -> None:
        """Raise WaitedInVainError, naming what was waited for and what was known, when the time is used up."""
        now_s = time.monotonic()
        self._used_s += min(now_s - self._looked_s, LONGEST_COUNTED_S)
        self._looked_s = now_s
        if self._used_s > self.limit_s or now_s > self._latest_s:
            known = f"; known: {told}" if told else ""
            raise WaitedInVainError(f"waited {self.limit_s:g} s in vain for {what}{known}")


def wait_until(
    is_so: Callable[[], bool],
    what: str,
    *,
    limit_s: float,
    meanwhile: Callable[[], object] = lambda: time.sleep(0.02),
    told: Callable[[], object] = lambda: "",
) -> None:
    """Do something again and again until something is so.

    Args:
        is_so: What to wait for.
        what: In words.
        limit_s: After so long it is a failure.
        meanwhile: Spins a node, or sleeps; briefly.
        told: What is known, for the failure's message.
    """
    patience = Patience(limit_s)
    while not is_so():
        patience.look(what, told())
        meanwhile()
