"""Chunks per second and their age, from when each was heard."""

from dataclasses import replace

import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.chunk_rate import ChunkSample, chunk_rate, rate_problems

PERIOD_NS = 33_333_333


def heard(count: int, *, every: int = 1, wall_per_ros: float = 2.0, lag_ms=lambda index: 20.0) -> list[ChunkSample]:
    return [
        ChunkSample(
            stamp_ns=index * PERIOD_NS,
            heard_s=100.0 + wall_per_ros * index * PERIOD_NS / 1e9,
            latency_ms=lag_ms(index),
            compute_ms=7.0,
        )
        for index in range(0, count, every)
    ]


def test_a_chunk_for_every_observation_is_thirty_hertz_however_slow_the_world_runs():
    rate = chunk_rate(heard(900))
    assert rate.hz_ros == pytest.approx(30.0, rel=1e-4) and rate.hz_wall == pytest.approx(15.0, rel=1e-4)
    assert rate.real_time_factor == pytest.approx(0.5) and rate.skipped_periods == 0
    assert rate_problems(rate) == []


def test_every_second_observation_unanswered_is_half_the_rate_and_counted():
    rate = chunk_rate(heard(900, every=2))
    assert rate.skipped_periods == 449
    (problem,) = rate_problems(rate)
    assert "15.00 chunks per second of ROS time; wanted at least 28.5" in problem


def test_a_queue_that_grows_is_told_from_a_lag_that_only_varies():
    growing = chunk_rate(heard(900, lag_ms=lambda index: 20.0 + 0.1 * index))
    varying = chunk_rate(heard(900, lag_ms=lambda index: 20.0 + 30.0 * (index % 2)))
    assert growing.lag_slope_ms_per_min == pytest.approx(180.0, rel=1e-3)
    assert growing.lag_growth_ms == pytest.approx(60.0, abs=1.0)
    assert "the lag grows" in rate_problems(growing)[0]
    assert rate_problems(varying) == []


def test_wall_times_are_left_out_where_the_camera_info_was_not_heard():
    samples = heard(30)
    samples[3] = replace(samples[3], seen_to_heard_ms=12.0)
    rate = chunk_rate(samples)
    assert rate.seen_to_heard_p50_ms == rate.seen_to_heard_p99_ms == 12.0
    assert chunk_rate(heard(30)).seen_to_heard_p50_ms is None


def test_too_few_chunks_say_nothing():
    with pytest.raises(ConfigError, match="2 chunks were heard"):
        chunk_rate(heard(2))
