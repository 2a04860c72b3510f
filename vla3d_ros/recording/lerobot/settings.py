"""What a user decides about an export."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """How episodes become a dataset.

    Attributes:
        fps: Frames per second, exactly.
        cameras: Which; empty: all that the bag has.
        has_depth: Export depth, too.
        is_relative: Whether `action` repeats the relative targets instead of the absolute ones.
        max_gap_s: Longest gap between robot states, and highest age of a picture.
        max_silence_s: Longest time without a new chunk.
        task: Instead of the recorded instructions.
    """

    fps: int = 30
    cameras: tuple[str, ...] = ()
    has_depth: bool = False
    is_relative: bool = False
    max_gap_s: float = 0.1
    max_silence_s: float = 0.5
    task: str = ""
