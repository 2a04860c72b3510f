"""Recorded chunks for a twin's arm: what is refused before anything starts, and how two paths are compared."""

import argparse
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_run import IMAGE_NS, START_NS, RunMaker

from vla3d_ros.commands.replay import add_parser
from vla3d_ros.commands.replay_into import (
    path_limits,
    path_violations,
    playing_violations,
    require_words_of_into,
    twin_deployment,
)
from vla3d_ros.commands.replay_start import postures, recorded_start
from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.errors import ConfigError, RecordingError, ShapeError
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.replay.chunk_playlist import (
    chunk_playlist,
    longest_lag_s,
    start_differences,
    start_reading,
)
from vla3d_ros.replay.followed_path import EePath, compare_paths
from vla3d_ros.replay.recorded_run import read_run
from vla3d_ros.resources import config_dir

pytest.importorskip("pinocchio")

STEPS = 8


def chunk(stamp_ns, *, arm="fr3", step_m=0.002, turn_rad=0.0):
    twists = np.arange(1, STEPS + 1)[:, None] * np.array([step_m, 0.0, 0.0, 0.0, 0.0, turn_rad])
    part = ArmChunk(arm=arm, Ts_ee0_ee=exp_se3(twists), gripper_opening=np.full(STEPS, 0.5))
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=33_333_333, arms=(part,))


def run_of(tmp_path, changes=None, **given):
    stamps = range(START_NS, START_NS + 10 * IMAGE_NS, IMAGE_NS)
    answers = {stamp: (chunk(stamp, **given), {}) for stamp in stamps}
    return read_run(RunMaker(tmp_path / "run").write(answers, **(changes or {})))


def words(*given):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["replay", "BAG", "--into", "fr3_tabletop_twin", *given])


def test_chunks_keep_their_times_whatever_is_added_to_their_stamps(tmp_path, embodiment):
    chunks = chunk_playlist(run_of(tmp_path), embodiment)
    assert [one.stamp_ns for one in chunks] == [START_NS + n * IMAGE_NS for n in range(10)]
    assert [one.receive_ns - one.stamp_ns for one in chunks] == [40_000_000] * 10
    moved = chunks[3].shifted(-2_500_000_001)
    stamp = np.frombuffer(moved[4:12], dtype=np.int32)
    assert int(stamp[0]) * 10**9 + int(stamp[1]) == chunks[3].stamp_ns - 2_500_000_001
    assert moved[12:] == chunks[3].cdr[12:] and moved[:4] == chunks[3].cdr[:4]
    assert longest_lag_s(chunks) == pytest.approx((IMAGE_NS + 40_000_000) * 1e-9)


def test_only_part_of_the_chunks_is_played_if_that_is_asked_for(tmp_path, embodiment):
    assert len(chunk_playlist(run_of(tmp_path), embodiment, duration_s=0.1)) == 4


def test_a_bag_without_chunks_is_refused(tmp_path, embodiment):
    run = read_run(RunMaker(tmp_path / "run").write())
    with pytest.raises(RecordingError, match="no chunks on a topic 'policy/chunk'"):
        chunk_playlist(run, embodiment)


def test_chunks_of_another_robot_that_leap_and_turn_are_refused_with_every_reason(tmp_path, embodiment):
    run = run_of(tmp_path, step_m=0.2, turn_rad=1.0)
    run.chunks = {
        stamp: replace(one, record=replace(one.record, arms={"left": one.record.arms["fr3"]}))
        for stamp, one in run.chunks.items()
    }
    with pytest.raises(RecordingError) as refused:
        chunk_playlist(run, embodiment)
    text = str(refused.value)
    assert "chunks move the arms ['left']; the robot has ['fr3']" in text
    assert "steps by 0.192 m; expected at most 0.100 m" in text
    assert "turns by 1.00 rad" in text


def test_chunks_on_another_clock_are_refused(tmp_path, embodiment):
    run = run_of(tmp_path)
    run.chunks = {stamp: replace(one, receive_ns=one.receive_ns + 10**10) for stamp, one in run.chunks.items()}
    with pytest.raises(RecordingError, match=r"received 10\.040 s after its stamp; expected 0 to 1\.5 s"):
        chunk_playlist(run, embodiment)


def test_joint_states_that_jump_are_refused(tmp_path, embodiment):
    run = run_of(tmp_path, {"q_jump": 3.0})
    with pytest.raises(RecordingError, match=r"steps by 3\.\d\d rad in 5.0 ms"):
        chunk_playlist(run, embodiment)


def test_joints_that_stand_elsewhere_are_named_with_their_differences(tmp_path, embodiment):
    arm = embodiment.arms[0]
    run = run_of(tmp_path)
    q = dict(zip(arm.joint_names, arm.q_home, strict=True))
    assert postures(run, embodiment, START_NS, q) == []
    q[arm.joint_names[2]] += 0.3
    (text,) = postures(run, embodiment, START_NS, q)
    assert arm.joint_names[2] in text and "+0.300 rad, allowed 0.02 rad" in text


def test_a_bag_without_end_effector_states_can_not_be_compared(tmp_path, embodiment):
    with pytest.raises(RecordingError, match="has no 'ee_state'"):
        recorded_start(run_of(tmp_path, {"drop_ee": True}), embodiment, START_NS)


