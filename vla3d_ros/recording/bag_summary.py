"""What a recording holds, what it lost, and what it would lose now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BYTES_PER_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class BagSummary:
    """What a closed bag holds and what it lost: messages per topic, bytes on disk, seconds of recorded time.

    `longest_sync_s` is the longest wait for the disk: a power cut would have cost that much and half a second more.
    """

    path: Path
    messages: Mapping[str, int]
    dropped: Mapping[str, int]
    size_bytes: int
    duration_s: float
    longest_sync_s: float = 0.0

    def line(self) -> str:
        """Return one line for people, naming every topic that lost messages."""
        text = (
            f"{self.path}: {sum(self.messages.values())} messages on {len(self.messages)} topics, "
            f"{self.duration_s:.1f} s, {self.size_bytes / _BYTES_PER_MB:.1f} MB"
        )
        lost = self.losses()
        return f"{text}, nothing dropped" if not lost else f"{text}, DROPPED {lost}"

    def losses(self) -> str:
        """Return the topics that lost messages, with their counts; "" if none did."""
        return ", ".join(f"{count} on {topic}" for topic, count in sorted(self.dropped.items()) if count)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterState:
    """How an open bag is doing.

    Attributes:
        received: Messages accepted so far.
        dropped: Messages lost so far, by topic; only topics that lost any.
        waiting_bytes: What waits for the disk.
        waiting_share: The same as a share of the queue, 0 to 1; at 1 messages are dropped.
        at_risk_s: Seconds of recording that a power cut would cost now.
    """

    received: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    waiting_share: float = 0.0
    at_risk_s: float = 0.0
