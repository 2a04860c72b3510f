"""Distances of segments and boxes against brute force."""

import numpy as np
import pytest

from vla3d_ros.geometry.segments import box_distances, segment_distances

FRACTIONS = np.linspace(0.0, 1.0, 201)


def points_on(segments):
    return segments[:, None, 0] + FRACTIONS[None, :, None] * (segments[:, None, 1] - segments[:, None, 0])


def test_segment_distances_agree_with_the_closest_of_many_points():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 2, 3)), rng.normal(size=(200, 2, 3))
    apart = np.linalg.norm(points_on(a)[:, :, None] - points_on(b)[:, None], axis=-1).min(axis=(1, 2))
    exact = segment_distances(a, b)
    assert (exact <= apart + 1e-9).all()
    assert np.abs(exact - apart).max() < 0.02


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ([[0, 0, 0], [1, 0, 0]], [[0, 1, 0], [1, 1, 0]], 1.0),  # parallel
        ([[0, 0, 0], [1, 0, 0]], [[2, 0, 0], [3, 0, 0]], 1.0),  # in line
        ([[0, 0, 0], [0, 0, 0]], [[0, 0, 2], [0, 0, 2]], 2.0),  # two points
        ([[0, 0, 0], [1, 0, 0]], [[0.5, -1, 0.3], [0.5, 1, 0.3]], 0.3),  # crossing
        ([[0.5, 0, 0], [0.5, 0, 0]], [[0, 0, 1], [1, 0, 1]], 1.0),  # point and segment
    ],
)
def test_segment_distances_are_exact_where_segments_degenerate(a, b, distance):
    assert segment_distances(np.array(a, float), np.array(b, float)) == pytest.approx(distance)


def test_distance_does_not_depend_on_the_order_of_segments_or_ends():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(50, 2, 3)), rng.normal(size=(50, 2, 3))
    assert segment_distances(a, b) == pytest.approx(segment_distances(b, a))
    assert segment_distances(a, b) == pytest.approx(segment_distances(a[:, ::-1], b))


def test_box_distances_agree_with_the_closest_of_many_points():
    rng = np.random.default_rng(2)
    segments = rng.normal(scale=1.5, size=(300, 2, 3))
    lower, upper = np.array([-0.3, -0.2, -0.1]), np.array([0.4, 0.2, 0.5])
    points = points_on(segments)
    outside = np.maximum(np.maximum(lower - points, points - upper), 0.0)
    apart = np.linalg.norm(outside, axis=-1).min(axis=1)
    assert np.abs(box_distances(segments, lower, upper) - apart).max() < 0.02


def test_a_segment_through_a_box_has_distance_zero():
    through = np.array([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert box_distances(through, -np.ones(3) * 0.1, np.ones(3) * 0.1) < 1e-6
