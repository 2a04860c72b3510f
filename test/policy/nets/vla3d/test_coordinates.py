"""Where tokens are: projection (Eq. 2) and its inverse, medians of depth, and depth expected over bins."""

import numpy as np
import pytest
import torch
from box_scene import look_at

from vla3d_ros.geometry import Transform
from vla3d_ros.geometry import project as project_pinhole
from vla3d_ros.geometry import unproject as unproject_pinhole
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import cell_centres_px, known_cameras, project, unproject
from vla3d_ros.policy.nets.vla3d.coordinates import TokenCoordinates
from vla3d_ros.policy.nets.vla3d.depth import (
    expected_depth,
    log_spaced_bins_m,
    lower_median,
    measured_depth,
    sampled_depth,
    sampled_pixels_px,
)

RNG = np.random.default_rng(3)
SIZE_PX = (48, 64)
K = np.array([[70.0, 0.8, 30.0], [0.0, 66.0, 25.0], [0.0, 0.0, 1.0]])
POSES = [look_at([0.6, -0.4, 0.5], [0.0, 0.1, 0.1]), look_at([-0.5, 0.3, 0.7], [0.1, 0.0, 0.0])]


def two_cameras(mask=(True, True)):
    return known_cameras(
        torch.tensor(np.stack([K, K])[None], dtype=torch.float32),
        torch.tensor(np.stack(POSES)[None], dtype=torch.float32),
        torch.tensor([mask]),
        SIZE_PX,
    )


def projected_by_eq_2(point, T_base_camera):
    """u = norm(K (R p + t) / max(Z, 0.01)), one point at a time."""
    T_camera_base = np.linalg.inv(T_base_camera)
    in_camera = T_camera_base[:3, :3] @ point + T_camera_base[:3, 3]
    homogeneous = K @ in_camera / max(in_camera[2], 0.01)
    u = (homogeneous[:2] + 0.5) / np.array([SIZE_PX[1], SIZE_PX[0]])
    seen = in_camera[2] > 0.01 and bool((u >= 0).all() and (u <= 1).all())
    return np.clip(u, 0.0, 1.0), in_camera[2], seen


def test_projection_is_equation_2_in_every_view():
    points = RNG.uniform(-0.6, 0.8, (60, 3))
    projection = project(torch.tensor(points[None], dtype=torch.float32), two_cameras())
    expected = [[projected_by_eq_2(point, pose) for point in points] for pose in POSES]
    seen = np.array([[one[2] for one in view] for view in expected])
    assert 10 < seen.sum() < seen.size - 10
    np.testing.assert_allclose(projection.pixels[0], [[one[0] for one in view] for view in expected], atol=2e-5)
    np.testing.assert_allclose(projection.depth_m[0], [[one[1] for one in view] for view in expected], atol=1e-6)
    np.testing.assert_array_equal(projection.visible[0], seen)


def test_projection_agrees_with_the_pinhole_of_the_house():
    points = RNG.uniform(-0.05, 0.1, (20, 3))
    projection = project(torch.tensor(points[None], dtype=torch.float32), two_cameras())
    in_camera = Transform(POSES[0]).inverse().apply(points)
    pixels_px = projection.pixels[0, 0].numpy() * np.array([SIZE_PX[1], SIZE_PX[0]]) - 0.5
    np.testing.assert_allclose(pixels_px, project_pinhole(in_camera, K), atol=2e-3)


def test_points_behind_a_camera_are_not_seen_by_it_and_stay_finite():
    behind = POSES[0][:3, 3] - 0.3 * POSES[0][:3, 2]
    on_the_plane = POSES[0][:3, 3]
    projection = project(torch.tensor(np.stack([behind, on_the_plane])[None], dtype=torch.float32), two_cameras())
    assert not projection.visible[0, 0].any()
    assert projection.pixels.isfinite().all()


def test_unprojection_agrees_with_the_pinhole_of_the_house():
    pixels = RNG.uniform(0, 47, (30, 2))
    depth = RNG.uniform(0.2, 2.0, (1, 2, 30))
    points = unproject(torch.tensor(pixels, dtype=torch.float32), torch.tensor(depth), two_cameras())
    for view, pose in enumerate(POSES):
        in_camera = unproject_pinhole(pixels, K) * depth[0, view][:, None]
        np.testing.assert_allclose(points[0, view], Transform(pose).apply(in_camera), atol=2e-6)


def test_a_masked_view_may_hold_anything_and_sees_nothing():
    cameras = two_cameras()
    spoilt = known_cameras(
        torch.where(torch.tensor([True, False])[None, :, None, None], cameras.K, torch.nan),
        torch.where(torch.tensor([True, False])[None, :, None, None], cameras.T_base_camera, torch.inf),
        torch.tensor([[True, False]]),
        SIZE_PX,
    )
    projection = project(torch.zeros(1, 4, 3), spoilt)
    assert projection.pixels.isfinite().all()
    assert projection.visible[0, 0].all()
    assert not projection.visible[0, 1].any()


