"""Variations draw what their files say, and leave everything else as it was."""

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.evaluation.trial_stage import riding_cameras, set_stage
from vla3d_ros.geometry import log_se3
from vla3d_ros.resources import config_dir
from vla3d_ros.twin.engine import require_gl
from vla3d_ros.twin.ground_truth import TruthRenderer
from vla3d_ros.twin.model import CUBE_PREFIX
from vla3d_ros.twin.variation import load_variation, read_variation

FOLDER = config_dir() / "variations"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
EVALUATED = [name for name in NAMES if name != "demonstrations"]


@pytest.fixture
def stage(embodiment, rig, scene, world):
    def build(name=None, seed=0, **more):
        variation = None if name is None else load_variation(name, FOLDER)
        return set_stage(embodiment, rig, scene, np.random.default_rng(seed), variation=variation, **more)

    return build


def offsets(rig, moved):
    """Shift in m and turn in degrees of each camera."""
    found = {}
    for before, after in zip(rig.cameras, moved.cameras, strict=True):
        T = before.mount.T_parent_camera.inverse() @ after.mount.T_parent_camera
        turn_deg = np.degrees(np.linalg.norm(log_se3(T.matrix)[3:]))
        found[before.name] = (float(np.linalg.norm(T.translation)), float(turn_deg))
    return found


@pytest.mark.parametrize("name", EVALUATED)
def test_the_same_seed_lays_the_same_table_whatever_else_varies(stage, name):
    plain, varied = stage(seed=4, nudge_share=0.5), stage(name, seed=4, nudge_share=0.5)
    assert varied.trial.instruction == plain.trial.instruction
    assert varied.trial.cubes == plain.trial.cubes and varied.trial.pads == plain.trial.pads
    assert varied.nudge == plain.nudge


def test_nothing_varies_in_a_nominal_world(stage, rig, scene):
    plain = stage("nominal", seed=2)
    assert plain.scene is scene and plain.told_rig is rig
    assert np.array_equal(plain.world.render_state(), stage(seed=2).world.render_state())


@pytest.mark.parametrize("seed", range(4))
def test_a_shifted_camera_is_exactly_that_far_off_and_the_policy_is_told(stage, embodiment, rig, seed):
    shifted = stage("camera_shift", seed=seed)
    riding = riding_cameras(embodiment, rig)
    for name, (shift_m, turn_deg) in offsets(rig, shifted.told_rig).items():
        expected = (0.0, 0.0) if name in riding else (0.05, 5.0)
        assert (shift_m, turn_deg) == pytest.approx(expected, abs=1e-6)
    assert shifted.world.rig is shifted.told_rig
    assert len(riding) == 1


def test_stale_extrinsics_are_those_of_the_file_while_the_cameras_moved(stage, rig):
    stale, told = stage("camera_shift_stale", seed=1), stage("camera_shift", seed=1)
    assert stale.told_rig is rig
    assert offsets(rig, stale.world.rig)["head"] == pytest.approx((0.05, 5.0))
    for one, other in zip(stale.world.rig.cameras, told.world.rig.cameras, strict=True):
        assert np.array_equal(one.mount.T_parent_camera.matrix, other.mount.T_parent_camera.matrix)


