"""Hand-eye calibration: closed forms, robust adjustment, and refusal of motion that does not determine it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_calibration import MODEL, ee_pose, random_view, sample, samples, truth

from vla3d_ros.camera.calibration_bundle import Mounting
from vla3d_ros.camera.hand_eye import calibrate_hand_eye
from vla3d_ros.camera.hand_eye_motion import motion_spread
from vla3d_ros.camera.hand_eye_solvers import SOLVERS
from vla3d_ros.errors import CalibrationError
from vla3d_ros.geometry import Transform, exp_se3

BOTH = pytest.mark.parametrize("mounting", list(Mounting), ids=lambda mounting: mounting.value)
POSES = 30


def calibrate(taken, mounting, seed=0):
    return calibrate_hand_eye(taken, MODEL, mounting, np.random.default_rng(seed))


@pytest.mark.parametrize("solver", SOLVERS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_closed_form_is_exact_without_noise(solver, seed) -> None:
    generator = np.random.default_rng(seed)
    X = Transform(exp_se3(np.concatenate([generator.normal(0, 0.1, 3), generator.uniform(-1.2, 1.2, 3)])))
    B = exp_se3(np.column_stack([generator.normal(0, 0.3, (8, 3)), generator.uniform(-0.8, 0.8, (8, 3))]))
    A = X.matrix @ B @ X.inverse().matrix
    distance_m, angle_rad = SOLVERS[solver](A, B).distance_to(X)
    assert distance_m < 1e-8 and angle_rad < 1e-8


@BOTH
def test_calibration_is_exact_without_noise(mounting) -> None:
    result = calibrate(samples(1, 8, mounting, noisy=False), mounting)
    X, Y = truth(mounting)
    assert result.inliers.all()
    for found, true in ((result.T_mount_camera, X), (result.T_target_board, Y)):
        distance_m, angle_rad = found.distance_to(true)
        assert distance_m < 1e-5 and angle_rad < 1e-5


@BOTH
@pytest.mark.parametrize("seed", [100, 101])
def test_thirty_noisy_poses_give_a_millimetre_and_a_tenth_of_a_degree(mounting, seed) -> None:
    result = calibrate(samples(seed, POSES, mounting), mounting)
    distance_m, angle_rad = result.T_mount_camera.distance_to(truth(mounting)[0])
    assert distance_m < 0.001, f"{1e3 * distance_m:.2f} mm"
    assert np.degrees(angle_rad) < 0.1, f"{np.degrees(angle_rad):.3f} deg"
    assert distance_m < 4 * result.sigma_m and angle_rad < 4 * result.sigma_rad
    assert 0.3 < result.held_out.rms < 3.0 and result.held_out.unit == "px"
    assert 0.2 < result.held_out.rms_mm < 3.0


@BOTH
def test_mixed_up_poses_are_found_and_left_out(mounting) -> None:
    taken = samples(7, POSES, mounting)
    wrong = [3, 11, 12, 20, 25, 29]
    spoiled = list(taken)
    for index in wrong:
        spoiled[index] = replace(taken[index], T_base_ee=taken[(index + 5) % POSES].T_base_ee)
    result = calibrate(spoiled, mounting)
    assert np.flatnonzero(~result.inliers).tolist() == wrong
    assert result.T_mount_camera.distance_to(truth(mounting)[0])[0] < 0.0015


def test_mounting_mixed_up_is_refused_with_what_to_check() -> None:
    with pytest.raises(CalibrationError, match="eye-in-hand and eye-to-hand were not mixed up"):
        calibrate(samples(2, 15, Mounting.EYE_IN_HAND), Mounting.EYE_TO_HAND)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rotation_about_one_axis_is_refused_and_the_missing_axes_are_named(mounting, axis) -> None:
    generator = np.random.default_rng(4)
    T_start = ee_pose(mounting, random_view(generator, mounting))
    taken = []
    for angle in np.linspace(-1.2, 1.2, 12):
        rpy = np.zeros(3)
        rpy[axis] = angle
        wobble = Transform(exp_se3(np.concatenate([np.zeros(3), generator.normal(0, np.radians(0.5), 3)])))
        moved = Transform.from_rotation(np.eye(3), generator.uniform(-0.05, 0.05, 3))
        one = samples(5, 1, mounting)[0]
        T_base_ee = moved @ T_start @ Transform.from_rpy([0, 0, 0], rpy) @ wobble
        taken.append(replace(one, T_base_ee=T_base_ee))
    with pytest.raises(CalibrationError) as caught:
        calibrate(taken, mounting)
    others = " and ".join(name for name in "xyz" if name != "xyz"[axis])
    assert "all rotations are about one axis within" in str(caught.value)
    assert f"nearly {'xyz'[axis]} of the end effector" in str(caught.value)
    assert f"add poses tilted about {others} by 20 deg" in str(caught.value)


def test_translation_only_is_refused_with_the_angle_that_is_missing() -> None:
    mounting = Mounting.EYE_IN_HAND
    start = samples(3, 1, mounting)[0]
    shifts = np.random.default_rng(0).uniform(-0.1, 0.1, (12, 3))
    taken = [replace(start, T_base_ee=Transform.from_rotation(np.eye(3), s) @ start.T_base_ee) for s in shifts]
    with pytest.raises(CalibrationError, match=r"turned by only 0\.0 deg .* expected 15 deg or more: add poses turned"):
        calibrate(taken, mounting)


def test_few_poses_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(CalibrationError, match="4 poses show the board; expected at least 6"):
        calibrate(samples(3, 4, Mounting.EYE_IN_HAND), Mounting.EYE_IN_HAND)


def test_spread_of_varied_motion_has_no_problem_and_grows_with_tilt() -> None:
    mounting, generator = Mounting.EYE_IN_HAND, np.random.default_rng(0)
    tilts = []
    for tilt_deg in (15.0, 40.0):
        poses = [ee_pose(mounting, random_view(generator, mounting, tilt_deg)) for _ in range(30)]
        spread = motion_spread(poses)
        assert spread.problems() == []
        tilts.append(spread.tilt_rad)
    assert tilts[0] < tilts[1]


def test_board_behind_the_camera_is_no_inlier() -> None:
    mounting = Mounting.EYE_TO_HAND
    taken = samples(9, 12, mounting)
    X, _ = truth(mounting)
    behind = X @ Transform.from_rpy([0.0, 0.0, -0.6], [0.2, 0.1, 0.0])
    good = sample(taken[0].T_base_ee, taken[0].T_camera_board)
    taken[0] = replace(good if good else taken[0], T_base_ee=behind)
    assert not calibrate(taken, mounting).inliers[0]
