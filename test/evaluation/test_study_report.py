"""From journals to tables, comparisons and the page."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.calibration_state import CalibrationState, CameraCalibration
from vla3d_ros.evaluation.mode_agreement import mode_agreements
from vla3d_ros.evaluation.study_comparison import compare_policies
from vla3d_ros.evaluation.study_json import results_json
from vla3d_ros.evaluation.study_report import study_page
from vla3d_ros.evaluation.study_results import failure_counts, pool_runs, tally
from vla3d_ros.evaluation.study_run import StudyData, begin_run, read_run
from vla3d_ros.evaluation.study_table import result_table
from vla3d_ros.evaluation.study_text import to_latex, to_markdown

_SPEC = importlib.util.spec_from_file_location("study_example", Path(__file__).with_name("study_example.py"))
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)


def played(folder: Path, is_success, trials: int = 10_000, **changes) -> StudyData:
    """Return a run in which `is_success(policy name, condition)` says how trials end."""
    order = example.order(**changes)
    with begin_run(folder, order) as run:
        while (trial := run.next_trial()) is not None and len(run.valid_trials) < trials:
            won = is_success(run.key.policies[trial.policy], trial.condition)
            run.finish(example.record(trial, run.start(trial, {}), is_success=won))
    return read_run(folder)


@pytest.fixture
def clear(tmp_path) -> StudyData:
    """pi succeeds always, tau only with the banana."""
    return played(tmp_path / "run", lambda policy, condition: policy == "pi" or condition.object == "banana")


def test_rates_are_counted_by_name_once_the_run_is_complete(clear):
    results = pool_runs([clear])
    assert results.is_revealed and results.policies == ("pi", "tau")
    assert tally(results.of("pi")).whole.successes == 12
    assert tally(results.of("tau")).whole.successes == 4
    assert failure_counts(results, "tau") == {"grasp": 8}


def test_the_key_stays_sealed_while_trials_are_left_unless_asked_for(tmp_path):
    data = played(tmp_path / "run", lambda policy, condition: True, trials=7)
    sealed = pool_runs([data])
    assert not sealed.is_revealed and sealed.policies == ("policy A", "policy B")
    text = study_page(sealed, tmp_path) + results_json(sealed)
    assert "tau" not in text and "stays sealed" in text
    assert pool_runs([data], reveal=True).policies == ("pi", "tau")


def test_policies_on_the_same_scenes_are_compared_in_pairs(clear):
    comparisons = compare_policies(pool_runs([clear]))
    (pair,) = comparisons.pairs
    assert pair.is_paired and (pair.pairs.first_only, pair.pairs.second_only) == (8, 0)
    assert pair.difference == pytest.approx(8 / 12)
    assert pair.p_value == pytest.approx(2 * 0.5**8)
    assert pair.e_value == pytest.approx(28.444, abs=1e-3)
    assert pair.is_separated(0.05)
    assert comparisons.letters == {"pi": "a", "tau": "b"}


def test_policies_from_runs_with_other_scenes_are_compared_within_task_setting_and_object(tmp_path):
    first = played(tmp_path / "one", lambda p, c: True, policies=("pi",), seed=1)
    second = played(tmp_path / "two", lambda p, c: c.number % 3 == 0, policies=("tau",), seed=2)
    results = pool_runs([first, second])
    (pair,) = compare_policies(results).pairs
    assert not pair.is_paired and pair.test == "stratified, exact" and pair.strata == 6
    assert pair.difference == pytest.approx(1 - 4 / 12)
    assert pair.low < pair.difference < pair.high
    assert set(pair.other_p_values) == {"Boschloo, not stratified", "Cochran-Mantel-Haenszel"}
    page = study_page(results, tmp_path)
    assert "within 6 strata" in page and "none gains from easier scenes" in page and "Mantel-Haenszel" in page


def test_without_strata_in_common_trials_are_compared_as_a_whole(tmp_path):
    first = played(tmp_path / "one", lambda p, c: True, trials=1, policies=("pi",), seed=1)
    second = played(tmp_path / "two", lambda p, c: False, trials=1, policies=("tau",), seed=2)
    (pair,) = compare_policies(pool_runs([first, second], reveal=True)).pairs
    assert pair.test == "Boschloo" and pair.strata == 0
    assert set(pair.other_p_values) == {"Fisher", "Barnard"}


def test_where_objects_are_tried_repeatedly_they_are_the_sample(tmp_path):
    many = example.PROTOCOL.replace("names: [apple, plum]", "count: 12")
    data = played(
        tmp_path / "run", lambda policy, c: policy == "pi" or c.object.endswith(("1", "3", "5")), protocol=many
    )
    results = pool_runs([data])
    found = tally(results.of("tau"))
    assert found.by_object is not None and found.by_object[0] < found.whole.low
    (pair,) = compare_policies(results).pairs
    assert pair.by_object is not None and pair.by_object[1] - pair.by_object[0] > pair.high - pair.low
    assert "counting objects" in study_page(results, tmp_path)


def test_interventions_are_a_rate_with_an_interval_and_their_kinds_stand_with_the_trial(tmp_path):
    with begin_run(tmp_path, example.order()) as run:
        while (trial := run.next_trial()) is not None:
            kinds = {"stop": 1, "seen": 2} if trial.number == 3 else {}
            changes = {"interventions": sum(kinds.values()), "intervention_kinds": kinds}
            run.finish(example.record(trial, run.start(trial, {}), **changes))
    results = pool_runs([read_run(tmp_path)])
    (aided,) = [found for found in map(tally, map(results.of, results.policies)) if found.interventions]
    assert aided.interventions == 3 and aided.unaided == 11
    assert (aided.aided.successes, aided.aided.trials) == (1, 12) and aided.aided.high == pytest.approx(0.354, abs=1e-3)
    page = study_page(results, tmp_path)
    assert "1 of 12 trials (1 to 35 %)" in page and "11 of 12 trials" in page
    assert "intervention: operator&#39;s stop, 2 x seen by the operator" in page
    assert json.loads(results_json(results))["trials"][2]["intervention_kinds"] == {"stop": 1, "seen": 2}


def test_the_calibration_of_every_trial_is_in_journal_results_and_page(tmp_path):
    camera = CameraCalibration(
        camera="head", kind="extrinsics", method="park", made_on="2026-05-04", age_days=3, error_px=0.31
    )
    good = CalibrationState(
        file="rig.yaml",
        digest="0123456789ab",
        is_exact=False,
        is_file_changed=False,
        allowed_days=90,
        cameras=(camera,),
    )
    edited = replace(good, is_file_changed=True)
    with begin_run(tmp_path, example.order()) as run:
        while (trial := run.next_trial()) is not None:
            state = edited if trial.number in (7, 8, 24) else good
            run.finish(example.record(trial, run.start(trial, {}), calibration=state.to_json()))
    data = read_run(tmp_path)
    assert CalibrationState.from_json(data.records[6].calibration) == edited
    results = pool_runs([data])
    told = json.loads(results_json(results))
    assert [state["is_stale"] for state in told["calibrations"]] == [False, True]
    assert told["trials"][0]["calibration"]["cameras"][0]["error_px"] == 0.31
    page = study_page(results, tmp_path)
    for part in (
        "0123456789ab",
        "trials 1–6, 9–23",
        "trials 7–8, 24",
        "0.31 px, 3 days old",
        "edited after the cameras",
    ):
        assert part in page


def test_three_policies_get_corrected_p_values_and_cochrans_q(tmp_path):
    data = played(
        tmp_path / "run",
        lambda policy, c: {"pi": True, "tau": c.number % 2 == 0, "rho": c.number % 6 == 0}[policy],
        policies=("pi", "tau", "rho"),
    )
    comparisons = compare_policies(pool_runs([data]))
    assert len(comparisons.pairs) == 3
    assert all(pair.p_corrected >= pair.p_value for pair in comparisons.pairs)
    assert comparisons.cochran is not None and comparisons.cochran[1] < 0.01


def test_runs_of_different_protocols_are_not_merged(tmp_path, clear):
    other = played(
        tmp_path / "other", lambda p, c: True, protocol=example.PROTOCOL.replace("title: Fruit", "title: Nuts")
    )
    with pytest.raises(ConfigError, match="of other protocols"):
        pool_runs([clear, other])


def test_merged_runs_count_together(tmp_path, clear):
    again = played(tmp_path / "again", lambda p, c: True, seed=9)
    results = pool_runs([clear, again])
    assert tally(results.of("pi")).whole.trials == 24
    assert tally(results.of("tau")).whole.successes == 16


def test_the_table_has_the_papers_layout_with_averages_and_overall(clear):
    table = result_table(pool_runs([clear]))
    assert [key for key, _ in table.rows] == [("round",), ("long",), ("Overall",)]
    assert table.columns == tuple(
        (policy, column) for policy in ("pi", "tau") for column in ("sparse", "dense", "Avg.")
    )
    overall = table.rows[-1][1]
    assert overall[3].rate == pytest.approx(1 / 3) and overall[5].tally is None
    assert table.header_groups()[0] == [("pi", 3), ("tau", 3)]
    markdown = to_markdown(table)
    assert "| long | 2/2 (100 %) [34, 100] |" in markdown
    assert markdown.count("\n") == 5
    latex = to_latex(table)
    assert r"\multicolumn{3}{c}{pi}" in latex and r"\toprule" in latex and "100 %" not in latex.replace(r"\%", "")


def test_the_page_is_self_contained_and_says_how_sure_it_is(tmp_path, clear):
    page = study_page(pool_runs([clear]), tmp_path)
    assert not re.search(r'(?:src|href)="https?:', page)
    for part in ("12/12", "4/12", "was policy", "told apart", "McNemar, exact", "the fruit rests in the bowl", "Tango"):
        assert part in page
    assert page.count('id="trial-') == 24


def test_invalid_and_interrupted_attempts_are_shown_and_counted_but_in_no_rate(tmp_path):
    with begin_run(tmp_path, example.order()) as run:
        trial = run.next_trial()
        spoiled = {"is_valid": False, "outcome": "none", "invalid_because": "the camera fell"}
        run.finish(example.record(trial, run.start(trial, {}), is_success=False, **spoiled))
        run.start(trial, {})
        run.close_interrupted()
        while (trial := run.next_trial()) is not None:
            run.finish(example.record(trial, run.start(trial, {})))
    results = pool_runs([read_run(tmp_path)])
    assert tally(results.of("pi")).whole.trials == 12
    content = json.loads(results_json(results))
    assert content["attempts"] == {"planned": 24, "valid": 24, "invalid": 1, "interrupted": 1}
    page = study_page(results, tmp_path)
    assert "the camera fell" in page and "1 invalid, 1 interrupted" in page


def test_two_modes_on_the_same_seeds_are_compared_and_not_mixed(tmp_path):
    live = played(tmp_path / "live", lambda p, c: c.number != 3)
    fast = played(tmp_path / "fast", lambda p, c: True)
    journal = tmp_path / "fast" / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"mode": "real"', '"mode": "fast"'))
    results = pool_runs([live, read_run(tmp_path / "fast")])
    assert fast.mode == "real" and tally(results.of("pi")).whole.trials == 12
    found = {mode.policy: mode for mode in mode_agreements(results)}
    assert found["pi"].agreeing == 11 and found["pi"].counts.pairs == 12
    assert found["pi"].counts.difference == pytest.approx(-1 / 12)
    assert "Live and fast on the same scenes" in study_page(results, tmp_path)


def test_a_report_before_the_first_trial_says_that_there_is_nothing_yet(tmp_path):
    with begin_run(tmp_path, example.order()):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = study_page(pool_runs([read_run(tmp_path)]), tmp_path)
    assert "No trial has a valid result yet" in page
