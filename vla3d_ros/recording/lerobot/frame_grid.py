"""The exact grid of frames, and which capture belongs to each: the newest one that is not after the frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.int64]

_NS = 1_000_000_000
_PHASES = 16


def frame_stamps(start_ns: int, end_ns: int, fps: int) -> Stamps:
    """Return (N,) instants `start_ns + i / fps`, rounded to nanoseconds, up to and including end_ns; may be empty."""
    count = max(0, (end_ns - start_ns) * fps // _NS + 1)
    index = np.arange(count, dtype=np.int64)
    stamps: Stamps = start_ns + (index * _NS + fps // 2) // fps
    return stamps[stamps <= end_ns]


def newest_not_after(captures_ns: Stamps, frames_ns: Stamps) -> NDArray[np.int64]:
    """Return (M,) indices of the newest capture at or before each frame, -1 where there is none yet.

    Args:
        captures_ns: (N,) not decreasing.
        frames_ns: (M,).
    """
    return np.searchsorted(captures_ns, frames_ns, side="right").astype(np.int64) - 1


def quietest_start(captures: Sequence[Stamps], start_ns: int, end_ns: int, fps: int) -> int:
    """Return where in the first period a grid must start to see few captures twice, and then the freshest.

    Stamps jitter: a grid right at the captures takes now this one, now the one before. Of 16 phases the one with the
    fewest repeated captures is chosen, of these the one with the lowest mean age.

    Args:
        captures: Per camera (N,) stamps.
        start_ns: First possible frame.
        end_ns: Last possible frame.
        fps: Frames per second.
    """
    starts = [start_ns + step * _NS // (fps * _PHASES) for step in range(_PHASES)]
    return min(starts, key=lambda start: _cost(captures, frame_stamps(start, end_ns, fps)))


def _cost(captures: Sequence[Stamps], frames_ns: Stamps) -> tuple[float, float]:
    repeats, ages = 0, 0.0
    for stamps in captures:
        index = newest_not_after(stamps, frames_ns)
        repeats += int(np.count_nonzero(np.diff(index) == 0))
        ages += float(np.mean(frames_ns - stamps[np.maximum(index, 0)])) if len(index) else 0.0
    return repeats / max(1, len(frames_ns)), ages
