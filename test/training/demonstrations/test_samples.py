"""A sample read back is what the policy would have got live, and a file is what was put into it."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")

from standin_package import standin_manifest

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.errors import ConfigError, RecordingError, ShapeError
from vla3d_ros.geometry import exp_se3
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.golden_scenes import drawn_observation
from vla3d_ros.policy.preprocess import Preprocessor
from vla3d_ros.policy.tokenizer import HashedWords
from vla3d_ros.training.demonstrations.config import PictureSettings
from vla3d_ros.training.demonstrations.episode_file import episode_bytes, read_episode
from vla3d_ros.training.demonstrations.recorder import EpisodeRecorder, KnownMoment, KnownObjects
from vla3d_ros.training.sample_reader import box_around, quarter_mask, sample_of
from vla3d_ros.training.samples import TARGET_CUBE, Normalisation, SampleLayout, collate

MANIFEST = replace(standin_manifest(), views=tuple(replace(v, depth="optional") for v in standin_manifest().views))
CAMERAS = ("head", "wrist")
PICTURES = PictureSettings(
    width_px=24, height_px=16, fit="letterbox", rendered_width_px=24, truth_width_px=24, has_depth=True
)
LAYOUT = SampleLayout(cameras=CAMERAS, arms=("left", None), max_joints=7, instances=4, surface_points=5)
OBJECTS = KnownObjects(
    names=("cube", "pad"), roles=np.array([TARGET_CUBE, 0]), surfaces=np.random.default_rng(0).uniform(-1, 1, (2, 5, 3))
)


def observation(seed=3):
    drawn = drawn_observation(MANIFEST, MANIFEST.embodiment("one_arm"), np.random.default_rng(seed))
    return replace(drawn, instruction="lift the red cube")


def chunk_for(seen):
    twists = np.linspace(0.0, 1.0, MANIFEST.actions.steps)[:, None] * [0.1, -0.05, 0.02, 0.1, 0.2, -0.3]
    arm = ArmChunk(arm="left", Ts_ee0_ee=exp_se3(twists), gripper_opening=np.linspace(1.0, 0.0, len(twists)))
    return ActionChunk(stamp_ns=seen.stamp_ns, dt_ns=MANIFEST.actions.dt_ns, arms=(arm,))


def truth_for(seen):
    numbers = np.zeros((16, 21), np.uint8)  # a 4:3 picture in 24 x 16 px begins at column 1
    numbers[4:8, 7:15], numbers[10, 2] = 1, 2
    poses = exp_se3(np.array([[0.4, 0.1, 0.02, 0.0, 0.0, 0.5], [0.5, -0.1, 0.0, 0.0, 0.0, 0.0]]))
    seen_share = {camera: np.array([0.5, 1.0]) for camera in CAMERAS}
    return KnownMoment(numbers=dict.fromkeys(CAMERAS, numbers), T_base_object=poses, seen=seen_share)


def recorded(seen, *, knows=True):
    recorder = EpisodeRecorder(PICTURES, CAMERAS, ["left"], OBJECTS if knows else None)
    recorder.add(seen, chunk_for(seen), truth_for(seen) if knows else None, phase="approach")
    return recorder.episode(seen.instruction)


def without_wrist(seen):
    return replace(seen, views=seen.views[:1], missing_views=("wrist",))


@pytest.mark.parametrize(
    "change",
    [lambda seen: seen, without_wrist, lambda seen: replace(seen, robot_states=())],
    ids=["all", "view", "state"],
)
def test_a_sample_is_what_the_policy_gets_of_the_same_observation(change):
    seen = change(observation())
    spec = MANIFEST.embodiment("one_arm")
    live = Preprocessor(MANIFEST, dict(zip(CAMERAS, CAMERAS, strict=True)), {"left": "left"}, "one_arm")(seen)
    normalisation = Normalisation(
        state_mean=spec.state_mean,
        state_std=spec.state_std,
        action_mean=MANIFEST.actions.mean,
        action_std=MANIFEST.actions.std,
    )
    words = HashedWords(MANIFEST.text.buckets, MANIFEST.text.length)
    batch = collate([sample_of(recorded(seen), 0, LAYOUT)], words, normalisation)
    for name in ("images", "view_mask", "state_mask", "arm_mask", "embodiment", "text_tokens", "text_mask"):
        assert np.array_equal(batch[name], live[name]), name
    for name in ("K", "T_base_camera", "state", "T_base_ee"):
        assert batch[name] == pytest.approx(live[name], abs=2e-6), name
    assert batch["depth_m"] == pytest.approx(live["depth_m"], abs=5.01e-4)
    decoder = ActionDecoder(MANIFEST.actions, MANIFEST.arm_slots, {"left": "left"})
    arm = chunk_for(seen).arms[0]
    assert batch["actions"][0] == pytest.approx(
        decoder.encode({"left": (arm.Ts_ee0_ee, arm.gripper_opening)}), abs=1e-4
    )


def test_the_truth_comes_back_in_slots_with_masks():
    seen = observation()
    sample = sample_of(recorded(seen), 0, LAYOUT)
    truth = sample.truth
    assert truth.object_mask.tolist() == [True, True, False, False]
    assert truth.object_roles.tolist() == [TARGET_CUBE, 0, 0, 0]
    assert truth.masks.shape == (2, 4, 4, 6)
    assert np.argwhere(truth.masks[0, 0]).tolist() == [[1, 2], [1, 3]]
    assert np.argwhere(truth.masks[0, 1]).tolist() == [[2, 0]]  # one pixel of sixteen, but nothing else is fuller
    assert truth.boxes[0, 0] == pytest.approx([0.5, 0.375, 8 / 24, 0.25])
    assert truth.object_visible[:, :2].tolist() == [[True, False]] * 2  # a single pixel is nothing to be found
    assert truth.object_seen[0].tolist() == [0.5, 1.0, 0.0, 0.0]
    T = truth_for(seen).T_base_object
    expected = np.einsum("oij,osj->osi", T[:, :3, :3], OBJECTS.surfaces) + T[:, None, :3, 3]
    assert truth.surface_points[:2] == pytest.approx(expected, abs=1e-6)
    assert truth.object_points[:2] == pytest.approx(T[:, :3, 3])


def test_a_batch_of_known_and_unknown_scenes_says_which_is_which():
    seen = observation()
    samples = [sample_of(recorded(seen, knows=knows), 0, LAYOUT) for knows in (True, False)]
    batch = collate(samples)
    assert batch["truth_mask"].tolist() == [True, False]
    assert not batch["object_mask"][1].any() and not batch["masks"][1].any()
    assert "truth_mask" not in collate(samples[1:])


def test_a_file_holds_what_was_recorded_and_the_same_content_is_the_same_bytes(tmp_path):
    episodes = [recorded(observation()) for _ in range(2)]
    first, second = map(episode_bytes, episodes)
    assert first == second != episode_bytes(recorded(observation(seed=4)))
    path = tmp_path / "episode.npz"
    path.write_bytes(first)
    again = read_episode(path)
    assert episode_bytes(again) == first
    assert again.instruction == "lift the red cube" and again.phases == ("approach",)


def test_a_damaged_or_foreign_file_is_refused_by_name(tmp_path):
    path = tmp_path / "episode.npz"
    path.write_bytes(episode_bytes(recorded(observation()))[:-40])
    with pytest.raises(RecordingError, match=r"episode\.npz can not be read"):
        read_episode(path)
    np.savez(path, colour=np.zeros(3))
    with pytest.raises(RecordingError, match="'pictures' is missing"):
        read_episode(path)


def test_a_chunk_of_another_moment_is_no_label():
    seen = observation()
    recorder = EpisodeRecorder(PICTURES, CAMERAS, ["left"])
    with pytest.raises(ShapeError, match="for an observation of"):
        recorder.add(seen, replace(chunk_for(seen), stamp_ns=7))


def test_a_layout_without_names_is_refused():
    with pytest.raises(ConfigError, match="'cameras'"):
        SampleLayout(cameras=(None,), arms=("left",))


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_is_never_lost_and_lies_inside_of_its_box(seed):
    generator = np.random.default_rng(seed)
    is_object = np.zeros((32, 48), bool)
    row, column = generator.integers(0, 28), generator.integers(0, 44)
    is_object[row : row + generator.integers(1, 12), column : column + generator.integers(1, 12)] = True
    x, y, width, height = box_around(is_object)
    rows, columns = np.nonzero(quarter_mask(is_object))
    assert len(rows)
    centres = np.stack([(columns + 0.5) / 12, (rows + 0.5) / 8], axis=1)
    assert (np.abs(centres - [x, y]) <= np.array([width / 2 + 1 / 24, height / 2 + 1 / 16]) + 1e-6).all()
