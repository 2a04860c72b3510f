"""The policy node answers a bag, and a replay without ROS answers it alike: prompts and depth included."""

import argparse
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")
pytest.importorskip("pinocchio")
pytest.importorskip("onnxruntime")

from rich.console import Console

from vla3d_ros.commands.replay import add_parser
from vla3d_ros.commands.replay_policy import choose_policy
from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.commands.replay_through import answers_of_the_live_node
from vla3d_ros.replay.comparison import compare
from vla3d_ros.replay.offline import OfflineReplay

sys.path.insert(0, str(Path(__file__).parents[1] / "replay"))

from made_up_run import RunMaker

pytestmark = pytest.mark.ros

SPOKEN = "pick up the object with the cyan-colored mask"


def test_a_policy_with_prompt_and_one_with_depth_are_replayed_as_they_were_live(tmp_path):
    bag = RunMaker(tmp_path / "run", instruction=SPOKEN, prompt="cyan", depth_of=("head",), seconds=1.5).write()
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    for policy, prompt, depth_cameras in (("gear_tiny", "cyan", ()), ("vla3d_tiny", "cyan", ("head",))):
        words = parser.parse_args(["replay", str(bag), "--policy", policy, "--against", "live"])
        run, chosen = recorded_run(words), choose_policy(policy)
        backend = chosen.open()
        told = backend.description
        offline = OfflineReplay(run, setup_for(run, words, told.cameras), told.cameras, None, told.depth_cameras)
        answers_of_the_live_node(offline, chosen, words, Console())
        answered = [fed for fed in run.fed if fed.is_answered]
        assert len(answered) > 10
        assert {fed.prompt_colour for fed in answered} == {prompt}
        assert depth_cameras in {fed.depth_cameras for fed in answered}
        replay = offline.play(backend)
        backend.close()
        seen = {chunk.record.stamp_ns: chunk.observation for chunk in replay.chunks}
        equal = {fed.stamp_ns for fed in answered if seen[fed.stamp_ns] == fed.digest}
        assert len(equal) > len(answered) / 2, "a busy machine may lose a robot state on its way to the policy"
        shown = {fed.stamp_ns for fed in answered if fed.depth_cameras == depth_cameras}
        assert len(equal & shown) > 10, "prompt and depth are among what must be equal"
        reference = {stamp: chunk.record for stamp, chunk in run.chunks.items() if stamp in equal}
        found = compare([c.record for c in replay.chunks if c.record.stamp_ns in equal], reference, "live", {})
        assert found.identical == len(found.differences) == len(equal), "not one bit differs"
