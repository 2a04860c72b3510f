"""Intrinsics come back from noisy corners; views that do not determine them are refused with what is missing."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from simulated_calibration import BOARD

from vla3d_ros.camera.board import BoardView
from vla3d_ros.camera.intrinsics import calibrate_intrinsics, measure_coverage
from vla3d_ros.errors import CalibrationError
from vla3d_ros.geometry import Transform, project

K = np.array([[601.0, 0, 322.0], [0, 603.0, 238.0], [0, 0, 1]])
DISTORTION = np.array([0.08, -0.15, 0.001, -0.0005, 0.05])
POINTS = np.array(BOARD.opencv().getChessboardCorners(), dtype=float)


def views(count, seed=0, *, tilt_rad=0.6, side_m=0.25, noise_px=0.2):
    """Boards all over the image, parts of them cut off by its edge."""
    generator = np.random.default_rng(seed)
    drawn = []
    while len(drawn) < count:
        R = Rotation.from_euler("xyz", generator.uniform(-tilt_rad, tilt_rad, 3)).as_matrix()
        place = [
            generator.uniform(-side_m, side_m),
            generator.uniform(-0.8, 0.8) * side_m,
            generator.uniform(0.25, 0.5),
        ]
        T_camera_board = Transform.from_rotation(R, place - R @ POINTS.mean(axis=0))
        pixels = project(T_camera_board.apply(POINTS), K, DISTORTION)
        seen = ((pixels > 0) & (pixels < [639, 479])).all(axis=1)
        if seen.sum() >= 12:
            noisy = pixels[seen] + generator.normal(0.0, noise_px, (seen.sum(), 2))
            drawn.append(BoardView(points_board=POINTS[seen], pixels=noisy))
    return drawn


def calibrate(taken):
    return calibrate_intrinsics(taken, 640, 480, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(3))
def test_twenty_views_give_the_lens_back_over_the_whole_image(seed) -> None:
    result = calibrate(views(20, seed))
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.37, 0.37, 7)), axis=-1)
    rays = np.concatenate([grid, np.ones((*grid.shape[:2], 1))], axis=-1)
    found, true = project(rays, result.model.K, result.model.distortion), project(rays, K, DISTORTION)
    shift = np.linalg.norm((found - found.mean((0, 1))) - (true - true.mean((0, 1))), axis=-1)
    assert shift.max() < 2.0
    assert abs(result.model.K[0, 0] - 601.0) < 4 * result.sigma_focal_px
    assert 0.2 < result.held_out_px < 0.4, "0.2 px per axis of noise"


def test_blurred_view_is_left_out() -> None:
    taken = views(20, 1)
    generator = np.random.default_rng(0)
    taken[4] = BoardView(
        points_board=taken[4].points_board, pixels=taken[4].pixels + generator.normal(0, 3.0, taken[4].pixels.shape)
    )
    result = calibrate(taken)
    assert np.flatnonzero(~result.used).tolist() == [4]


def test_boards_in_the_centre_only_are_refused_with_the_empty_regions() -> None:
    taken = []
    for view in views(300, 2):
        inside = ((view.pixels > [214, 161]) & (view.pixels < [425, 318])).all(axis=1)
        if inside.sum() >= 6:
            taken.append(BoardView(points_board=view.points_board[inside], pixels=view.pixels[inside]))
    with pytest.raises(CalibrationError) as caught:
        calibrate(taken[:20])
    text = str(caught.value)
    assert "of its border" in text and "upper left" in text and "lower right" in text and "middle centre" not in text


def test_boards_held_parallel_are_refused_because_focal_length_is_open() -> None:
    with pytest.raises(CalibrationError, match="focal length and distance can not be told apart"):
        calibrate(views(25, 3, tilt_rad=0.02))


def test_few_views_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(CalibrationError, match="5 views show the board; expected at least 10"):
        calibrate(views(5))


def test_coverage_counts_corners_where_they_are() -> None:
    corner = BoardView(
        points_board=POINTS[[0, 1, 2, 7, 8, 9]],
        pixels=np.array([[10.0, 10], [20, 10], [30, 10], [10, 20], [20, 20], [30, 20]]),
    )
    near_corner = measure_coverage([corner], 640, 480)
    assert near_corner.counts[0, 0] == 6 and len(near_corner.empty_regions()) == 8
    coverage = measure_coverage([], 640, 480)
    assert coverage.share == 0.0 and len(coverage.empty_regions()) == 9
    counts = measure_coverage(views(4), 640, 480).counts
    assert counts.shape == (6, 8) and counts.sum() == sum(len(view.pixels) for view in views(4))
