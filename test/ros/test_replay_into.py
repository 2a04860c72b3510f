"""Recorded chunks move a twin's arm through adapter and safety, and its path is held against the recorded one."""

import argparse
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("pinocchio")
pytest.importorskip("mujoco")

import numpy as np
from rich.console import Console

from vla3d_ros.commands.replay import add_parser
from vla3d_ros.commands.replay_into import replay_into
from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import exp_se3

sys.path.insert(0, str(Path(__file__).parents[1] / "replay"))

from made_up_run import IMAGE_NS, START_NS, RunMaker

pytestmark = pytest.mark.ros

STEPS, STEP_M = 16, 0.002


def chunk(stamp_ns):
    """Go on at 60 mm/s along the tool's x axis, fingers half open."""
    twists = np.arange(1, STEPS + 1)[:, None] * np.array([STEP_M, 0.0, 0.0, 0.0, 0.0, 0.0])
    arm = ArmChunk(arm="fr3", Ts_ee0_ee=exp_se3(twists), gripper_opening=np.full(STEPS, 0.5))
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=33_333_333, arms=(arm,))


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A recording of an arm that stood still although its policy wanted to go on."""
    answers = {stamp: (chunk(stamp), {}) for stamp in range(START_NS, START_NS + 28 * IMAGE_NS, IMAGE_NS)}
    return RunMaker(tmp_path_factory.mktemp("bag") / "run", moves=False).write(answers)


def test_the_twin_follows_the_chunks_and_the_distance_from_the_recording_is_reported(bag, tmp_path):
    file = tmp_path / "out.json"
    words = ["replay", str(bag), "--into", "fr3_tabletop_twin", "--json", str(file), "--position-mm", "5"]
    console = Console(record=True, width=200)
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    assert replay_into(parser.parse_args(words), console) == 1, "the recorded arm stood still, the twin's moved"
    told = json.loads(file.read_text())
    assert told["played"] == told["chunks"] == 28
    assert set(told["verdicts"]) <= {"allow", "clamp"}, told["objections"]
    (path,) = told["paths"]
    assert path["length_mm"] < 1.0 and path["position_max_mm"] > 10.0
    assert path["position_max_mm"] < 28 * 1e3 * STEP_M + 10.0, "not farther than it was asked to go"
    assert path["rotation_max_deg"] < 3.0
    assert any("position is off by" in text for text in told["violations"])
    assert "failed" in console.export_text()
