"""`vla3d evaluate` as a user types it, without a graph."""

from __future__ import annotations

import json

import pytest

from vla3d_ros.cli import main


def said(capsys) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["no_such"], "unknown trial protocol 'no_such'"),
        (["tabletop_twin_smoke"], "--policies is missing"),
        (["tabletop_twin_smoke", "--policies", "scripted,no_such"], "unknown policy 'no_such'"),
        (["tabletop_twin_smoke", "--policies", "scripted,scripted"], "each once"),
        (["vipa_real_robot", "--policies", "scripted_tabletop"], "names no deployment"),
        (["vipa_real_robot", "--deployment", "fr3_tabletop_twin", "--twin"], "is for a real robot"),
        (["tabletop_twin_smoke", "--resume"], "--resume needs --out"),
        (["mask_twin_smoke", "--policies", "scripted_tabletop"], "looks at no prompt picture"),
        (["mask_twin_smoke", "--policies", "gear", "--fast"], "leave --fast out"),
        (["plan"], "needs --effect"),
        (["plan", "--effect", "0.7"], "fractions from 0 to 1"),
        (["one", "two"], "expected a protocol"),
        (["--policies", "scripted"], "need a protocol"),
        (["report", "nowhere"], "can not be read"),
    ],
    ids=" ".join,
)
def test_what_can_not_be_meant_is_answered_with_what_could(arguments, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *arguments]) == 2
    assert part in said(capsys)
    assert not list(tmp_path.rglob("journal.jsonl"))


@pytest.fixture
def small_powers(monkeypatch):
    """Exact powers of large samples take seconds each; they have tests of their own."""
    monkeypatch.setattr("vla3d_ros.commands.evaluate_plan._POWERS_AT", (10,))


def test_the_plan_of_a_question_is_printed_and_written(small_powers, capsys, tmp_path):
    file = tmp_path / "plan.json"
    assert main(["evaluate", "plan", "--effect", "0.3", "--json", str(file)]) == 0
    assert "39 (45 with continuity)" in said(capsys)
    found = json.loads(file.read_text())
    assert found["independent"] == 39 and found["exact_power"]["10"] == pytest.approx(0.254, abs=1e-3)


def test_pairs_are_cheaper_where_scenes_decide(small_powers, tmp_path):
    figures = []
    for concordance in ("0", "0.5"):
        file = tmp_path / f"{concordance}.json"
        main(["evaluate", "plan", "--effect", "0.3", "--concordance", concordance, "--json", str(file)])
        figures.append(json.loads(file.read_text())["pairs"])
    assert figures[1] < 0.7 * figures[0]
