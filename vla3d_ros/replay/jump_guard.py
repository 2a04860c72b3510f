"""What a recording may hold that no arm should be told or believed to do: refused, with the reason.

Bags made elsewhere have joint states without stamps, without names, or that step by radians between two messages: a
homing, a mode switch, another clock. What follows such a state would jump, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import RecordingError, join_problems

Float = NDArray[np.float64]

_SPEED_MARGIN, _NOISE_RAD = 1.5, 0.05
_UNKNOWN_SPEED_RAD_S = 6.0
_LONGEST_GAP_S = 0.5  # a gap in a recording allows no longer step than this


@dataclass(slots=True)
class Finding:
    """One kind of trouble: how often, and its first occurrence in words."""

    count: int
    first: str


@dataclass(slots=True)
class JumpGuard:
    """Looks at every joint state of one topic; `speeds` are the joints' velocity limits in rad/s, by name."""

    topic: str
    speeds: Mapping[str, float] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    _last: dict[str, tuple[int, float]] = field(default_factory=dict)

    def accepts(self, names: Sequence[str], q: Sequence[float] | Float, stamp_ns: int) -> bool:
        """Judge one message: names (N,), q (N,) rad. What is wrong is added to `findings`."""
        problems = dict(self._problems(names, np.asarray(q, dtype=np.float64), stamp_ns))
        for kind, text in problems.items():
            if kind in self.findings:
                self.findings[kind].count += 1
            else:
                self.findings[kind] = Finding(1, text)
        if not problems:
            self._last |= {name: (stamp_ns, float(value)) for name, value in zip(names, q, strict=True)}
        return not problems

    def sentences(self) -> list[str]:
        """Say what was found, a sentence a kind."""
        return [f"'{self.topic}': {found.count} x {found.first}" for found in self.findings.values()]

    def require_nothing_found(self, subject: str) -> None:
        """Refuse if anything was found.

        Raises:
            RecordingError: Lists every kind of trouble, with count and first occurrence.
        """
        if self.findings:
            raise RecordingError(join_problems(f"{subject} would make an arm jump", self.sentences()))

    def _problems(self, names: Sequence[str], q: Float, stamp_ns: int) -> list[tuple[str, str]]:
        if stamp_ns == 0:
            return [("stamp", "a stamp of zero; expected the time at which the encoders were read")]
        if not len(names) or any(not name for name in names):
            return [("names", f"{len(q)} positions with names {list(names)}; expected a name for every joint")]
        if len(names) != len(q) or len(set(names)) != len(names):
            return [("count", f"{len(names)} names {list(names)} for {len(q)} positions; expected one each")]
        if not np.isfinite(q).all():
            return [("finite", f"positions {q.tolist()}; expected finite numbers")]
        return self._steps(names, q, stamp_ns)

    def _steps(self, names: Sequence[str], q: Float, stamp_ns: int) -> list[tuple[str, str]]:
        problems = []
        for name, value in zip(names, q.tolist(), strict=True):
            if name not in self._last:
                continue
            last_ns, last = self._last[name]
            if stamp_ns < last_ns:
                problems.append(("order", f"a stamp that goes back by {(last_ns - stamp_ns) / 1e9:.3f} s"))
                continue
            elapsed_s = min((stamp_ns - last_ns) / 1e9, _LONGEST_GAP_S)
            speed = self.speeds.get(name, _UNKNOWN_SPEED_RAD_S)
            step, allowed = abs(value - last), _SPEED_MARGIN * speed * elapsed_s + _NOISE_RAD
            if step > allowed:
                text = f"joint '{name}' steps by {step:.2f} rad in {(stamp_ns - last_ns) / 1e6:.1f} ms"
                problems.append(("step", f"{text}; expected at most {allowed:.2f} rad (limit {speed:.2f} rad/s)"))
        return problems
