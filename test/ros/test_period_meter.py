"""Periods are what lies between beginnings, and the memory is bounded."""

import pytest

from vla3d_ros.ros.period_meter import PeriodMeter

MS = 1_000_000


def test_percentiles_and_maximum_are_of_the_time_between_beginnings():
    meter = PeriodMeter(memory=1000)
    for begin_ms in [*range(0, 1000, 10), 1015, 1020]:
        meter.note(begin_ms * MS)
    values = meter.values("tick")
    assert values["tick_periods"] == "101"
    assert float(values["tick_p50_ms"]) == pytest.approx(10.0)
    assert float(values["tick_max_ms"]) == pytest.approx(25.0)


def test_the_oldest_periods_are_forgotten():
    meter = PeriodMeter(memory=3)
    for begin_ms in (0, 100, 110, 120, 130):
        meter.note(begin_ms * MS)
    assert float(meter.values("x")["x_max_ms"]) == pytest.approx(10.0)


def test_a_pause_that_was_meant_is_no_period():
    meter = PeriodMeter(memory=10)
    for begin_ms in (0, 10):
        meter.note(begin_ms * MS)
    meter.restart()
    assert meter.values("x") == {}
    for begin_ms in (5000, 5010):
        meter.note(begin_ms * MS)
    assert meter.values("x")["x_periods"] == "1"