@pytest.mark.parametrize(("name", "views"), [("occlusion_one_view", 1), ("occlusion_two_views", 2)])
def test_plates_hide_about_half_of_the_named_cube_in_that_many_views(stage, name, views):
    try:
        require_gl()
    except DependencyError as error:
        pytest.skip(str(error))
    hidden = []
    for seed in range(4):
        counts = []
        for staged in (stage(seed=seed), stage(name, seed=seed)):
            target = f"{CUBE_PREFIX}{staged.trial.cube}"
            renderer = TruthRenderer(staged.world.model, staged.world.rig.cameras, [target])
            pictures = renderer.render(staged.world.render_state())
            renderer.close()
            counts.append({camera: int((picture.objects > 0).sum()) for camera, picture in pictures.items()})
        shares = {camera: counts[1][camera] / counts[0][camera] for camera in ("head", "side")}
        assert counts[0]["wrist"] == counts[1]["wrist"]
        assert sum(share < 0.9 for share in shares.values()) == views
        hidden += [share for share in shares.values() if share < 0.9]
    assert min(hidden) > 0.25 and max(hidden) < 0.75
    assert np.mean(hidden) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_distractors_leave_room_for_the_gripper(stage, scene, seed):
    staged = stage("distractors", seed=seed)
    names = [staged.world.model.body(index).name for index in range(staged.world.model.nbody)]
    things = [staged.world.frame_pose(name).translation for name in names if name.startswith("distractor_")]
    assert len(things) == 5
    for at in staged.trial.cubes.values():
        assert min(np.hypot(p[0] - at.x_m, p[1] - at.y_m) for p in things) >= scene.trial.cube_cube_m - 1e-9
    for _ in range(200):
        staged.world.step()
    settled = [staged.world.frame_pose(name).translation for name in names if name.startswith("distractor_")]
    assert np.abs(np.array(settled) - np.array(things)).max() < 0.005


def test_a_table_of_another_height_carries_everything_and_the_bounds_go_with_it(stage, embodiment, rig, scene):
    from vla3d_ros.execution import ExecutionConfig

    variation = read_variation("high", {"title": "high", "table": {"height_m": [0.03, 0.03]}}, where="here")
    staged = set_stage(embodiment, rig, scene, np.random.default_rng(0), variation=variation)
    for _ in range(100):
        staged.world.step()
    truth = staged.world.truth()
    assert truth.cubes[staged.trial.cube].T_world_object.translation[2] == pytest.approx(0.05, abs=1e-3)
    gate = {
        "workspace_lower_m": [0.2, -0.4, 0.0],
        "workspace_upper_m": [0.7, 0.4, 0.7],
        "table_z_m": 0.0,
        "ee_speed_m_s": 0.5,
        "ee_turn_rad_s": 2.0,
    }
    bounds = staged.bounds(ExecutionConfig.from_mapping({"gate": gate})).gate
    assert bounds.table_z_m == pytest.approx(0.03) and bounds.workspace_lower_m[2] == pytest.approx(0.03)


def test_the_training_mixture_stays_within_its_bounds(stage, rig):
    for seed in range(5):
        staged = stage("demonstrations", seed=seed)
        for shift_m, turn_deg in offsets(rig, staged.world.rig).values():
            assert shift_m <= 0.03 + 1e-9 and turn_deg <= 3.0 + 1e-6
        assert 1 <= len(staged.trial.cubes) <= 4 and 1 <= len(staged.trial.pads) <= 3
        assert abs(staged.scene.table.top_z_m) <= 0.01
        assert 0.0 <= staged.extra_latency_ms <= 60.0 and 0.0 <= staged.actuation_ms <= 20.0


def test_all_problems_of_a_file_are_told_at_once():
    content = {
        "title": "x",
        "cameras": {"fixed_shift_m": [0.1, 0.0], "far": 1},
        "distractors": {"count": [0.5, 2]},
        "light": {"tint": -0.1},
        "wind": {},
    }
    with pytest.raises(ConfigError) as caught:
        read_variation("x", content, where="here")
    for word in ("cameras.fixed_shift_m", "'cameras.far'", "whole numbers", "'light.tint' is -0.1", "'wind'"):
        assert word in str(caught.value)


def test_an_unknown_variation_names_those_there_are():
    with pytest.raises(ConfigError, match="camera_shift_stale"):
        load_variation("earthquake", FOLDER)


def test_more_cubes_than_colours_are_refused(embodiment, rig, scene, world):
    variation = load_variation("demonstrations", FOLDER)
    greedy = replace(variation, objects=replace(variation.objects, cubes=(1, 9)))
    with pytest.raises(ConfigError, match=r"'objects\.cubes' is \[1, 9\]"):
        set_stage(embodiment, rig, scene, np.random.default_rng(0), variation=greedy)
