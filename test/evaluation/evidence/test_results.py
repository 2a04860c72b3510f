"""From trials to statements: rates, paired differences, whether what was asked for was found."""

from dataclasses import replace

import pytest

from vla3d_ros.evaluation.evidence.results import MET, MISSED, OPEN, evaluate
from vla3d_ros.evaluation.evidence.store import CellRecord
from vla3d_ros.evaluation.evidence.trial import NOT_LIFTED, SAFETY_STOP


@pytest.fixture
def cell(trial):
    """Return a cell whose trials of these numbers failed."""

    def record(variant, variation, failed, trials=40):
        done = tuple(trial(number, number not in failed) for number in range(trials))
        return CellRecord(cell=(variant, variation), identity={}, trials=done)

    return record


def test_a_cell_counts_successes_failures_and_seconds(plan, trial):
    trials = (trial(0, True), trial(1, False, NOT_LIFTED), trial(2, True), trial(3, False, SAFETY_STOP))
    found = evaluate(plan, [CellRecord(cell=("plain", "nominal"), identity={}, trials=trials)])
    cell = found.cells["plain", "nominal"]
    assert (cell.rate.successes, cell.rate.trials) == (2, 4)
    assert cell.failures == {NOT_LIFTED: 1, SAFETY_STOP: 1}
    assert cell.success_time_s == pytest.approx(10.1)
    assert not found.is_complete
    assert found.missing(("plain", "nominal")) == 36
    assert found.missing(("better", "nominal")) == 40


def test_cells_and_trials_beyond_the_plan_have_no_say(plan, cell):
    records = [cell("plain", "nominal", (), 50), cell("plain", "fog", range(40))]
    found = evaluate(plan, records)
    assert list(found.cells) == [("plain", "nominal")]
    assert found.cells["plain", "nominal"].rate.trials == 40


def test_variants_are_compared_on_common_scenes_only(plan, cell):
    records = [cell("better", "nominal", (0,), 40), cell("plain", "nominal", (0, 1, 2, 35), 30)]
    (found,) = evaluate(plan, records).differences
    assert (found.pairs.pairs, found.pairs.first_only, found.pairs.second_only) == (30, 2, 0)
    assert found.difference == pytest.approx(2 / 30)
    assert found.low < found.difference < found.high
    assert found.p_value == found.p_corrected == pytest.approx(0.5)


def test_swapping_two_variants_turns_the_difference_round(plan, cell):
    records = [cell("better", "nominal", (0, 5)), cell("plain", "nominal", range(12))]
    (there,) = evaluate(plan, records).differences
    (back,) = evaluate(replace(plan, comparisons=(("plain", "better"),)), records).differences
    assert back.difference == pytest.approx(-there.difference)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-6)
    assert back.p_value == pytest.approx(there.p_value)


def test_p_values_are_corrected_for_the_number_of_differences(plan, cell):
    nominal = [cell("better", "nominal", ()), cell("plain", "nominal", range(8))]
    shifted = [cell("better", "camera_shift", ()), cell("plain", "camera_shift", range(7))]
    (alone,) = evaluate(plan, nominal).differences
    among, _ = evaluate(plan, nominal + shifted).differences
    assert among.p_value == alone.p_value == alone.p_corrected
    assert among.p_corrected == pytest.approx(2 * among.p_value)


@pytest.mark.parametrize(
    ("failures", "trials", "state", "words"),
    [
        (0, 40, MET, "the whole interval is above"),
        (3, 40, MET, "the interval's low end is below"),
        (5, 40, MISSED, "the interval includes it"),
        (30, 40, MISSED, "so is the whole interval"),
        (0, 39, OPEN, "39 of 40 trials so far"),
    ],
)
def test_a_bar_is_met_by_the_rate_and_the_interval_is_told(plan, cell, failures, trials, state, words):
    found = evaluate(plan, [cell("better", "nominal", range(failures), trials)]).verdicts[0]
    assert found.state == state
    assert words in found.found


def test_a_bar_without_trials_is_open(plan):
    assert [verdict.state for verdict in evaluate(plan, []).verdicts] == [OPEN, OPEN]


@pytest.mark.parametrize(
    ("ours", "theirs", "state", "words"),
    [
        (0, 25, MET, "are apart"),
        (1, 5, MISSED, "overlap"),
        (25, 0, MISSED, "overlap"),
    ],
)
def test_an_advantage_needs_the_points_and_the_intervals_apart(plan, cell, ours, theirs, state, words):
    records = [cell("better", "camera_shift", range(ours)), cell("plain", "camera_shift", range(theirs))]
    found = evaluate(plan, records).verdicts[1]
    assert (found.state, words in found.found) == (state, True)


def test_an_advantage_smaller_than_asked_for_is_missed_even_if_it_is_sure(plan, cell):
    wanted = replace(plan.advantages[0], points=60.0)
    records = [cell("better", "camera_shift", ()), cell("plain", "camera_shift", range(20))]
    found = evaluate(replace(plan, advantages=(wanted,)), records).verdicts[1]
    assert found.state == MISSED
    assert "are apart" in found.found
