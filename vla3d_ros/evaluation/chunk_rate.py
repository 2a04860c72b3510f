"""How many chunks a second a running graph makes, how old they are, and whether they get older."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.statistics import percentile

WANTED_HZ = 30.0
_RATE_MARGIN = 0.05
_EDGE_S = 10.0
_LEAST_CHUNKS = 3
_NS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSample:
    """One chunk as it was heard.

    Attributes:
        stamp_ns: Its stamp: the capture of the observation it is an answer to, ROS time.
        heard_s: When it was heard, steady clock.
        latency_ms: From the stamp until it was published, ROS time.
        compute_ms: Of inference alone, wall time.
        seen_to_heard_ms: From hearing the anchor view's camera_info until hearing the chunk, wall time; None if the
            camera_info was not heard.
    """

    stamp_ns: int
    heard_s: float
    latency_ms: float
    compute_ms: float
    seen_to_heard_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRate:
    """The figures of one measurement; `lag_*` are medians of the latency over the first and the last seconds."""

    chunks: int
    ros_s: float
    wall_s: float
    hz_ros: float
    hz_wall: float
    real_time_factor: float
    latency_p50_ms: float
    latency_p99_ms: float
    compute_p50_ms: float
    compute_p99_ms: float
    seen_to_heard_p50_ms: float | None
    seen_to_heard_p99_ms: float | None
    edge_s: float
    lag_first_ms: float
    lag_last_ms: float
    lag_slope_ms_per_min: float
    skipped_periods: int

    @property
    def lag_growth_ms(self) -> float:
        """How much older chunks were at the end than at the beginning."""
        return self.lag_last_ms - self.lag_first_ms


def chunk_rate(samples: Sequence[ChunkSample], *, wanted_hz: float = WANTED_HZ) -> ChunkRate:
    """Return the figures of chunks in the order in which they were heard.

    Args:
        samples: At least three.
        wanted_hz: Rate of the cameras: stamps further apart than a period and a half count as skipped periods.

    Raises:
        ConfigError: If there are too few chunks to say anything.
    """
    if len(samples) < _LEAST_CHUNKS:
        raise ConfigError(f"{len(samples)} chunks were heard; expected at least {_LEAST_CHUNKS}: measure for longer")
    stamps_s = np.array([sample.stamp_ns for sample in samples], dtype=np.int64) / _NS
    latencies_ms = np.array([sample.latency_ms for sample in samples])
    ros_s = float(stamps_s[-1] - stamps_s[0])
    wall_s = samples[-1].heard_s - samples[0].heard_s
    edge_s = min(_EDGE_S, ros_s / 3.0)
    is_first, is_last = stamps_s <= stamps_s[0] + edge_s, stamps_s >= stamps_s[-1] - edge_s
    slope_ms_s = float(np.polyfit(stamps_s - stamps_s[0], latencies_ms, 1)[0])
    periods = np.rint(np.diff(stamps_s) * wanted_hz).astype(int)
    computes_ms = [sample.compute_ms for sample in samples]
    seen_ms = [sample.seen_to_heard_ms for sample in samples if sample.seen_to_heard_ms is not None]
    return ChunkRate(
        chunks=len(samples),
        ros_s=ros_s,
        wall_s=wall_s,
        hz_ros=(len(samples) - 1) / ros_s,
        hz_wall=(len(samples) - 1) / wall_s,
        real_time_factor=ros_s / wall_s,
        latency_p50_ms=float(np.percentile(latencies_ms, 50)),
        latency_p99_ms=float(np.percentile(latencies_ms, 99)),
        compute_p50_ms=float(np.percentile(computes_ms, 50)),
        compute_p99_ms=float(np.percentile(computes_ms, 99)),
        seen_to_heard_p50_ms=percentile(seen_ms, 50),
        seen_to_heard_p99_ms=percentile(seen_ms, 99),
        edge_s=edge_s,
        lag_first_ms=float(np.median(latencies_ms[is_first])),
        lag_last_ms=float(np.median(latencies_ms[is_last])),
        lag_slope_ms_per_min=60.0 * slope_ms_s,
        skipped_periods=int(np.maximum(periods - 1, 0).sum()),
    )


def rate_problems(rate: ChunkRate, *, wanted_hz: float = WANTED_HZ) -> list[str]:
    """Return what keeps a measurement from passing: too few chunks per second of ROS time, or a lag that grows.

    A lag grows if chunks at the end are older than those at the beginning by more than one camera period: a queue
    somewhere would add that within a second or two, noise does not.
    """
    problems = []
    least_hz = wanted_hz * (1.0 - _RATE_MARGIN)
    if rate.hz_ros < least_hz:
        problems.append(f"{rate.hz_ros:.2f} chunks per second of ROS time; wanted at least {least_hz:g}")
    if rate.lag_growth_ms > 1e3 / wanted_hz:
        problems.append(
            f"the lag grows: {rate.lag_first_ms:.1f} ms in the first {rate.edge_s:.0f} s, {rate.lag_last_ms:.1f} ms "
            f"in the last; more than a camera period of {1e3 / wanted_hz:.1f} ms"
        )
    return problems