def test_the_start_is_the_last_reading_before_the_first_chunk(tmp_path, arm):
    run = run_of(tmp_path)
    before = [reading for reading in run.joints if reading.stamp_ns <= START_NS + 3 * IMAGE_NS][-1]
    at = dict(zip(before.names, before.q.tolist(), strict=True))
    assert start_reading(run, arm.joint_names, START_NS + 3 * IMAGE_NS).tolist() == [at[n] for n in arm.joint_names]
    with pytest.raises(RecordingError, match=r"no states of joints \['elbow'\]"):
        start_reading(run, ["elbow"], START_NS)


def test_a_joint_nobody_has_heard_of_does_not_stand_where_it_should():
    assert start_differences(["a", "b"], np.zeros(2), np.array([0.019, np.nan])) == [
        "joint 'b' was at 0.000 rad in the recording, is at nan rad: +nan rad, allowed 0.02 rad"
    ]


def test_words_that_make_no_sense_are_refused_together_with_the_reason_of_each():
    require_words_of_into(words("--playback-duration", "3", "--position-mm", "20", "--rate", "1.0"))
    with pytest.raises(ConfigError) as refused:
        require_words_of_into(words("--rate", "0.5", "--loop", "--topics", "/a", "--policy", "other"))
    for why in ("at another rate the arm would go elsewhere", "--loop: the arm would jump", "--topics", "--policy"):
        assert why in str(refused.value)


def test_chunks_that_were_refused_or_late_are_no_repetition():
    good = SimpleNamespace(stops=[], verdicts={"allow": 9, "clamp": 1}, objections={"speed": "clamped"})
    assert playing_violations(good, 20.0) == []
    bad = SimpleNamespace(stops=["table"], verdicts={"allow": 8, "stop": 2}, objections={"chunk_rate": "too fast"})
    stop, refused, late = playing_violations(bad, 120.0)
    assert stop == "stop: table" and refused == "2 chunks were not followed: chunk_rate"
    assert late.startswith("chunks came up to 120 ms after they were due, allowed 50 ms")


def test_limits_of_a_path_are_wider_unless_told_otherwise(tmp_path):
    assert path_limits(words()).position_mm == 50.0
    assert path_limits(words("--position-mm", "4")).position_mm == 4.0
    file = tmp_path / "limits.yaml"
    file.write_text("position_mm: 6.0\n")
    assert path_limits(words("--limits", str(file))).position_mm == 6.0


def test_only_a_twin_is_moved_and_nobody_else_gives_it_chunks():
    deployment = twin_deployment("fr3_tabletop_twin")
    assert deployment.node_names == ("/fr3/twin", "/fr3/adapter")
    assert deployment.parameters["adapter"]["dry_run"] is False
    others = sorted(file for file in (config_dir() / "deployments").glob("*.yaml"))
    without = [file.stem for file in others if "twin:" not in file.read_text(encoding="utf-8")]
    for name in without:
        with pytest.raises(ConfigError, match="moves twins only"):
            twin_deployment(name)


def path_of(stamps_ns, x_m, yaw_rad=0.0, opening=0.5):
    poses = [exp_se3(np.array([0.0, 0.0, 0.0, 0.0, 0.0, yaw_rad])) for _ in stamps_ns]
    for pose, x in zip(poses, x_m, strict=True):
        pose[0, 3] = x
    return EePath.of("fr3", [(int(s), Transform(pose), opening) for s, pose in zip(stamps_ns, poses, strict=True)])


def test_the_lag_is_found_and_does_not_count_as_distance():
    stamps = np.arange(0, 3_000_000_000, 5_000_000)
    wave = lambda t_ns: 0.1 * np.sin(2e-9 * t_ns)  # noqa: E731
    shift = 7_000_000_000
    followed = path_of(stamps + shift, wave(stamps - 60_000_000), yaw_rad=np.radians(2.0), opening=0.75)
    found = compare_paths(path_of(stamps, wave(stamps)), followed, shift, 0, 3_000_000_000)
    assert found.lag_ms == 60.0
    assert found.position_max_mm < 1e-6
    assert found.rotation_mean_deg == pytest.approx(2.0, abs=1e-6)
    assert found.opening_max == pytest.approx(0.25)


def test_a_path_that_drifts_away_breaks_the_limits():
    stamps = np.arange(0, 3_000_000_000, 5_000_000)
    x = 0.1 * np.sin(4e-9 * stamps)
    drift = 0.02 * stamps / stamps[-1]
    found = compare_paths(path_of(stamps, x), path_of(stamps, x + drift), 0, 300_000_000, 2_600_000_000)
    assert 10.0 < found.position_max_mm < 25.0
    violations = path_violations([found], path_limits(words("--position-mm", "10")))
    assert len(violations) == 1 and "arm 'fr3': position is off by" in violations[0]
    assert not path_violations([found], path_limits(words()))


def test_paths_of_different_times_are_not_compared():
    stamps = np.arange(0, 1_000_000_000, 5_000_000)
    with pytest.raises(ShapeError, match="no time in common"):
        compare_paths(path_of(stamps, 0.0 * stamps), path_of(stamps, 0.0 * stamps), 9_000_000_000, 0, 10**9)
