"""Verdicts are the same whoever gives them: this process or another."""

import os
import threading
from multiprocessing.connection import Pipe

import numpy as np
import pytest
from made_up_run import RememberingPolicy, RunMaker, options

from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.datatypes import Observation, RobotState
from vla3d_ros.errors import RecordingError, ShapeError
from vla3d_ros.geometry import Transform
from vla3d_ros.replay.judging import JudgingHere, JudgingProcess, serve
from vla3d_ros.replay.offline import OfflineReplay

pytest.importorskip("pinocchio")

STATE = RobotState(
    arm="fr3",
    stamp_ns=1,
    joint_names=("a",),
    q=np.zeros(1),
    dq=np.zeros(1),
    T_base_ee=Transform.identity(),
    gripper_opening=0.5,
)
OBSERVATION = Observation(stamp_ns=1, views=(), robot_states=(STATE,), instruction="do it")


@pytest.fixture(scope="module")
def process():
    with JudgingProcess() as judging:
        yield judging


@pytest.fixture
def run(tmp_path):
    return recorded_run(options(bag=RunMaker(tmp_path / "run").write()))


def offline_of(run, judging):
    policy = RememberingPolicy()
    setup = setup_for(run, options(), policy.description.cameras)
    return OfflineReplay(run, setup, policy.description.cameras, judging=judging)


def test_another_process_gives_the_same_verdicts_to_the_last_bit_and_again(run, process):
    elsewhere, here = offline_of(run, process), offline_of(run, JudgingHere())
    digests = {one.play(RememberingPolicy()).digest for one in (elsewhere, here, elsewhere, here)}
    assert len(digests) == 1


def test_a_replay_that_was_broken_off_leaves_nothing_for_the_next(run, process):
    offline = offline_of(run, process)
    whole = offline.play(RememberingPolicy())
    process.begin(run.joints, offline.setup)
    for observation, _ in offline.observations():
        process.take(RememberingPolicy().infer(observation), observation.stamp_ns + 1)
        break
    assert offline.play(RememberingPolicy()).digest == whole.digest


class Silent:
    """Stands for a judge that stumbles."""

    def judge(self, chunk, now_ns):
        raise ShapeError("nothing fits")


def test_the_first_error_of_a_replay_is_its_answer_and_the_next_replay_is_not_harmed(monkeypatch):
    monkeypatch.setattr("vla3d_ros.replay.judging.ChunkJudge", lambda joints, setup: Silent())
    chunk = RememberingPolicy(cameras=()).infer(OBSERVATION)
    ours, theirs = Pipe()
    serving = threading.Thread(target=serve, args=(os.dup(theirs.fileno()),))
    serving.start()
    ours.send(((), None))
    ours.send("begin")
    ours.send((chunk, 1))
    ours.send((chunk, 2))
    ours.send(None)
    answer = ours.recv()
    ours.send("begin")
    ours.send(None)
    assert isinstance(answer, ShapeError) and str(answer) == "nothing fits"
    assert ours.recv() == []
    ours.close()
    theirs.close()
    serving.join(10.0)
    assert not serving.is_alive()


def test_a_process_that_ended_is_reported(run):
    with JudgingProcess() as judging:
        offline = offline_of(run, judging)
        judging._process.kill()
        judging._process.wait()
        with pytest.raises(RecordingError, match="ended with exit code -9"):
            offline.play(RememberingPolicy())
