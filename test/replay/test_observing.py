"""Observations are the same whoever rebuilds them: this process, or another through shared memory."""

import gc
from dataclasses import replace

import numpy as np
import pytest
from made_up_run import CAMERAS, START_NS, RememberingPolicy, RunMaker, options

from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.datatypes import ReferringPrompt
from vla3d_ros.errors import RecordingError
from vla3d_ros.policy.observation_digest import observation_digest
from vla3d_ros.replay.observing import ObservingProcess
from vla3d_ros.replay.offline import OfflineReplay
from vla3d_ros.replay.recorded_run import Fed, prompt_given

pytest.importorskip("pinocchio")

SPOKEN = "pick up the object with the cyan-colored mask"


@pytest.fixture(scope="module")
def process():
    with ObservingProcess() as observing:
        yield observing


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    maker = RunMaker(
        tmp_path_factory.mktemp("bag") / "run", instruction=SPOKEN, prompt="cyan", depth_of=("head",), seconds=0.69
    )
    return recorded_run(options(bag=maker.write()))


def offline_of(run, observing=None, fed=None):
    return OfflineReplay(run, setup_for(run, options(), CAMERAS), CAMERAS, fed, ("head",), observing=observing)


def numbers(observation):
    """Everything in an observation, pixels included."""
    prompt = observation.prompt.rgb.tobytes() if observation.prompt else b""
    depth = b"".join(view.depth_m.tobytes() for view in observation.views if view.depth_m is not None)
    return observation_digest(observation), b"".join(view.rgb.tobytes() for view in observation.views), depth, prompt


def test_another_process_gives_the_same_observations_to_the_last_bit_and_again(run, process):
    here = [(numbers(observation), task) for observation, task in offline_of(run).observations()]
    offline = offline_of(run, process)
    for _ in range(2):
        process.prepare(offline._inputs)
        assert [(numbers(observation), task) for observation, task in process] == here
    assert len(here) == 21 and all(prompt and depth for (_, _, depth, prompt), _ in here)


def test_the_replay_of_a_policy_is_the_same(run, process):
    digests = {offline_of(run, observing).play(RememberingPolicy()).digest for observing in (process, None)}
    assert len(digests) == 1


def test_pictures_that_somebody_keeps_are_not_written_over(run, process):
    process.prepare(offline_of(run, process)._inputs)
    kept = [observation for observation, _ in process]
    expected = [numbers(observation) for observation, _ in offline_of(run).observations()]
    assert [numbers(observation) for observation in kept] == expected
    with pytest.raises(ValueError, match="read-only"):
        kept[0].views[0].rgb[0, 0, 0] = 1


def test_who_stops_early_leaves_nothing_behind_for_the_next(run, process):
    offline = offline_of(run, process)
    for _ in range(4):
        process.prepare(offline._inputs)
        next(iter(process))
    gc.collect()
    assert sorted(process._free) == list(range(8)), "every place is free again"
    assert offline.play(RememberingPolicy()).digest == offline_of(run).play(RememberingPolicy()).digest


def test_a_damaged_bag_is_reported_and_the_process_goes_on(run, process, tmp_path):
    offline = offline_of(run, process)
    layout = replace(offline.stream.footage.layout, images=dict.fromkeys(CAMERAS, "/not/there"))
    process.prepare(replace(offline._inputs, footage=replace(offline.stream.footage, layout=layout)))
    with pytest.raises(RecordingError, match="has no topics"):
        list(process)
    process.prepare(offline._inputs)
    assert len(list(process)) == 21


def test_a_process_that_ended_is_reported(run):
    with ObservingProcess() as observing:
        offline = offline_of(run, observing)
        observing._process.kill()
        observing._process.wait()
        with pytest.raises(RecordingError, match="ended with exit code -9"):
            offline.play(RememberingPolicy())


def test_depth_that_the_live_policy_did_not_get_is_taken_away(run):
    fed = [
        Fed(stamp_ns=observation.stamp_ns, task=1, instruction=SPOKEN, depth_cameras=cameras)
        for (observation, _), cameras in zip(offline_of(run).observations(), [(), ("head",), None] * 7, strict=True)
    ]
    had_depth = [o.views[0].depth_m is not None for o, _ in offline_of(run, fed=fed).observations()]
    assert had_depth == [False, True, True] * 7


def prompt_of(colour):
    return ReferringPrompt(camera="head", rgb=np.zeros((4, 4, 3), dtype=np.uint8), colour=colour)


@pytest.mark.parametrize(
    ("told", "receive_ns", "expected"),
    [
        (None, 30, "cyan"),  # an older recording: by the order of reception
        ("cyan", 30, "cyan"),
        ("cyan", 5, "cyan"),  # the policy had it before we did
        ("", 30, ""),  # the policy did not have it yet
        ("red", 30, ""),  # never heard
    ],
)
def test_the_report_of_the_policy_says_which_prompt_it_saw(told, receive_ns, expected):
    fed = Fed(stamp_ns=1, task=1, instruction=SPOKEN, receive_ns=receive_ns, prompt_colour=told)
    found = prompt_given(fed, [(10, SPOKEN)], [(20, prompt_of("cyan"))])
    assert (found.colour if found else "") == expected


def test_depth_is_waited_for_from_the_first_picture_on(run):
    first = next(iter(offline_of(run).observations()))[0]
    assert first.stamp_ns == START_NS
    assert first.views[0].depth_m is not None
