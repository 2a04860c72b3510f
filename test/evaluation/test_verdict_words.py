"""A chunk that is not followed is no stop of the arm, and no reader may take it for one."""

from __future__ import annotations

import pytest

from vla3d_ros.evaluation.verdict_words import objections, verdict_kind, verdict_text


@pytest.mark.parametrize(
    ("kind", "checks", "expected"),
    [
        ("allow", (), "allow"),
        ("clamp", ("velocity",), "clamp"),
        ("stop", ("chunk_rate",), "refuse"),
        ("stop", ("chunk_age", "disarmed"), "refuse"),
        ("stop", ("workspace",), "stop"),
        ("stop", ("chunk_age", "workspace"), "stop"),
        ("stop", (), "stop"),
    ],
)
def test_only_bad_timing_is_a_refusal(kind, checks, expected):
    assert verdict_kind(kind, checks) == expected


def test_checks_are_told_from_measurements():
    values = {"chunk_rate": "chunks come faster than every 10 ms", "dropped_steps": "0", "stamp_ns": "3426000000"}
    assert objections(values) == ("chunk_rate",)


def test_words_are_unmistakable():
    counts = {"clamp": 63, "refuse": 1, "allow": 208}
    assert verdict_text(counts) == "208 allowed, 63 clamped, 1 chunk refused"
    assert verdict_text({"stop": 1, "refuse": 2}) == "2 chunks refused, 1 stop of the arm"
    assert verdict_text({}) == "–"
