"""Which verdicts are news: each cause is told once, and counted always."""

from __future__ import annotations

from collections import Counter

from vla3d_ros.datatypes import Reason, Verdict, VerdictKind

_NS = 1_000_000_000
_QUIET_NS = 5 * _NS  # a cause that comes back after this long is news again


class VerdictLog:
    """Counts verdicts by kind and reasons by check, and picks those a person has not been told yet."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._checks: Counter[str] = Counter()
        self._seen_ns: dict[tuple[VerdictKind, str], int] = {}

    def note(self, verdict: Verdict) -> tuple[Reason, ...]:
        """Count a verdict; return its reasons that are news."""
        self._kinds[verdict.kind.value] += 1
        news = []
        for reason in verdict.reasons:
            self._checks[reason.check] += 1
            cause = (verdict.kind, reason.check)
            seen_ns = self._seen_ns.get(cause)
            self._seen_ns[cause] = verdict.stamp_ns
            if seen_ns is None or not 0 <= verdict.stamp_ns - seen_ns < _QUIET_NS:
                news.append(reason)
        return tuple(news)

    def counts(self) -> dict[str, str]:
        """Return the counts by name, for diagnostics."""
        kinds = {f"verdict_{kind}": str(count) for kind, count in sorted(self._kinds.items())}
        return kinds | {f"reason_{check}": str(count) for check, count in sorted(self._checks.items())}
