"""Recorded chunks move a twin's arms through adapter and safety; their paths are held against the recorded ones."""

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
from waiting import WaitedInVainError

from vla3d_ros.commands.replay import add_parser
from vla3d_ros.commands.replay_into import replay_into
from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.errors import RecordingError
from vla3d_ros.geometry import exp_se3
from vla3d_ros.resources import config_dir

sys.path.insert(0, str(Path(__file__).parents[1] / "replay"))

from made_up_run import IMAGE_NS, START_NS, RunMaker

pytestmark = pytest.mark.ros

STEPS, STEP_M = 16, 0.002


def chunk(stamp_ns, *arms):
    """Go on at 60 mm/s along the tool's x axis, fingers half open."""
    twists = np.arange(1, STEPS + 1)[:, None] * np.array([STEP_M, 0.0, 0.0, 0.0, 0.0, 0.0])
    parts = [ArmChunk(arm=arm, Ts_ee0_ee=exp_se3(twists), gripper_opening=np.full(STEPS, 0.5)) for arm in arms]
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=33_333_333, arms=tuple(parts))


def recording(folder, *arms, **given):
    """A recording of arms that stood still although their policy wanted to go on."""
    stamps = range(START_NS, START_NS + 28 * IMAGE_NS, IMAGE_NS)
    return RunMaker(folder / "run", moves=False, **given).write({stamp: (chunk(stamp, *arms), {}) for stamp in stamps})


def replayed(bag, deployment, folder):
    """Return the exit code, what was written, and what was said."""
    file = folder / "out.json"
    words = ["replay", str(bag), "--into", deployment, "--json", str(file), "--position-mm", "5"]
    console = Console(record=True, width=200)
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    try:
        code = replay_into(parser.parse_args(words), console)
    except RecordingError as error:
        if "chunk_timeout" in str(error):
            raise WaitedInVainError(f"the player was held up, the machine is too busy: {error}") from error
        raise
    told = json.loads(file.read_text())
    if told["late_ms"] > 50.0 or "chunk_rate" in told["objections"]:
        raise WaitedInVainError(f"chunks came late or in a burst, the machine is too busy: {told['violations']}")
    return code, told, console.export_text()


def test_the_twin_follows_the_chunks_and_the_distance_from_the_recording_is_reported(tmp_path):
    code, told, said = replayed(recording(tmp_path, "fr3"), "fr3_tabletop_twin", tmp_path)
    assert code == 1, "the recorded arm stood still, the twin's moved"
    assert "driving there first" not in said
    assert told["played"] == told["chunks"] == 28
    assert set(told["verdicts"]) <= {"allow", "clamp"}, told["objections"]
    (path,) = told["paths"]
    assert path["length_mm"] < 1.0 and path["position_max_mm"] > 10.0
    assert path["position_max_mm"] < 28 * 1e3 * STEP_M + 10.0, "not farther than it was asked to go"
    assert path["rotation_max_deg"] < 3.0
    assert any("position is off by" in text for text in told["violations"])
    assert "failed" in said


def test_two_arms_are_first_brought_to_where_their_recording_starts(tmp_path):
    robot = config_dir() / "robots" / "dual_piper.yaml"
    bag = recording(tmp_path, "left", "right", robot=robot, away_rad=0.08)
    code, told, said = replayed(bag, "dual_piper_tabletop_twin", tmp_path)
    assert "the recording does not start at home: driving there first" in said
    assert "another posture" not in said, "arms without freedom to spare stand as they did"
    assert told["played"] == told["chunks"] == 28
    assert set(told["verdicts"]) <= {"allow", "clamp"}, told["objections"]
    assert {path["arm"] for path in told["paths"]} == {"left", "right"}
    for path in told["paths"]:
        assert path["position_max_mm"] > 10.0, "both arms moved"
        assert path["position_max_mm"] < 28 * 1e3 * STEP_M + 10.0, "and set out from where the recording did"
    assert code == 1
