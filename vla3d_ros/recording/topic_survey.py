"""Timing of one topic: rate, gaps, jitter, and stamps that can not be true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.int64]

_NS_PER_S = 1e9
_NS_PER_MS = 1e6
_GAP_PERIODS = 3.0
_STEADY_SHARE = 0.5  # a topic is periodic if its middle half of intervals is within half of their median
_FEWEST = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TopicSurvey:
    """One topic of a bag.

    Attributes:
        topic: Full name.
        msgtype: Full type name.
        stamps_ns: When messages were received, (N,).
        headers_ns: When they were sampled, by their headers, (N,) or (0,) without headers.
        rate_hz: Messages per second over the time between first and last; None with fewer than two.
        is_periodic: Whether it comes at a steady rate, so that a gap means something.
        jitter_ms: Half the range of the middle 98 % of intervals; None if not periodic.
        gaps: Beginning and length of every interval over three periods, ns; empty if not periodic.
        zero_stamps: Headers with stamp zero.
        repeated_stamps: Headers whose stamp equals the one before.
        backward_stamps: Headers whose stamp lies before the one before.
        undecodable: Why its messages can not be decoded; "" if they can, or nobody tried.
    """

    topic: str
    msgtype: str
    stamps_ns: Stamps
    headers_ns: Stamps
    rate_hz: float | None
    is_periodic: bool
    jitter_ms: float | None
    gaps: tuple[tuple[int, int], ...]
    zero_stamps: int
    repeated_stamps: int
    backward_stamps: int
    undecodable: str = ""

    @property
    def count(self) -> int:
        """Number of messages."""
        return len(self.stamps_ns)

    @property
    def longest_gap_s(self) -> float:
        """The longest gap; 0 without any."""
        return max((length for _, length in self.gaps), default=0) / _NS_PER_S


def survey_topic(topic: str, msgtype: str, stamps_ns: Stamps, headers_ns: Stamps, undecodable: str = "") -> TopicSurvey:
    """Measure a topic's timing.

    Args:
        topic: Full name.
        msgtype: Full type name.
        stamps_ns: Receive stamps in order of arrival, (N,).
        headers_ns: Header stamps, (N,) or (0,).
        undecodable: Why its messages can not be decoded.
    """
    times = headers_ns if len(headers_ns) == len(stamps_ns) and _are_usable(headers_ns) else stamps_ns
    intervals: Stamps = np.diff(np.sort(times)).astype(np.int64)
    intervals = intervals[intervals > 0]
    span_ns = int(times.max() - times.min()) if len(times) else 0
    median_ns = float(np.median(intervals)) if len(intervals) else 0.0
    is_periodic = len(intervals) >= _FEWEST and _is_steady(intervals, median_ns)
    steps = np.diff(headers_ns)
    return TopicSurvey(
        topic=topic,
        msgtype=msgtype,
        stamps_ns=stamps_ns,
        headers_ns=headers_ns,
        rate_hz=(len(times) - 1) * _NS_PER_S / span_ns if span_ns else None,
        is_periodic=is_periodic,
        jitter_ms=float(np.ptp(np.percentile(intervals, [1, 99])) / 2 / _NS_PER_MS) if is_periodic else None,
        gaps=_gaps(np.sort(times), median_ns) if is_periodic else (),
        zero_stamps=int(np.count_nonzero(headers_ns == 0)),
        repeated_stamps=int(np.count_nonzero((steps == 0) & (headers_ns[1:] != 0))),
        backward_stamps=int(np.count_nonzero(steps < 0)),
        undecodable=undecodable,
    )


def skews_ms(anchor_ns: Stamps, others_ns: list[Stamps]) -> NDArray[np.float64]:
    """Return, for each capture of the anchor, how far the farthest of the other cameras' nearest captures is, ms.

    Args:
        anchor_ns: Capture stamps of one camera, (N,).
        others_ns: Those of the others.

    Returns:
        (M,) for the captures that lie within what all cameras recorded.
    """
    series = [np.sort(stamps) for stamps in (anchor_ns, *others_ns) if len(stamps)]
    if len(series) < 2:
        return np.zeros(0)
    start, end = max(s[0] for s in series), min(s[-1] for s in series)
    captures = series[0][(series[0] >= start) & (series[0] <= end)]
    nearest = [np.abs(s[_nearest(s, captures)] - captures) for s in series[1:]]
    return np.max(nearest, axis=0) / _NS_PER_MS if len(captures) else np.zeros(0)


def ages_ms(ticks_ns: Stamps, stamps_ns: Stamps) -> NDArray[np.float64]:
    """Return how old the newest sample is at every tick, ms: (N,); infinite before the first sample."""
    ordered = np.sort(stamps_ns)
    index = np.searchsorted(ordered, ticks_ns, side="right") - 1
    ages = np.full(len(ticks_ns), np.inf)
    has_sample = index >= 0
    ages[has_sample] = (ticks_ns[has_sample] - ordered[index[has_sample]]) / _NS_PER_MS
    return ages


def _nearest(ordered: Stamps, wanted: Stamps) -> NDArray[np.intp]:
    right = np.clip(np.searchsorted(ordered, wanted), 1, len(ordered) - 1) if len(ordered) > 1 else None
    if right is None:
        return np.zeros(len(wanted), dtype=np.intp)
    is_left = wanted - ordered[right - 1] < ordered[right] - wanted
    return right - is_left.astype(np.intp)


def _are_usable(headers_ns: Stamps) -> bool:
    return len(headers_ns) > 0 and int(headers_ns.min()) > 0 and len(np.unique(headers_ns)) > len(headers_ns) // 2


def _is_steady(intervals: NDArray[np.int64], median_ns: float) -> bool:
    quarter, three_quarters = np.percentile(intervals, [25, 75])
    return bool(three_quarters - quarter <= _STEADY_SHARE * median_ns)


def _gaps(times: Stamps, median_ns: float) -> tuple[tuple[int, int], ...]:
    intervals = np.diff(times)
    found = np.flatnonzero(intervals > _GAP_PERIODS * median_ns)
    return tuple((int(times[index]), int(intervals[index])) for index in found)
