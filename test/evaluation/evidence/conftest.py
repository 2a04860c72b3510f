"""A small plan, and trials made up for it."""

from pathlib import Path

import pytest

from vla3d_ros.evaluation.evidence.config import read_plan
from vla3d_ros.evaluation.evidence.trial import FAILURES, CellTrial


def plan_content():
    return {
        "title": "Two policies",
        "deployment": "fr3_tabletop_twin",
        "trials": 40,
        "seed": 7,
        "latency_ms": 40.0,
        "nudge_share": 0.0,
        "timeout_s": 20.0,
        "variants": {
            "plain": {"title": "plain one", "policy": "scripted"},
            "better": {"title": "better one", "policy": "models/better"},
        },
        "variations": ["nominal", "camera_shift"],
        "comparisons": {"better": "plain"},
        "bars": [{"variant": "better", "variation": "nominal", "at_least": 0.9}],
        "advantages": [{"variant": "better", "over": "plain", "variation": "camera_shift", "points": 4}],
        "spatial": {"variant": "better", "scenes": 1, "seed": 8, "at_s": [0.5, 0.2]},
    }


def made_up(trial, is_success, failure=FAILURES[0], wall_s=1.0):
    return CellTrial(
        trial=trial,
        is_success=is_success,
        failure="" if is_success else failure,
        reason="",
        instruction="do it",
        sim_s=10.0 + trial / 10 if is_success else 20.0,
        verdicts={"allow": 3},
        wall_s=wall_s,
    )


@pytest.fixture
def content():
    return plan_content()


@pytest.fixture
def plan():
    return read_plan(plan_content(), where="test")


@pytest.fixture
def config():
    return Path(__file__).parents[3] / "config"


@pytest.fixture
def trial():
    return made_up
