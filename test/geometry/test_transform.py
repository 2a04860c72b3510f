import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform, blend_transforms, exp_se3, interpolate_transforms, log_se3

twists = arrays(np.float64, 6, elements=st.floats(-1.5, 1.5))


@given(twists)
def test_log_inverts_exp(twist):
    assert np.allclose(log_se3(exp_se3(twist)), twist, atol=1e-9)


@given(twists, twists, twists)
def test_composition_is_associative_and_inverse_cancels(a, b, c):
    A, B, C = (Transform(exp_se3(xi)) for xi in (a, b, c))
    assert np.allclose(((A @ B) @ C).matrix, (A @ (B @ C)).matrix, atol=1e-12)
    assert np.allclose((A @ A.inverse()).matrix, np.eye(4), atol=1e-12)


@given(twists)
def test_quaternion_round_trip_keeps_the_pose(twist):
    T = Transform(exp_se3(twist))
    back = Transform.from_xyzw(T.translation, T.xyzw)
    assert np.allclose(back.matrix, T.matrix, atol=1e-12)
    assert T.xyzw[3] >= 0


@given(twists, st.floats(0, 1))
def test_blend_meets_both_ends_and_moves_along_one_screw(twist, fraction):
    start, end = np.eye(4), exp_se3(twist)
    assert np.allclose(blend_transforms(start, end, 0.0), start, atol=1e-12)
    assert np.allclose(blend_transforms(start, end, 1.0), end, atol=1e-9)
    assert np.allclose(log_se3(blend_transforms(start, end, fraction)), fraction * twist, atol=1e-9)


def test_rpy_agrees_with_the_urdf_definition():
    rpy = (0.3, -0.7, 1.1)
    by_hand = (
        Rotation.from_rotvec([0, 0, rpy[2]])
        * Rotation.from_rotvec([0, rpy[1], 0])
        * Rotation.from_rotvec([rpy[0], 0, 0])
    )
    assert np.allclose(Transform.from_rpy((0, 0, 0), rpy).rotation, by_hand.as_matrix(), atol=1e-12)


def test_transforms3d_agrees_on_quaternions():
    transforms3d = pytest.importorskip("transforms3d")
    wxyz = np.array([0.5, -0.5, 0.1, 0.7])
    wxyz = wxyz / np.linalg.norm(wxyz)
    R = transforms3d.quaternions.quat2mat(wxyz)
    assert np.allclose(Transform.from_xyzw((0, 0, 0), np.roll(wxyz, -1)).rotation, R, atol=1e-12)


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((4, 4), np.nan), np.diag([1, 1, -1, 1.0]), 2 * np.eye(4)])
def test_a_matrix_that_is_not_rigid_is_refused(matrix):
    with pytest.raises(ShapeError, match="transform"):
        Transform(matrix)


def test_a_quaternion_of_wrong_length_is_refused():
    with pytest.raises(ShapeError, match="norm 2"):
        Transform.from_xyzw((0, 0, 0), (2, 0, 0, 0))


def test_a_transform_can_not_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Transform.identity().matrix[0, 3] = 1.0


def test_track_interpolation_hits_its_samples_and_refuses_to_extrapolate():
    stamps = np.array([0, 10, 30])
    poses = exp_se3(np.array([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0.5], [1, 2, 0, 0.3, 0, 0.5]], dtype=float))
    assert np.allclose(interpolate_transforms(stamps, poses, stamps), poses, atol=1e-12)
    with pytest.raises(ShapeError, match="outside the track"):
        interpolate_transforms(stamps, poses, [31])
