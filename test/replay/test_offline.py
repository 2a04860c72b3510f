"""A recorded run through the cores again: the same bits, whatever the machine did that day."""

import numpy as np
import pytest
from made_up_run import IMAGE_NS, START_NS, RememberingPolicy, RunMaker, options

from vla3d_ros.commands.replay_setup import recorded_run, setup_for
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.replay.comparison import compare
from vla3d_ros.replay.offline import OfflineReplay

pytest.importorskip("pinocchio")


def offline_of(path, fed="recorded", **given):
    run = recorded_run(options(bag=path, **given))
    policy = RememberingPolicy()
    setup = setup_for(run, options(bag=path, **given), policy.description.cameras)
    return OfflineReplay(run, setup, policy.description.cameras, run.fed if fed == "recorded" and run.fed else None)


@pytest.fixture
def bag(tmp_path):
    return RunMaker(tmp_path / "run").write()


@pytest.fixture
def answered(tmp_path):
    """A run of a live policy that missed some observations and gave no chunk for others."""
    blind = RememberingPolicy(blind_every=4)
    first = RunMaker(tmp_path / "silent").write()
    source = offline_of(first)
    answers, unanswered = {}, []
    blind.reset("do it")
    for number, (observation, _) in enumerate(source.observations()):
        if number % 3 == 2:
            continue  # the live policy was busy
        try:
            values = {"unanswered_stamps_ns": " ".join(unanswered)}
            answers[observation.stamp_ns] = (blind.infer(observation), values)
            unanswered = []
        except Exception:
            unanswered.append(str(observation.stamp_ns))
    return RunMaker(tmp_path / "answered").write(answers)


def test_two_replays_are_the_same_to_the_last_bit(bag):
    offline = offline_of(bag)
    first, second = (offline.play(RememberingPolicy()) for _ in range(2))
    assert first.digest == second.digest
    assert [c.record.digest for c in first.chunks] == [c.record.digest for c in second.chunks]
    assert len(first.chunks) == 31


def test_one_changed_weight_changes_the_digest(bag):
    offline = offline_of(bag)
    assert offline.play(RememberingPolicy()).digest != offline.play(RememberingPolicy(weight=1.0 + 1e-9)).digest


def test_states_that_were_received_late_change_nothing(tmp_path, bag):
    late = RunMaker(tmp_path / "late").write(late_states=True)
    assert offline_of(late).play(RememberingPolicy()).digest == offline_of(bag).play(RememberingPolicy()).digest


def test_a_policy_that_remembers_is_fed_exactly_what_the_live_one_was(answered):
    offline = offline_of(answered)
    replay = offline.play(RememberingPolicy(blind_every=4))
    recorded = {stamp: chunk.record for stamp, chunk in offline.run.chunks.items()}
    comparison = compare([c.record for c in replay.chunks], recorded, "recorded", {})
    assert replay.unanswered and not replay.unseen
    assert comparison.identical == len(comparison.differences) == len(recorded) > 10
    assert not comparison.missing and not comparison.extra


def test_a_policy_that_remembers_differs_when_it_is_fed_more(answered):
    offline = offline_of(answered, fed="all")
    replay = offline.play(RememberingPolicy(blind_every=4))
    recorded = {stamp: chunk.record for stamp, chunk in offline.run.chunks.items()}
    comparison = compare([c.record for c in replay.chunks], recorded, "recorded", {})
    assert comparison.identical < len(comparison.differences)
    assert comparison.extra, "observations the live policy never saw"


def test_the_policy_starts_anew_with_every_task(answered):
    policy = RememberingPolicy(blind_every=4)
    offline_of(answered).play(policy)
    assert policy.resets == ["do it"]


def test_an_observation_the_bag_does_not_hold_is_named(answered):
    offline = offline_of(answered)
    offline.run.fed.insert(0, type(offline.run.fed[0])(stamp_ns=START_NS - IMAGE_NS, task=1, instruction="do it"))
    again = OfflineReplay(offline.run, offline.setup, offline.cameras, offline.run.fed)
    assert again.play(RememberingPolicy()).unseen == (START_NS - IMAGE_NS,)


def test_without_ee_state_poses_come_from_the_robots_kinematics(tmp_path, bag):
    bare = RunMaker(tmp_path / "bare").write(drop_ee=True)
    ours, theirs = (offline_of(path).play(RememberingPolicy()) for path in (bare, bag))
    comparison = compare([c.record for c in ours.chunks], {c.record.stamp_ns: c.record for c in theirs.chunks}, "", {})
    assert len(comparison.differences) == 31
    assert comparison.worst("position") < 1e-6


def test_every_chunk_gets_a_verdict_although_the_recorded_arm_moves(bag):
    replay = offline_of(bag).play(RememberingPolicy())
    assert sum(replay.verdicts.values()) == len(replay.chunks)
    assert replay.verdicts.get("refuse", 0) < len(replay.chunks) / 2, replay.objections


def test_a_policy_without_enough_of_its_views_is_told_which_there_are(bag):
    offline = offline_of(bag)
    with pytest.raises(RecordingError, match=r"looks through .* cameras with images in the bag: \['head', 'wrist'\]"):
        setup_for(offline.run, options(), ("front", "side", "head"))


def test_a_bag_of_an_unknown_robot_is_refused_with_every_reason(tmp_path):
    path = RunMaker(tmp_path / "run", session=None).write()
    run = recorded_run(options(bag=path))
    with pytest.raises(RecordingError, match=r"--deployment") as refused:
        setup_for(run, options(), ("front", "side"))
    assert "looks through ['front', 'side']" in str(refused.value)


def test_states_that_jump_are_refused(tmp_path):
    path = RunMaker(tmp_path / "run").write(q_jump=3.0)
    run = recorded_run(options(bag=path))
    with pytest.raises(RecordingError, match=r"steps by 3\.\d\d rad in 5.0 ms"):
        setup_for(run, options(), ("head", "wrist"))


def test_a_camera_can_be_seen_under_another_name(bag):
    run = recorded_run(options(bag=bag, view=["front=head"]))
    assert set(run.layout.images) == {"front", "wrist"}
    assert run.mounts["front"].camera == "front"
    assert np.array_equal(run.models["front"].K, run.models["wrist"].K)


def test_a_policy_for_another_robot_is_refused(bag):
    with pytest.raises(ConfigError, match=r"moves arms \['other'\]; the robot has \['fr3'\]"):
        offline_of(bag).play(RememberingPolicy(arm="other"))
