"""Laws of what a policy sees: pixels and intrinsics move together, order is nothing, what is missing is masked."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")

from standin_package import standin_manifest

from vla3d_ros.datatypes import CameraModel, ReferringPrompt
from vla3d_ros.errors import ConfigError, InstructionError, PerceptionError, ShapeError
from vla3d_ros.geometry import project
from vla3d_ros.policy.golden_scenes import drawn_observation
from vla3d_ros.policy.image_fit import ImageFit, Placement
from vla3d_ros.policy.preprocess import Preprocessor, pose_numbers
from vla3d_ros.policy.tokenizer import HashedWords

MANIFEST = standin_manifest()
CAMERAS = {"head": "head", "wrist": "wrist"}


def preprocessor(manifest=MANIFEST, embodiment="one_arm", **cameras):
    return Preprocessor(manifest, cameras or CAMERAS, {slot: slot for slot in manifest.arm_slots}, embodiment)


def observation(manifest=MANIFEST, embodiment="one_arm", seed=3):
    return drawn_observation(manifest, manifest.embodiment(embodiment), np.random.default_rng(seed))


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("target", [(96, 96), (224, 160), (640, 480), (50, 90)])
def test_a_point_projects_where_its_pixel_went(fit, target):
    K = np.array([[150.0, 0, 80.3], [0, 140.0, 61.7], [0, 0, 1]])
    place = Placement.of((160, 120), target, fit)
    points = np.random.default_rng(0).uniform([-0.3, -0.2, 0.8], [0.3, 0.2, 2.0], (50, 3))
    before, after = project(points, K), project(points, place.intrinsics(K))
    moved = (before + 0.5) * [place.scale_x, place.scale_y] - 0.5 + [place.left_px, place.top_px]
    assert after == pytest.approx(moved)


def test_a_drawn_dot_is_found_where_the_new_intrinsics_say():
    rgb = np.zeros((480, 640, 3), np.uint8)
    K = np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]])
    point = np.array([0.2, -0.1, 1.0])
    u, v = project(point, K)
    rgb[int(v) - 7 : int(v) + 9, int(u) - 7 : int(u) + 9] = 255
    fit = ImageFit("c", (96, 96), "letterbox", "undistort")
    fit.prepare(CameraModel(width_px=640, height_px=480, K=K))
    into = np.full((96, 96, 3), 7, np.uint8)
    fit.place_rgb(rgb, into)
    weight = into[..., 0].astype(float)
    rows, columns = np.mgrid[:96, :96]
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    assert centre == pytest.approx(project(point, fit.K), abs=0.15)
    assert not into[:12].any() and not into[-12:].any()


def test_a_distorted_camera_is_straightened_before_it_is_scaled():
    K = np.array([[300.0, 0, 159.5], [0, 300.0, 119.5], [0, 0, 1]])
    model = CameraModel(width_px=320, height_px=240, K=K, distortion=np.array([-0.3, 0.1, 0.001, -0.002, 0.0]))
    point = np.array([0.35, 0.22, 1.0])
    u, v = project(point, K, model.distortion)
    rgb = np.zeros((240, 320, 3), np.uint8)
    rgb[round(v) - 3 : round(v) + 4, round(u) - 3 : round(u) + 4] = 255
    fit = ImageFit("c", (320, 240), "letterbox", "undistort")
    fit.prepare(model)
    into = np.zeros((240, 320, 3), np.uint8)
    fit.place_rgb(rgb, into)
    weight = into[..., 0].astype(float)
    rows, columns = np.mgrid[:240, :320]
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    assert centre == pytest.approx(project(point, K), abs=0.8)
    assert abs(np.array([u, v]) - project(point, K)).max() > 3.0
    with pytest.raises(ConfigError, match="lens distortion"):
        ImageFit("c", (320, 240), "letterbox", "refuse").prepare(model)


def test_the_order_of_views_in_an_observation_means_nothing():
    seen = observation()
    forward = {name: array.copy() for name, array in preprocessor()(seen).items()}
    backward = preprocessor()(replace(seen, views=seen.views[::-1]))
    for name, array in forward.items():
        assert np.array_equal(array, backward[name]), name


def test_a_missing_view_is_black_and_masked_also_after_it_was_seen():
    seen, process = observation(), preprocessor()
    whole = {name: array.copy() for name, array in process(seen).items()}
    blind = process(replace(seen, views=seen.views[:1]))
    assert blind["view_mask"].tolist() == [[True, False]]
    assert not blind["images"][0, 1].any()
    assert np.isfinite(blind["K"]).all() and np.linalg.det(blind["K"][0, 1]) > 0
    assert np.array_equal(blind["images"][0, 0], whole["images"][0, 0])


def test_a_view_that_is_required_and_missing_is_an_error():
    manifest = replace(MANIFEST, views=tuple(replace(view, is_required=True) for view in MANIFEST.views))
    seen = observation()
    with pytest.raises(PerceptionError, match="view 'wrist'"):
        preprocessor(manifest)(replace(seen, views=seen.views[:1]))


def test_depth_is_zero_where_there_is_none_and_metres_elsewhere():
    manifest = replace(MANIFEST, views=tuple(replace(view, depth="optional") for view in MANIFEST.views))
    seen = observation(manifest)
    depth = preprocessor(manifest)(seen)["depth_m"]
    assert np.isfinite(depth).all() and (depth[0, 0] == 0.0).any()
    assert depth[depth > 0].min() >= 0.6 and depth.max() <= 1.1
    without = tuple(replace(view, depth_m=None) for view in seen.views)
    assert not preprocessor(manifest)(replace(seen, views=without))["depth_m"].any()
    required = replace(MANIFEST, views=tuple(replace(view, depth="required") for view in MANIFEST.views))
    with pytest.raises(PerceptionError, match="no depth"):
        preprocessor(required)(replace(seen, views=without))


def test_state_is_normalised_padded_with_zeros_and_masked_when_missing():
    mean, std = np.full((2, 17), 0.5), np.full((2, 17), 2.0)
    robots = tuple(replace(robot, state_mean=mean, state_std=std) for robot in MANIFEST.embodiments)
    manifest = replace(MANIFEST, embodiments=robots)
    seen = observation(manifest, "two_arms")
    inputs = preprocessor(manifest, "two_arms")(seen)
    state = seen.robot_states[1]
    raw = np.concatenate([pose_numbers(state.T_base_ee.matrix), [state.gripper_opening], state.q])
    assert inputs["state"][0, 1, :16] == pytest.approx((raw - 0.5) / 2.0, abs=1e-6)
    assert inputs["state"][0, 1, 16] == 0.0  # the seventh joint that this arm has not
    assert inputs["arm_mask"].tolist() == [[True, True]] and inputs["embodiment"].tolist() == [1]
    lost = preprocessor(manifest, "two_arms")(replace(seen, robot_states=seen.robot_states[:1]))
    assert lost["state_mask"].tolist() == [[True, False]] and not lost["state"][0, 1].any()
    assert lost["arm_mask"].tolist() == [[True, True]]


def test_another_number_of_joints_names_arm_slot_and_embodiment():
    with pytest.raises(ShapeError, match=r"arm 'left' in slot 'left' has 6 joints; embodiment 'one_arm' has 7"):
        preprocessor()(observation(embodiment="two_arms"))


def test_an_unknown_embodiment_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'hexapod': expected one of \['one_arm', 'two_arms'\]"):
        preprocessor(embodiment="hexapod")


def test_pose_numbers_are_position_and_the_first_two_columns():
    T = np.arange(16.0).reshape(4, 4)
    assert pose_numbers(T).tolist() == [3, 7, 11, 0, 4, 8, 1, 5, 9]


def test_a_prompt_is_placed_like_its_view_and_masked_when_there_is_none():
    manifest = replace(MANIFEST, uses_prompt=True)
    seen, process = observation(manifest), preprocessor(manifest)
    assert process(seen)["prompt_mask"].tolist() == [True]
    assert seen.prompt is not None
    same = replace(seen, prompt=replace(seen.prompt, rgb=seen.views[0].rgb))
    inputs = process(same)
    assert np.array_equal(inputs["prompt_image"][0], inputs["images"][0, 0])
    assert process(replace(seen, prompt=None))["prompt_mask"].tolist() == [False]
    assert not process(replace(seen, prompt=None))["prompt_image"].any()
    strange = ReferringPrompt(camera="nobody", rgb=seen.prompt.rgb, colour="red")
    with pytest.raises(PerceptionError, match="camera 'nobody'"):
        process(replace(seen, prompt=strange))


def test_words_are_hashed_alike_everywhere_and_too_many_are_refused():
    words = HashedWords(512, 6)
    tokens, mask = words.encode("Put the RED cube, on")
    again, _ = words.encode("put the red cube on")
    assert tokens.tolist() == again.tolist() == [*tokens[:5].tolist(), 0]
    assert mask.tolist() == [True] * 5 + [False]
    assert tokens[:5].min() >= 1 and tokens.max() < 512
    assert words.encode("red")[0][0] == 1 + int.from_bytes(bytes.fromhex(_blake("red")), "little") % 511
    with pytest.raises(InstructionError, match="has 7 words; the policy reads at most 6"):
        words.encode("one two three four five six seven")


def _blake(word):
    from hashlib import blake2b

    return blake2b(word.encode(), digest_size=8).hexdigest()


@pytest.mark.parametrize("size", [(96, 72), (128, 96), (37, 21), (320, 240), (600, 450)])
def test_a_picture_halved_on_its_way_is_the_mean_over_the_same_pixels(size):
    rgb = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8), (0, 0), 3.0)
    fit = ImageFit("head", size, "stretch", "undistort")
    fit.prepare(CameraModel(width_px=640, height_px=480, K=np.diag([500.0, 500.0, 1.0])))
    placed = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    fit.place_rgb(rgb, placed)
    at_once = cv2.resize(rgb.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    assert np.abs(placed - at_once).max() < 4.0, "half a level a rounding, and blocks that a border cuts"
