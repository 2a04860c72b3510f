"""Whether people helped or interfered while a trial ran, counted from what the graph says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

STOP, RESET, DISARM, HOME, TAKEOVER, GUIDED = "stop", "reset", "disarm", "home", "takeover", "guided"
SEEN = "seen"
WORDS: Mapping[str, str] = {
    STOP: "operator's stop",
    RESET: "stop cleared",
    DISARM: "disarmed",
    HOME: "sent home",
    TAKEOVER: "taken over by teleoperation",
    GUIDED: "arm moved by hand",
    SEEN: "seen by the operator",
}
"""Kinds of interventions, for people. All but the last are counted from the graph."""

_OPERATOR = "operator:"
_STREAK_NS = 500_000_000  # what is told again within this time is the same intervention
_BRAKED_NS = 1_000_000_000  # an arm that was disarmed is at rest after this time
_MOVED_NS = 300_000_000  # how long an arm has to move for this to be no noise


class InterventionWatch:
    """Counts while it is open, which is from the instruction to the outcome; otherwise it only keeps up."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._is_open = False
        self._is_armed, self._stop_reason, self._is_driving = False, "", False
        self._homing_ns = -_STREAK_NS
        self._still_ns, self._resting_since_ns = 0, 0
        self._is_guided = False

    @property
    def counts(self) -> dict[str, int]:
        """What was counted since `open`, by kind."""
        return dict(self._counts)

    def clear(self) -> None:
        """Forget what was counted."""
        self._counts.clear()

    def open(self) -> None:
        """Begin to count; a teleoperation that drives already counts at once."""
        self._is_open = True
        if self._is_driving:
            self._count(TAKEOVER)

    def close(self) -> None:
        """Stop counting; the counts stay."""
        self._is_open = False

    def see_adapter(self, *, is_armed: bool, stop_reason: str, now_ns: int) -> None:
        """Take the adapter's state: armed or not, and why it is stopped, empty if it is not."""
        if stop_reason.startswith(_OPERATOR) and not self._stop_reason:
            self._count(STOP)
        elif self._stop_reason and not stop_reason:
            self._count(RESET)
        elif self._is_armed and not is_armed and not stop_reason:
            self._count(DISARM)
        if self._is_armed and not is_armed:
            self._resting_since_ns = self._still_ns = now_ns + _BRAKED_NS
        self._is_armed, self._stop_reason = is_armed, stop_reason

    def see_objections(self, checks: Collection[str], now_ns: int) -> None:
        """Take the names of the checks behind a verdict; chunks are refused while somebody has sent the arm home."""
        if "homing" not in checks:
            return
        if now_ns - self._homing_ns > _STREAK_NS:
            self._count(HOME)
        self._homing_ns = now_ns

    def see_teleoperation(self, *, is_driving: bool) -> None:
        """Take whether a clutch is closed."""
        if is_driving and not self._is_driving:
            self._count(TAKEOVER)
        self._is_driving = is_driving

    def see_motion(self, *, is_moving: bool, now_ns: int) -> None:
        """Take whether the arm moves; one that moves although it is disarmed is moved by hand."""
        if self._is_armed or not is_moving or now_ns < self._resting_since_ns:
            self._still_ns, self._is_guided = max(now_ns, self._still_ns), False
        elif now_ns - self._still_ns >= _MOVED_NS and not self._is_guided:
            self._is_guided = True
            self._count(GUIDED)

    def _count(self, kind: str) -> None:
        if self._is_open:
            self._counts[kind] += 1


def intervention_text(counts: Mapping[str, int]) -> str:
    """Return counts in words, e.g. "operator's stop, 2 x disarmed"; empty without any."""
    shown = [(WORDS.get(kind, kind), count) for kind, count in counts.items() if count]
    return ", ".join(word if count == 1 else f"{count} x {word}" for word, count in shown)
