"""A recording of the live graph gives the samples that its observations would have given on the spot."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_run import RememberingPolicy, RunMaker, options

from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.errors import RecordingError
from vla3d_ros.replay.offline import OfflineReplay
from vla3d_ros.training.demonstrations.config import PictureSettings
from vla3d_ros.training.demonstrations.from_bag import episode_from_bag
from vla3d_ros.training.demonstrations.recorder import EpisodeRecorder
from vla3d_ros.training.sample_reader import sample_of
from vla3d_ros.training.samples import SampleLayout

pytest.importorskip("pinocchio")

CAMERAS = ("head", "wrist")
PICTURES = PictureSettings(
    width_px=32, height_px=32, fit="letterbox", rendered_width_px=64, truth_width_px=64, has_depth=False
)
LAYOUT = SampleLayout(cameras=CAMERAS, arms=("fr3",), max_joints=7)


def run_and_setup(path):
    run = recorded_run(options(bag=path))
    return run, setup_for(run, options(bag=path), CAMERAS)


@pytest.fixture
def answered(tmp_path):
    """A bag with answers, and the samples recorded while the answers were given."""
    run, setup = run_and_setup(RunMaker(tmp_path / "silent").write())
    policy, answers = RememberingPolicy(), {}
    policy.reset("do it")
    recorder = EpisodeRecorder(PICTURES, CAMERAS, ["fr3"])
    for observation, _ in OfflineReplay(run, setup, CAMERAS, None).observations():
        chunk = policy.infer(observation)
        answers[observation.stamp_ns] = (chunk, {})
        recorder.add(replace(observation, instruction="do it"), chunk)
    return RunMaker(tmp_path / "answered").write(answers), recorder.episode("do it")


def test_the_bag_gives_the_same_samples_as_the_moment_itself(answered):
    path, live = answered
    episode = episode_from_bag(*run_and_setup(path), PICTURES, CAMERAS)
    assert np.array_equal(episode.stamps_ns, live.stamps_ns) and len(episode) > 25
    assert episode.instruction == "do it"
    for row in range(len(episode)):
        recorded, there = sample_of(episode, row, LAYOUT), sample_of(live, row, LAYOUT)
        assert np.array_equal(recorded.images, there.images)
        for name in ("K", "T_base_camera", "state", "T_base_ee", "actions"):
            assert getattr(recorded, name) == pytest.approx(getattr(there, name), abs=1e-6), name
        assert recorded.truth is None


def test_every_so_many_answered_observations_are_kept(answered):
    path, live = answered
    episode = episode_from_bag(*run_and_setup(path), PICTURES, CAMERAS, stride=4)
    assert np.array_equal(episode.stamps_ns, live.stamps_ns[::4])


def test_a_bag_without_answers_is_refused(tmp_path):
    run, setup = run_and_setup(RunMaker(tmp_path / "silent").write())
    with pytest.raises(RecordingError, match="expected exactly one"):
        episode_from_bag(run, setup, PICTURES, CAMERAS)
