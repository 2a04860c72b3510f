"""Time to success with trials that never came there."""

from __future__ import annotations

import numpy as np
import pytest

from vla3d_ros.evaluation.statistics.survival import log_rank_p_value, success_times, survival_curve

T = [12, 15, 20, 22, 30, 60, 60, 60, 35, 41]
E = [1, 1, 1, 1, 1, 0, 0, 0, 1, 1]
T2 = [25, 33, 60, 60, 60, 60, 48, 60, 60, 52]
E2 = [1, 1, 0, 0, 0, 0, 1, 0, 0, 1]


def test_curve_has_the_known_values():
    curve = survival_curve(T, E)
    assert curve.at(30) == pytest.approx(0.5)
    assert curve.at(5) == 1.0
    assert curve.median_s == 30
    assert curve.mean_until(60) == pytest.approx(35.5)


def test_log_rank_has_the_known_value():
    assert log_rank_p_value((T, E), (T2, E2)) == pytest.approx(0.08595, abs=6e-6)


def test_nobody_successful_gives_a_flat_curve_and_no_evidence():
    curve = survival_curve([60, 60], [0, 0])
    assert curve.at(60) == 1.0 and curve.median_s is None and curve.mean_until(60) == 60
    assert log_rank_p_value(([60], [0]), ([60], [0])) == 1.0


def test_a_failure_never_shortens_the_time_of_those_who_might_still_succeed():
    """A trial that failed at 5 s has not succeeded at 60 s either."""
    times, success = success_times([5.0, 20.0, 30.0, 40.0], [0, 1, 1, 1], timeout_s=60.0)
    assert survival_curve(times, success).at(60.0) == pytest.approx(0.25)
    naive = survival_curve([5.0, 20.0, 30.0, 40.0], [0, 1, 1, 1])
    assert naive.at(60.0) == 0.0


def test_band_holds_the_curve_and_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    curve = survival_curve(T, E)
    assert ((curve.low <= curve.survival) & (curve.survival <= curve.high)).all()
    if not hasattr(stats, "ecdf"):
        pytest.skip("scipy before 1.11 has no survival curves")
    data = stats.CensoredData.right_censored(T, ~np.array(E, dtype=bool))
    theirs = stats.ecdf(data).sf
    assert curve.survival == pytest.approx(theirs.evaluate(curve.times_s))
    band = theirs.confidence_interval(method="log-log")
    assert curve.low == pytest.approx(band.low.evaluate(curve.times_s))
    assert curve.high == pytest.approx(band.high.evaluate(curve.times_s))
