"""Waypoints as tokens (VIPA-VLA 3.2.2)."""

import numpy as np

from vla3d_ros.policy.nets.motion_tokens import metric_scale, motion_tokens, waypoints


def test_the_cubic_metre_before_the_camera_has_1024_bins_an_axis():
    points = np.array([[-0.5, -0.5, 0.0], [0.0, 0.0, 0.5], [0.4999, 0.4999, 0.9999]])
    assert motion_tokens(points).tolist() == [[0, 0, 0], [512, 512, 512], [1023, 1023, 1023]]


def test_points_beyond_fall_into_the_outermost_bins():
    assert motion_tokens(np.array([[-3.0, 0.5, 7.0]])).tolist() == [[0, 1023, 1023]]


def test_a_waypoint_comes_back_within_half_a_bin():
    points = np.random.default_rng(0).uniform([-0.5, -0.5, 0.0], [0.5, 0.5, 1.0], (200, 3))
    assert np.abs(waypoints(motion_tokens(points)) - points).max() <= 0.5 / 1024 + 1e-12


def test_scale_is_a_median_so_one_wild_depth_does_no_harm():
    relative = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert metric_scale(np.array([0.5, 1.0, 1.5, 2.0, 400.0]), relative) == 0.5
