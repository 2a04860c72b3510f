import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from teleop_hands import TOOL_DOWN, settings_of

from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.motion import MovingPose, look_ahead, orthonormal, rotation_by, rotation_vector, wish_pose

VECTORS = [[0.0, 0.0, 0.0], [1e-12, 0, 0], [0.1, -0.2, 0.3], [0.0, 3.0, 0.0], [2.0, -2.0, 1.0]]


@pytest.mark.parametrize("vector", VECTORS)
def test_rotations_agree_with_an_independent_implementation(vector):
    expected = Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(rotation_by(np.array(vector)), expected, atol=1e-12)
    np.testing.assert_allclose(rotation_vector(expected), Rotation.from_matrix(expected).as_rotvec(), atol=1e-9)


def test_a_rotation_that_has_drifted_becomes_one_again():
    drifted = rotation_by(np.array([0.3, 0.2, 0.1])) + 1e-6 * np.arange(9.0).reshape(3, 3)
    R = orthonormal(drifted)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)


def test_a_wished_pose_is_reached_without_passing_it():
    limits = settings_of("poses").limits
    target = Transform.from_rotation(TOOL_DOWN.rotation, TOOL_DOWN.translation + np.array([0.2, 0.0, 0.0]))
    poses = look_ahead(MovingPose.at_rest(TOOL_DOWN), wish_pose(target, limits), 2.0, 60, 1.0 / 30.0, limits)
    x = np.array([pose.T_base_ee[0, 3] for pose in poses]) - TOOL_DOWN.translation[0]
    assert x.max() <= 0.2 + 1e-3
    assert x[-1] == pytest.approx(0.2, abs=2e-3)
