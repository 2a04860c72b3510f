"""All fixed cameras at once: consistent with each other, and with the truth."""

import numpy as np
import pytest
from simulated_calibration import MODEL, grid_points, sample

from vla3d_ros.camera.extrinsics import calibrate_extrinsics
from vla3d_ros.camera.rig import look_at
from vla3d_ros.errors import CalibrationError
from vla3d_ros.geometry import Transform

UP = np.array([0.0, 0.0, 1.0])
CAMERAS = {
    "left": look_at(np.array([0.9, 0.6, 0.6]), np.array([0.5, 0.0, 0.2]), UP),
    "right": look_at(np.array([0.9, -0.6, 0.6]), np.array([0.5, 0.0, 0.2]), UP),
    "top": look_at(np.array([1.2, 0.0, 0.9]), np.array([0.5, 0.0, 0.2]), UP),
}
T_EE_BOARD = Transform.from_rpy([0.02, 0.05, 0.05], [0.1, 0.2, 0.3])
POINTS = grid_points(7, 5, 0.03)


def samples(poses: int, seed: int = 0, *, noisy: bool = True):
    """The board faces somewhere between the cameras; each sees it at some of the poses."""
    generator = np.random.default_rng(seed)
    taken = {name: [] for name in CAMERAS}
    while len(taken["left"]) < poses:
        p = generator.uniform([0.4, -0.15, 0.1], [0.6, 0.15, 0.3])
        toward = generator.dirichlet(np.ones(3)) @ np.stack([T.translation for T in CAMERAS.values()])
        facing = look_at(p, 2 * p - toward, UP)
        tilt = Transform.from_rpy([0, 0, 0], [*generator.uniform(-0.5, 0.5, 2), generator.uniform(-1.5, 1.5)])
        T_base_board = facing @ tilt
        T_base_ee = T_base_board @ T_EE_BOARD.inverse()
        seen = {}
        shared = int(generator.integers(1 << 30))
        for name, T_base_camera in CAMERAS.items():
            T_camera_board = T_base_camera.inverse() @ T_base_board
            is_facing = T_camera_board.rotation[2, 2] > 0.5
            noise = np.random.default_rng(shared) if noisy else None
            seen[name] = sample(T_base_ee, T_camera_board, noise, POINTS) if is_facing else None
        if any(seen.values()):
            for name, one in seen.items():
                taken[name].append(one)
    return taken


def calibrate(taken):
    return calibrate_extrinsics(taken, dict.fromkeys(taken, MODEL), np.random.default_rng(0))


def test_cameras_and_board_come_back_exactly_without_noise() -> None:
    result = calibrate(samples(14, noisy=False))
    for name, T_base_camera in CAMERAS.items():
        assert result.cameras[name].T_base_camera.distance_to(T_base_camera)[0] < 1e-5
    assert result.T_ee_board.distance_to(T_EE_BOARD)[0] < 1e-5


def test_noisy_cameras_are_right_and_agree_with_each_other() -> None:
    taken = samples(25, seed=3)
    result = calibrate(taken)
    for name, T_base_camera in CAMERAS.items():
        camera = result.cameras[name]
        distance_m, angle_rad = camera.T_base_camera.distance_to(T_base_camera)
        assert distance_m < 0.003 and np.degrees(angle_rad) < 0.2, f"{name}: {1e3 * distance_m:.2f} mm"
        assert distance_m < 4 * camera.sigma_m and camera.held_out.rms < 3.0
        assert camera.views == sum(one is not None for one in taken[name])


def test_camera_without_enough_views_is_named() -> None:
    taken = samples(14, noisy=False)
    taken["top"] = [one if index < 3 else None for index, one in enumerate(taken["top"])]
    with pytest.raises(CalibrationError, match=r"camera 'top' has \d usable views of the board; expected at least 6"):
        calibrate(taken)
