"""What is in a dataset, against what was put into the bag."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'vla3d_ros[lerobot]'")
pytest.importorskip("av", reason="PyAV is not installed: pip install 'vla3d_ros[lerobot]'")

from dataset_reading import Dataset

from vla3d_ros.cli import main

FORMATS = ("v3.0", "v2.1")
HEAD, WRIST = "observation.images.head", "observation.images.wrist"


def export(out, *arguments):
    assert main(["export", "lerobot", "--out", str(out), *map(str, arguments)]) == 0
    return Dataset(out)


def seconds(dataset, made_up, episode=None):
    """When the frames are, in the time of the made-up episode."""
    return (dataset.column("capture.frame_stamp_ns", episode) - made_up.start_ns) * 1e-9


def vector(T, *more):
    return [*T[:3, 3], *T[:3, 0], *T[:3, 1], *more]


@pytest.mark.parametrize("version", FORMATS)
def test_state_is_what_was_measured_at_the_frame(tmp_path, recorded, made_up, version):
    path, episode = recorded()
    dataset = export(tmp_path / "out", path, "--format", version)
    times = seconds(dataset, made_up)
    expected = [[*vector(episode.pose(0, t), episode.opening(t)), *episode.q(0, t)] for t in times]
    assert len(times) > 35
    np.testing.assert_allclose(dataset.column("observation.state"), expected, atol=2e-6)
    names = dataset.info["features"]["observation.state"]["names"]
    assert names[:3] + names[9:11] == ["fr3.x", "fr3.y", "fr3.z", "fr3.gripper", "fr3.fr3_joint1"]


@pytest.mark.parametrize("version", FORMATS)
def test_action_is_what_was_commanded_for_the_next_frame(tmp_path, recorded, made_up, version):
    path, episode = recorded()
    dataset = export(tmp_path / "out", path, "--format", version)
    absolute, relative = [], []
    for t in seconds(dataset, made_up):
        T_base_target, grip = episode.target(0, t + 1 / 30), episode.opening_target(t + 1 / 30)
        absolute.append(vector(T_base_target, grip))
        relative.append(vector(np.linalg.inv(episode.pose(0, t)) @ T_base_target, grip))
    np.testing.assert_allclose(dataset.column("targets.absolute"), absolute, atol=2e-6)
    np.testing.assert_allclose(dataset.column("targets.relative"), relative, atol=2e-6)
    np.testing.assert_array_equal(dataset.column("action"), dataset.column("targets.absolute"))


def test_action_can_be_the_relative_targets(tmp_path, recorded):
    dataset = export(tmp_path / "out", recorded()[0], "--action", "relative")
    np.testing.assert_array_equal(dataset.column("action"), dataset.column("targets.relative"))
    assert json.loads((tmp_path / "out" / "meta" / "vla3d.json").read_text())["action"] == "targets.relative"


def test_newest_chunk_received_by_then_is_the_one_that_counts(tmp_path, recorded, made_up):
    path, episode = recorded(chunk_step_m=0.01)
    dataset = export(tmp_path / "out", path)
    due = seconds(dataset, made_up) + 1 / 30
    newest = np.floor((due - episode.latency_s) * 20 + 1e-6)
    expected = [episode.target(0, t, chunk)[2, 3] for t, chunk in zip(due, newest, strict=True)]
    np.testing.assert_allclose(dataset.column("action")[:, 2], expected, atol=2e-6)


@pytest.mark.parametrize("version", FORMATS)
def test_every_frame_shows_the_newest_picture_not_after_it(tmp_path, recorded, made_up, version):
    captures = {"head": list(np.arange(45) / 30 + np.random.default_rng(5).uniform(0, 0.02, 45))}
    path, _ = recorded(captures_s=captures)
    dataset = export(tmp_path / "out", path, "--format", version)
    times = seconds(dataset, made_up)
    expected = [np.flatnonzero(np.array(captures["head"]) <= t + 1e-9)[-1] for t in times]
    shown = [made_up.number_of(rgb) for rgb in dataset.video(HEAD, 0)]
    assert shown == expected
    taken = np.array([captures["head"][number] for number in shown])
    np.testing.assert_allclose(dataset.column("capture.head.offset_s"), taken - times, atol=1e-7)
    assert (dataset.column("capture.head.offset_s") <= 0).all()


def test_timestamps_are_exact_multiples_of_the_period(tmp_path, recorded):
    dataset = export(tmp_path / "out", recorded()[0], "--fps", "25")
    index = dataset.column("frame_index")
    np.testing.assert_array_equal(dataset.column("timestamp").astype(np.float32), (index / 25).astype(np.float32))
    stamps = dataset.column("capture.frame_stamp_ns")
    np.testing.assert_array_equal(stamps - stamps[0], index * 40_000_000)


def test_jittering_captures_are_all_shown_once(tmp_path, recorded, made_up):
    path, _ = recorded(capture_jitter_s=0.004)
    shown = [made_up.number_of(rgb) for rgb in export(tmp_path / "out", path).video(HEAD, 0)]
    assert shown == list(range(shown[0], shown[0] + len(shown)))


def test_wrist_camera_is_where_it_was_when_it_took_the_picture(tmp_path, recorded, made_up):
    path, episode = recorded(capture_jitter_s=0.01)
    dataset = export(tmp_path / "out", path)
    taken = seconds(dataset, made_up) + dataset.column("capture.wrist.offset_s")
    expected = np.stack([(episode.pose(0, t) @ made_up.T_ee_camera).ravel() for t in taken])
    np.testing.assert_allclose(dataset.column("camera.wrist.T_base_camera"), expected, atol=2e-6)
    head = dataset.column("camera.head.T_base_camera")
    np.testing.assert_allclose(head, np.tile(made_up.T_base_camera.ravel(), (len(head), 1)), atol=1e-6)
    np.testing.assert_allclose(dataset.column("camera.head.K")[0], made_up.K.ravel(), atol=1e-4)
    np.testing.assert_allclose(dataset.facts[0]["cameras"]["wrist"]["T_parent_camera"], made_up.T_ee_camera, atol=1e-9)


@pytest.mark.parametrize("version", FORMATS)
def test_depth_comes_back_bit_by_bit(tmp_path, recorded, made_up, version):
    import cv2

    path, _ = recorded(has_depth=True, cameras=("head",), seconds=0.7)
    dataset = export(tmp_path / "out", path, "--depth", "--format", version)
    shown = [made_up.number_of(rgb) for rgb in dataset.video(HEAD, 0)]
    for number, row in zip(shown, dataset.frames(), strict=True):
        depth = cv2.imdecode(np.frombuffer(row["depth.head"]["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(depth, made_up.depth_of(number))
    assert dataset.stats(0)["depth.head"]["max"][0][0][0] > 60000


@pytest.mark.parametrize("version", FORMATS)
def test_two_arms_are_side_by_side_in_the_robots_order(tmp_path, recorded, made_up, two_arms, version):
    path, episode = recorded(robot=two_arms, cameras=("head",))
    dataset = export(tmp_path / "out", path, "--format", version)
    expected = []
    for t in seconds(dataset, made_up):
        arms = [[*vector(episode.pose(arm, t), episode.opening(t)), *episode.q(arm, t)] for arm in (0, 1)]
        expected.append([*arms[0], *arms[1]])
    np.testing.assert_allclose(dataset.column("observation.state"), expected, atol=2e-6)
    assert dataset.column("action").shape[1] == 20
    if version == "v2.1":
        parts = json.loads((dataset.root / "meta" / "modality.json").read_text())["action"]
        assert [entry["end"] - entry["start"] for entry in parts.values()] == [3, 6, 1, 3, 6, 1]


@pytest.mark.parametrize("version", FORMATS)
def test_episodes_follow_one_another_and_keep_their_pictures(tmp_path, recorded, made_up, version):
    for number, length in enumerate((1.0, 1.3, 0.8)):
        recorded(f"episode_{number:04d}", seconds=length, instruction=f"task {number % 2}")
    dataset = export(tmp_path / "out", tmp_path / "bags", "--format", version)
    lengths = [row["length"] for row in dataset.episodes]
    assert dataset.info["total_episodes"] == 3
    assert dataset.info["total_frames"] == sum(lengths) == len(dataset.frames())
    np.testing.assert_array_equal(dataset.column("index"), np.arange(sum(lengths)))
    for episode, length in enumerate(lengths):
        np.testing.assert_array_equal(dataset.column("frame_index", episode), np.arange(length))
        shown = [made_up.number_of(rgb) for rgb in dataset.video(WRIST, episode)]
        taken = seconds(dataset, made_up, episode) + dataset.column("capture.wrist.offset_s", episode)
        assert shown == [round(t * 30) + 1 for t in taken]
    assert dataset.tasks == {0: "task 0", 1: "task 1"}
    assert [row["tasks"] for row in dataset.episodes] == [["task 0"], ["task 1"], ["task 0"]]
    np.testing.assert_array_equal(dataset.column("task_index"), np.repeat([0, 1, 0], lengths))
    assert [row["source"] for row in dataset.episodes] == [f"episode_{number:04d}" for number in range(3)]


def test_full_files_are_followed_by_new_ones(tmp_path, recorded, made_up, one_arm):
    from vla3d_ros.recording.lerobot import ExportSettings, plan_episode
    from vla3d_ros.recording.lerobot.export import write_episodes
    from vla3d_ros.recording.lerobot.layout_v30 import LayoutV30
    from vla3d_ros.recording.session_file import read_session
    from vla3d_ros.replay.recorded_run import read_run

    plans = []
    for number in range(3):
        path, _ = recorded(f"episode_{number}", seconds=0.7)
        plans.append(plan_episode(read_run(path), read_session(path), one_arm, ExportSettings()))

    def tiny(root, facts):
        return LayoutV30(root, facts, data_mb=0, video_mb=0, files_per_chunk=2)

    write_episodes(plans, tmp_path / "out", tiny, "arm", ExportSettings())
    dataset = Dataset(tmp_path / "out")
    places = [(row["data/chunk_index"], row["data/file_index"]) for row in dataset.episodes]
    assert places == [(0, 0), (0, 1), (1, 0)]
    videos = [(row[f"videos/{HEAD}/chunk_index"], row[f"videos/{HEAD}/file_index"]) for row in dataset.episodes]
    assert videos == places
    assert [row["meta/episodes/chunk_index"] for row in dataset.episodes] == [0, 0, 1]
    for episode in range(3):
        taken = seconds(dataset, made_up, episode) + dataset.column("capture.head.offset_s", episode)
        assert [made_up.number_of(rgb) for rgb in dataset.video(HEAD, episode)] == [round(t * 30) for t in taken]


def test_task_of_a_frame_is_the_instruction_in_force(tmp_path, recorded, made_up):
    told = [(0.3, "open the box"), (0.8, "close the box"), (1.1, "")]
    dataset = export(tmp_path / "out", recorded(instruction="", instructions=told)[0])
    expected = ["close the box" if t >= 0.8 else "open the box" for t in seconds(dataset, made_up)]
    assert [dataset.tasks[index] for index in dataset.column("task_index")] == expected
    assert dataset.episodes[0]["tasks"] == ["open the box", "close the box"]


def test_repo_id_is_a_folder_below(tmp_path, recorded, capsys):
    assert (
        main(["export", "lerobot", str(recorded()[0]), "--out", str(tmp_path / "hub"), "--repo-id", "lab/cubes"]) == 0
    )
    assert Dataset(tmp_path / "hub" / "lab" / "cubes").info["total_episodes"] == 1
    assert "1 episodes" in capsys.readouterr().out
