"""The page says in plain words what was asked, what was found, and what is missing."""

import json

import pytest

from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.evidence.figures import draw_all
from vla3d_ros.evaluation.evidence.live import read_live
from vla3d_ros.evaluation.evidence.page import PageFacts, evidence_page
from vla3d_ros.evaluation.evidence.results import evaluate
from vla3d_ros.evaluation.evidence.results_json import results_json
from vla3d_ros.evaluation.evidence.spatial_truth import SpatialCounts
from vla3d_ros.evaluation.evidence.store import CellRecord
from vla3d_ros.evaluation.evidence.trial import NOT_PLACED

FACTS = PageFacts(command="vla3d bench tabletop", live_command="vla3d evaluate tabletop_live")


@pytest.fixture
def complete(plan, trial):
    """Evidence with every trial; one variant fails at one of ten scenes, the other at half of them."""
    records = []
    for variant, variation in plan.cells():
        every = 10 if variant == "better" else 2
        trials = tuple(trial(number, number % every > 0, NOT_PLACED) for number in range(plan.trials))
        records.append(CellRecord(cell=(variant, variation), identity={}, trials=trials))
    return evaluate(plan, records)


def test_an_unfinished_run_is_called_that_and_a_finished_one_is_not(plan, trial, complete):
    some = evaluate(plan, [CellRecord(cell=("plain", "nominal"), identity={}, trials=(trial(0, True),))])
    assert "**Not finished: 1 of 160 trials." in evidence_page(some, FACTS)
    assert "Not finished" not in evidence_page(complete, FACTS)


def test_the_page_of_nothing_says_so(plan):
    page = evidence_page(evaluate(plan, []), FACTS)
    assert "no trial yet" in page and "Not run yet." in page


def test_rates_differences_failures_and_bars_are_on_the_page(complete):
    page = evidence_page(complete, FACTS)
    assert "| nominal | 50.0 % [35.2, 64.8] | 90.0 % [76.9, 96.0] |" in page
    assert "| nominal | 40 | +40.0 [" in page
    assert "| better | nominal | 4 of 40 | – | – | – | 4 | – | – |" in page
    assert "better, nominal: at least 90 %" in page and "**met**" in page
    assert "Holm's over all 2 differences" in page


def test_every_table_has_as_many_cells_in_each_row_as_in_its_head(complete):
    facts = PageFacts(command="c", spatial={"nominal": SpatialCounts(visible=4, found=3)}, identities={"code": "12"})
    width = None
    for line in evidence_page(complete, facts).splitlines():
        if not line.startswith("|"):
            width = None
        else:
            width = line.count("|") if width is None else width
            assert line.count("|") == width, line


def test_pictures_are_linked_only_if_they_are_there(complete):
    assert "![" not in evidence_page(complete, FACTS)
    page = evidence_page(complete, PageFacts(command="c", pictures={"rates": "../images/rates.png"}))
    assert page.count("![") == 1 and "(../images/rates.png)" in page


def test_what_a_policy_believes_is_told_as_shares_with_counts(complete):
    page = evidence_page(complete, PageFacts(command="c", spatial={"nominal": SpatialCounts(visible=4, found=3)}))
    assert "75 % (3/4)" in page


def test_figures_are_drawn_for_what_there_is_and_the_same_every_time(plan, complete):
    assert draw_all(evaluate(plan, [])) == {}
    drawn = draw_all(complete)
    assert set(drawn) == {"rates", "differences", "failures", "times"}
    assert drawn["rates"][0].startswith(b"\x89PNG") and drawn["rates"][1].startswith("<svg")
    assert {name: png for name, (png, _) in drawn.items()} == {
        name: png for name, (png, _) in draw_all(complete).items()
    }


def test_the_results_for_programs_have_every_cell(complete):
    found = json.loads(results_json(complete, FACTS))
    assert found["is_complete"] and len(found["cells"]) == 4
    assert {cell["successes"] for cell in found["cells"]} == {20, 36}


def live_trial(**changes):
    return {
        "mode": "live",
        "is_valid": True,
        "policy": "p",
        "outcome": "success",
        "sim_s": 10.0,
        "wall_s": 20.0,
        "verdicts": {"allow": 200, "clamp": 100},
        "latency_p50_ms": 20.0,
        "latency_p99_ms": 30.0,
    } | changes


def write_live(folder, trials):
    (folder / "results.json").write_text(json.dumps({"trials": trials}))
    return folder


def test_live_trials_give_success_chunks_a_second_and_pace(tmp_path, complete):
    trials = [live_trial(), live_trial(outcome="failure", latency_p99_ms=50.0), live_trial(is_valid=False, sim_s=1e6)]
    (found,) = read_live(write_live(tmp_path, [*trials, live_trial(mode="fast", policy="q")]))
    assert (found.policy, found.rate.successes, found.rate.trials) == ("p", 1, 2)
    assert found.chunks_per_s == pytest.approx(30.0)
    assert found.chunks_per_wall_s == pytest.approx(15.0)
    assert found.real_time_factor == pytest.approx(0.5)
    assert (found.latency_p50_ms, found.latency_p99_ms) == (20.0, 50.0)
    page = evidence_page(complete, PageFacts(command="c", live=(found,), live_command="l"))
    assert "| p | 1 of 2, 50.0 % [9.5, 90.5] | 30.0 / 15.0 | 0.50 | 20 / 50 |" in page


def test_no_live_run_is_no_error_but_a_run_without_live_trials_is(tmp_path):
    assert read_live(tmp_path / "nothing") == ()
    with pytest.raises(RecordingError, match="no live trials"):
        read_live(write_live(tmp_path, [live_trial(mode="fast")]))
    with pytest.raises(RecordingError, match="vla3d evaluate report"):
        read_live(write_live(tmp_path, [{"mode": "live"}]))
