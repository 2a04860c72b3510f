import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform, project, triangulate, unproject

K = np.array([[600.0, 0, 320], [0, 610.0, 240], [0, 0, 1]])
PLUMB_BOB = (0.05, -0.08, 0.001, -0.0007, 0.01)


def looking_at_point(p_base_camera, point) -> Transform:
    z = np.asarray(point) - p_base_camera
    z = z / np.linalg.norm(z)
    x = np.cross(z, (0, 0, 1.0))
    x = x / np.linalg.norm(x)
    return Transform.from_rotation(np.stack([x, np.cross(z, x), z], axis=1), p_base_camera)


@given(st.floats(0, 639), st.floats(0, 479), st.floats(0.1, 5))
def test_unprojected_rays_project_back_to_their_pixel(u, v, depth_m):
    for distortion in ((), PLUMB_BOB):
        point = unproject((u, v), K, distortion) * depth_m
        assert np.allclose(project(point, K, distortion), (u, v), atol=1e-6)


def test_points_behind_the_camera_have_no_pixel():
    assert np.isnan(project((0.1, 0.1, -1.0), K)).all()


def test_distortion_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2")
    points = np.random.default_rng(3).uniform((-0.5, -0.4, 0.8), (0.5, 0.4, 2.0), (50, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, np.array(PLUMB_BOB))
    assert np.allclose(project(points, K, PLUMB_BOB), expected[:, 0], atol=1e-8)


def test_triangulation_recovers_a_point_and_reports_disagreement():
    point = np.array([0.4, -0.1, 0.05])
    cameras = [looking_at_point((1.0, 0.0, 0.7), point), looking_at_point((0.4, 0.9, 0.5), point)]
    pixels = [project(T.inverse().apply(point), K) for T in cameras]
    found, residual_m = triangulate(pixels, [K, K], cameras)
    assert np.allclose(found, point, atol=1e-9)
    assert residual_m < 1e-9
    _, worse_m = triangulate([pixels[0] + (0, 15), pixels[1]], [K, K], cameras)
    assert worse_m > 1e-3


def test_one_view_or_parallel_rays_are_refused():
    T = Transform.identity()
    with pytest.raises(ShapeError, match="at least 2"):
        triangulate([(320, 240)], [K], [T])
    shifted = Transform.from_rotation(np.eye(3), (0.1, 0, 0))
    with pytest.raises(ShapeError, match="parallel"):
        triangulate([(320, 240), (320, 240)], [K, K], [T, shifted])