def test_lower_median_is_that_of_sorted_numbers():
    values = RNG.uniform(0.1, 3.0, (200, 9))
    valid = RNG.uniform(size=(200, 9)) < RNG.uniform(size=(200, 1))
    median = lower_median(torch.tensor(values), torch.tensor(valid)).numpy()
    for row, known, found in zip(values, valid, median, strict=True):
        ranked = np.sort(row[known])
        assert found == (ranked[(len(ranked) - 1) // 2] if len(ranked) else 0.0)


@pytest.mark.parametrize("step_px", [1, 2])
def test_token_depth_is_the_median_of_what_returned_in_its_patch(step_px):
    depth = RNG.uniform(0.3, 2.0, (1, 2, 48, 64)).astype(np.float32)
    depth[RNG.uniform(size=depth.shape) < 0.4] = 0.0
    depth[0, 1, :16, 16:32] = 0.0
    depth[0, 0, :16, :16] = np.nan
    measured = measured_depth(torch.tensor(depth), (3, 4), step_px)
    for view, row, column in np.ndindex(2, 3, 4):
        patch = depth[0, view, 16 * row : 16 * row + 16 : step_px, 16 * column : 16 * column + 16 : step_px]
        returned = np.sort(patch[patch > 0])
        assert measured.valid[0, view, 4 * row + column] == bool(len(returned))
        expected = returned[(len(returned) - 1) // 2] if len(returned) else 0.0
        assert measured.depth_m[0, view, 4 * row + column] == expected


def test_cells_read_the_pixel_they_claim():
    depth = torch.tensor(RNG.uniform(0.3, 2.0, (1, 1, 48, 64)).astype(np.float32))
    cells = (12, 16)
    pixels = sampled_pixels_px(cells, SIZE_PX).long()
    np.testing.assert_array_equal(sampled_depth(depth, cells)[0, 0], depth[0, 0, pixels[:, 1], pixels[:, 0]])
    np.testing.assert_allclose(pixels, cell_centres_px(cells, SIZE_PX), atol=0.5 + 1e-6)


def test_expected_depth_is_the_mean_over_log_spaced_bins():
    bins = log_spaced_bins_m(0.2, 3.2, 5).numpy()
    np.testing.assert_allclose(bins, [0.2, 0.4, 0.8, 1.6, 3.2], rtol=1e-5)
    logits = RNG.normal(size=(7, 5)) * 3
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = probability @ np.array([0.2, 0.4, 0.8, 1.6, 3.2])
    np.testing.assert_allclose(expected_depth(torch.tensor(logits), torch.tensor(bins)), expected, rtol=1e-5)


def placed_by(token_depth, depth_m):
    config = Vla3dConfig(width=48, heads=4, sampling_heads=4, token_depth=token_depth, depth_step_px=1)
    torch.manual_seed(0)
    coordinates = TokenCoordinates(8, config).eval()
    tokens = torch.randn(1, 2, 12, 8)
    with torch.no_grad():
        return coordinates(tokens, (3, 4), depth_m, two_cameras()), coordinates, tokens


def test_tokens_lie_on_the_plane_their_camera_measures():
    depth = torch.full((1, 2, 48, 64), 0.7)
    placed, _, _ = placed_by("aligned", depth)
    for view, pose in enumerate(POSES):
        in_camera = Transform(pose).inverse().apply(placed.points[0, view].numpy())
        np.testing.assert_allclose(in_camera[:, 2], 0.7, atol=1e-6)
        np.testing.assert_allclose(project_pinhole(in_camera, K), cell_centres_px((3, 4), SIZE_PX), atol=1e-3)


def test_tokens_without_a_return_have_no_place():
    depth = torch.full((1, 2, 48, 64), 0.7)
    depth[0, 1] = 0.0
    placed, _, _ = placed_by("aligned", depth)
    assert placed.placed[0, 0].all()
    assert not placed.placed[0, 1].any()
    assert not placed.points[0, 1].any()


def test_predicted_depth_stands_in_only_where_nothing_returned():
    depth = torch.full((1, 2, 48, 64), 0.7)
    depth[0, 1] = 0.0
    placed, coordinates, tokens = placed_by("aligned_or_predicted", depth)
    predicted = expected_depth(coordinates.head(tokens), coordinates.head.bins_m)
    np.testing.assert_allclose(placed.depth_m[0, 0], 0.7)
    np.testing.assert_allclose(placed.depth_m[0, 1], predicted[0, 1].detach(), rtol=1e-6)
    assert placed.placed.all()


def test_predicted_depth_needs_no_depth_image():
    placed, coordinates, tokens = placed_by("predicted", None)
    predicted = expected_depth(coordinates.head(tokens), coordinates.head.bins_m)
    in_camera = Transform(POSES[1]).inverse().apply(placed.points[0, 1].numpy())
    np.testing.assert_allclose(in_camera[:, 2], predicted[0, 1].detach(), atol=1e-5)
