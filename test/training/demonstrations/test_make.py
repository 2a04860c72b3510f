"""Demonstrations made in the twin: the same bytes again, continued where they were left off, and true."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.commands.demonstrate_actions import demonstration_plan
from vla3d_ros.errors import ConfigError, DependencyError, RecordingError
from vla3d_ros.geometry import project
from vla3d_ros.resources import config_dir
from vla3d_ros.training.demonstrations import make
from vla3d_ros.training.demonstrations.config import load_settings
from vla3d_ros.training.demonstrations.make_episode import EpisodeEntry, MadeEpisode, make_episode
from vla3d_ros.training.demonstrations.manifest import check_files, manifest_sha256, read_manifest
from vla3d_ros.training.sample_reader import SampleReader
from vla3d_ros.training.samples import TARGET_CUBE, SampleLayout
from vla3d_ros.twin.engine import require_gl

pytest.importorskip("ruckig")


def smoke(**changes):
    settings = load_settings(config_dir() / "training" / "demonstrations_smoke.yaml")
    return demonstration_plan(replace(settings, **changes))


def made_up_episode(plan, number, code):
    content = f"samples of {number}".encode() if number != 1 else None
    return MadeEpisode(
        entry=EpisodeEntry(
            episode=number,
            variation="nominal",
            instruction="",
            outcome="success" if content else "failure",
            reason="",
            sim_s=1.0,
            attempts=1,
            samples=3 if content else 0,
            disturbed=0,
            phases={"approach": 3},
            file=f"episode_{number:06d}.npz" if content else "",
            sha256=hashlib.sha256(content).hexdigest() if content else "",
            code=code,
        ),
        content=content,
    )


@pytest.fixture
def made_up(monkeypatch):
    numbers = []

    def make_up(plan, number, code):
        numbers.append(number)
        return made_up_episode(plan, number, code)

    monkeypatch.setattr(make, "make_episode", make_up)
    return numbers


def test_a_folder_is_continued_where_it_was_left_off(tmp_path, made_up):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    make.make_demonstrations(smoke(episodes=5), whole)
    make.make_demonstrations(smoke(episodes=2), parts)
    (parts / "episode_000000.npz").unlink()
    made_up.clear()
    make.make_demonstrations(smoke(episodes=5), parts)
    assert made_up == [0, 2, 3, 4]  # a failed episode is not tried again
    assert [p.name for p in sorted(whole.iterdir())] == [p.name for p in sorted(parts.iterdir())]
    assert manifest_sha256(whole) == manifest_sha256(parts)


def test_a_folder_of_other_demonstrations_is_refused_with_what_differs(tmp_path, made_up):
    make.make_demonstrations(smoke(episodes=2), tmp_path)
    with pytest.raises(ConfigError, match=r"'seed' was 8100, is 9") as caught:
        make.make_demonstrations(smoke(episodes=2, seed=9, nudge_share=0.1), tmp_path)
    assert "'nudge_share'" in str(caught.value)
    with pytest.raises(ConfigError, match="has changed since"):
        plan = smoke(episodes=2)
        make.make_demonstrations(replace(plan, inputs={**plan.inputs, "scenes/tabletop.yaml": "other"}), tmp_path)


def test_a_file_that_is_not_what_was_made_is_named(tmp_path, made_up):
    manifest = make.make_demonstrations(smoke(episodes=4), tmp_path)
    check_files(tmp_path, manifest)
    (tmp_path / "episode_000002.npz").write_bytes(b"something else")
    (tmp_path / "episode_000003.npz").unlink()
    with pytest.raises(RecordingError, match=r"episode_000002\.npz is not what was made") as caught:
        check_files(tmp_path, read_manifest(tmp_path))
    assert "episode_000003.npz is missing" in str(caught.value)


def test_a_rate_that_does_not_divide_the_rigs_is_refused():
    with pytest.raises(ConfigError, match="'samples_hz' is 7"):
        smoke(samples_hz=7.0).stride(30.0)


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory):
    try:
        require_gl()
    except DependencyError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("demonstrations")
    make.make_demonstrations(smoke(episodes=2), folder)
    return folder


@pytest.mark.slow
def test_an_episode_made_again_is_the_same_bytes(demonstrated):
    plan = smoke(episodes=2)
    entry = read_manifest(demonstrated).episodes[1]
    again = make_episode(plan, 1, entry.code)
    assert again.entry == entry
    assert again.content == (demonstrated / entry.file).read_bytes()


@pytest.mark.slow
def test_the_teacher_reaches_for_the_named_cube_and_the_truth_lies_on_it(demonstrated):
    layout = SampleLayout(cameras=("head", "side", "wrist"), arms=("fr3", None), surface_points=48)
    reader = SampleReader(demonstrated, layout)
    assert len(reader) > 50 and len(set(reader.episodes.tolist())) == 2
    closings = 0
    for index in range(len(reader)):
        sample, phase = reader[index], reader.phase(index)
        truth = sample.truth
        target = int(np.flatnonzero(truth.object_roles == TARGET_CUBE)[0])
        goal = (sample.T_base_ee[0] @ [*sample.actions[-1, :3], 1.0])[:3]
        if phase == "descend":
            closings += 1
            assert goal[:2] == pytest.approx(truth.object_points[target, :2], abs=0.02)
        for view in np.flatnonzero(truth.object_visible[:, target]):
            T_camera_base = np.linalg.inv(sample.T_base_camera[view].astype(float))
            points = truth.surface_points[target] @ T_camera_base[:3, :3].T + T_camera_base[:3, 3]
            pixels = (project(points, sample.K[view]) + 0.5) / 96
            x, y, width, height = truth.boxes[view, target]
            assert pixels[:, 0].min() < x + 0.02 and pixels[:, 0].max() > x - 0.02
            assert (np.abs(pixels.mean(axis=0) - [x, y]) < np.array([width, height]) + 0.06).all()
    assert closings >= 4


@pytest.mark.slow
def test_statistics_need_no_pictures_and_are_those_of_the_samples(demonstrated):
    layout = SampleLayout(cameras=("head",), arms=("fr3",), max_joints=7, surface_points=48)
    whole, quick = (SampleReader(demonstrated, layout, has_pictures=has) for has in (True, False))
    for index in (0, len(whole) - 1):
        assert np.array_equal(whole[index].state, quick[index].state)
        assert np.array_equal(whole[index].actions, quick[index].actions)
        assert quick[index].truth is None and quick[index].images.shape == (1, 1, 1, 3)


@pytest.mark.slow
def test_a_layout_that_was_not_recorded_is_refused_with_all_its_faults(demonstrated):
    with pytest.raises(ConfigError, match="camera 'tail' was not recorded") as caught:
        SampleReader(demonstrated, SampleLayout(cameras=("tail",), arms=("other",), max_joints=3, instances=1))
    for word in ("arm 'other'", "'max_joints' is 3", "'instances' is 1", "'surface_points' is 64"):
        assert word in str(caught.value)
