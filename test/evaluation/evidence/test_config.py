"""Plans: everything that is wrong is said at once, and parts of a plan can be named."""

import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.evidence.config import load_plan, read_plan


def test_a_plan_is_read_with_its_moments_in_order(plan):
    assert [variant.name for variant in plan.variants] == ["plain", "better"]
    assert plan.comparisons == (("better", "plain"),)
    assert plan.spatial.at_s == (0.2, 0.5)
    assert plan.live == ""


def test_everything_that_is_wrong_is_said_at_once(content):
    content["trials"] = 1.5
    content["colour"] = "red"
    content["comparisons"] = {"best": "plain"}
    content["bars"][0] |= {"variation": "fog", "at_least": 1.5}
    content["nudge_share"] = 2.0
    with pytest.raises(ConfigError) as caught:
        read_plan(content, where="test")
    for words in ("'trials' is 1.5", "colour", "'best'", "'fog'", "at most 1", "'nudge_share' is 2"):
        assert words in str(caught.value)


def test_a_plan_without_variants_is_refused(content):
    content["variants"] = {}
    with pytest.raises(ConfigError, match="'variants' is empty"):
        read_plan(content, where="test")


def test_a_missing_plan_is_refused_with_those_there_are(config):
    with pytest.raises(ConfigError, match="tabletop"):
        load_plan(config / "benchmarks" / "nothing.yaml")


def test_the_shipped_plan_asks_for_what_was_promised(config):
    plan = load_plan(config / "benchmarks" / "tabletop.yaml")
    assert plan.trials >= 300
    assert {"scripted", "trunk"} < {variant.name for variant in plan.variants}
    assert {bar.variation: bar.at_least for bar in plan.bars} == {
        "nominal": 0.95,
        "camera_shift": 0.85,
        "occlusion_one_view": 0.85,
    }
    there = {file.stem for file in (config / "variations").glob("*.yaml")}
    assert set(plan.variations) == there - {"demonstrations"}


@pytest.mark.parametrize(
    ("variants", "cells", "expected"),
    [
        ((), (), 4),
        (("better",), (), 2),
        ((), ("nominal",), 2),
        ((), ("plain/nominal",), 1),
        (("better",), ("plain/nominal",), 0),
    ],
)
def test_a_part_of_a_plan_is_named_by_variants_and_cells(plan, variants, cells, expected):
    assert len(plan.cells(variants, cells)) == expected


def test_unknown_parts_are_refused_all_at_once(plan):
    with pytest.raises(ConfigError, match=r"(?s)'best'.*'fog'"):
        plan.cells(["best"], ["fog"])
