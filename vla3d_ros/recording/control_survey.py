"""Who drove the arms of a recording, and when: a person through teleoperation, a policy, or nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TELEOP_ENDING, REPORT_ENDING = "/teleop/state", "/policy/report"
STATUS_TYPE = "diagnostic_msgs/msg/DiagnosticStatus"

_CLUTCH = "_clutch"
_CLOSED = "closed"
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One DiagnosticStatus: when it was received, whether it is well, its message and named values."""

    stamp_ns: int
    is_ok: bool
    message: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSurvey:
    """Who was in control.

    Attributes:
        devices: Of teleoperation, in the order in which they appeared; none if it did not run.
        spans_ns: By arm: from when to when its clutch was closed, receive stamps.
        teleop_share: Share of the recording in which any clutch was closed.
        troubles: What teleoperation complained of (device lost, a rival): (receive stamp, sentence), each begin once.
        policy_chunks: Reports of a policy; each belongs to a chunk.
        policy_share: Share of the recording between the first and the last of them.
    """

    devices: tuple[str, ...] = ()
    spans_ns: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    teleop_share: float = 0.0
    troubles: tuple[tuple[int, str], ...] = ()
    policy_chunks: int = 0
    policy_share: float = 0.0

    @property
    def is_teleoperated(self) -> bool:
        """Whether teleoperation ran at all."""
        return bool(self.devices)

    def sentence(self) -> str:
        """Say it in a line; "" if the recording does not tell."""
        parts = []
        if self.is_teleoperated:
            arms = ", ".join(
                f"{arm} {sum(end - start for start, end in spans) / _NS_PER_S:.1f} s in {len(spans)} stretches"
                for arm, spans in self.spans_ns.items()
            )
            held = f"clutch closed: {arms}" if self.teleop_share else "the clutch was never closed"
            by = " then ".join(self.devices)
            parts.append(f"teleoperation by {by}, in control {self.teleop_share:.0%} of the time ({held})")
        if self.policy_chunks:
            parts.append(f"policy: {self.policy_chunks} chunks over {self.policy_share:.0%} of the time")
        return "; ".join(parts)


def survey_control(
    teleop: Sequence[StatusRow], policy_ns: Sequence[int], start_ns: int, duration_ns: int
) -> ControlSurvey:
    """Follow what teleoperation and policy said of themselves.

    Args:
        teleop: Messages of `teleop/state`, in order. What was said holds until the next one.
        policy_ns: Receive stamps of `policy/report`, in order.
        start_ns: First receive stamp of the bag.
        duration_ns: Its length.
    """
    end_ns = start_ns + duration_ns
    arms = list(dict.fromkeys(name for row in teleop for name in row.values.get("arms", "").split()))
    spans = {arm: _closed(teleop, arm, end_ns) for arm in arms}
    troubles, before = [], ""
    for row in teleop:
        trouble = "" if row.is_ok else row.message
        if trouble and _kind(trouble) != _kind(before):
            troubles.append((row.stamp_ns, trouble))
        before = trouble
    length_ns = max(1, duration_ns)
    return ControlSurvey(
        devices=tuple(dict.fromkeys(row.values["device"] for row in teleop if row.values.get("device"))),
        spans_ns={arm: found for arm, found in spans.items() if found},
        teleop_share=_covered_ns([span for found in spans.values() for span in found]) / length_ns,
        troubles=tuple(troubles),
        policy_chunks=len(policy_ns),
        policy_share=(policy_ns[-1] - policy_ns[0]) / length_ns if len(policy_ns) > 1 else 0.0,
    )


def _closed(rows: Sequence[StatusRow], arm: str, end_ns: int) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    since_ns: int | None = None
    for row in rows:
        is_closed = row.is_ok and row.values.get(f"{arm}{_CLUTCH}") == _CLOSED
        if is_closed and since_ns is None:
            since_ns = row.stamp_ns
        elif not is_closed and since_ns is not None:
            spans.append((since_ns, row.stamp_ns))
            since_ns = None
    if since_ns is not None:
        spans.append((since_ns, end_ns))
    return tuple(spans)


def _covered_ns(spans: Sequence[tuple[int, int]]) -> int:
    """Length of the union."""
    covered, reached = 0, 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _kind(trouble: str) -> str:
    """The trouble without its numbers: 'silent for 0.31 s' and 'silent for 0.35 s' are one."""
    return "".join(letter for letter in trouble if not letter.isdigit())
