"""From rows of numbers to poses: against rotations written out, not against the decoder."""

import numpy as np
import pytest
from remote_scene import POSE, STEPS, observation, settings
from scipy.spatial.transform import Rotation

from vla3d_ros.errors import ConfigError, PolicyServerError
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.backends.remote_actions import chunk_of, rotations_of
from vla3d_ros.policy.backends.remote_config import read_remote_config

ANGLES = np.array([[0.3, -0.4, 1.2], [0.0, 0.0, 0.0], [-2.0, 0.9, 0.1], [3.0, -1.2, -3.0]])


def elementary(rpy):
    """R = Rz(yaw) Ry(pitch) Rx(roll), written out."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    Rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    Ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    Rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return Rz @ Ry @ Rx


MATRICES = np.stack([elementary(rpy) for rpy in ANGLES])
XYZW = Rotation.from_matrix(MATRICES).as_quat()
AS_NUMBERS = {
    "rpy": ANGLES,
    "rotvec": Rotation.from_matrix(MATRICES).as_rotvec(),
    "quat_xyzw": XYZW,
    "quat_wxyz": XYZW[:, [3, 0, 1, 2]],
    "rot6d": np.concatenate([MATRICES[:, :, 0], MATRICES[:, :, 1]], axis=1),
}


def config(representation="ee_pose_relative", rotation="rot6d", arms=None, **actions):
    mapping = settings()
    columns = {"first_column": 0, "rotation": rotation, "gripper": [0.0, 1.0]}
    mapping["actions"] |= {"representation": representation, "arms": arms or {"arm": columns}, **actions}
    return read_remote_config(mapping).actions


def rows(rotation="rot6d", p=(0.1, 0.2, 0.3), opening=1.0):
    return np.concatenate([np.tile(p, (STEPS, 1)), AS_NUMBERS[rotation], np.full((STEPS, 1), opening)], axis=1)


@pytest.mark.parametrize("kind", AS_NUMBERS)
def test_every_kind_of_rotation_is_read(kind):
    np.testing.assert_allclose(rotations_of(kind, AS_NUMBERS[kind]), MATRICES, atol=1e-12)


def test_two_skewed_axes_become_a_rotation():
    skewed = np.array([[2.0, 0.0, 0.0, 0.5, 3.0, 0.0]])
    np.testing.assert_allclose(rotations_of("rot6d", skewed)[0], np.eye(3), atol=1e-12)


def test_two_parallel_axes_are_refused():
    with pytest.raises(PolicyServerError, match="step 1.*no two axes"):
        rotations_of("rot6d", np.array([[1.0, 0, 0, 0, 1, 0], [1.0, 0, 0, 2, 0, 0]]))


@pytest.mark.parametrize("kind", AS_NUMBERS)
def test_relative_poses_are_taken_as_they_are(kind):
    chunk = chunk_of(config(rotation=kind), {"actions": rows(kind)}, observation())
    np.testing.assert_allclose(chunk.arms[0].Ts_ee0_ee[:, :3, :3], MATRICES, atol=1e-12)
    np.testing.assert_allclose(chunk.arms[0].Ts_ee0_ee[:, :3, 3], np.tile([0.1, 0.2, 0.3], (STEPS, 1)))


def test_absolute_poses_become_relative_to_the_pose_at_the_stamp():
    chunk = chunk_of(config("ee_pose_in_base"), {"actions": rows()}, observation())
    for T_ee0_ee, R_base_ee in zip(chunk.arms[0].Ts_ee0_ee, MATRICES, strict=True):
        T_base_ee = POSE.matrix @ T_ee0_ee
        np.testing.assert_allclose(T_base_ee[:3, :3], R_base_ee, atol=1e-12)
        np.testing.assert_allclose(T_base_ee[:3, 3], [0.1, 0.2, 0.3], atol=1e-12)


def test_staying_where_one_is_means_identity():
    here = np.concatenate([POSE.translation, POSE.rotation[:, 0], POSE.rotation[:, 1], [0.5]])
    chunk = chunk_of(config("ee_pose_in_base"), {"actions": np.tile(here, (STEPS, 1))}, observation())
    np.testing.assert_allclose(chunk.arms[0].Ts_ee0_ee, np.tile(np.eye(4), (STEPS, 1, 1)), atol=1e-12)


def test_moving_base_and_target_together_changes_nothing():
    moved = Transform.from_rpy([1.0, 2.0, 3.0], [0.0, 0.0, 0.7])
    first = chunk_of(config("ee_pose_in_base"), {"actions": rows()}, observation())
    targets = np.tile(np.eye(4), (STEPS, 1, 1))
    targets[:, :3, :3], targets[:, :3, 3] = MATRICES, [0.1, 0.2, 0.3]
    targets = moved.matrix @ targets
    there = np.concatenate([targets[:, :3, 3], targets[:, :3, 0], targets[:, :3, 1], np.ones((STEPS, 1))], axis=1)
    second = chunk_of(config("ee_pose_in_base"), {"actions": there}, observation(pose=moved @ POSE))
    np.testing.assert_allclose(second.arms[0].Ts_ee0_ee, first.arms[0].Ts_ee0_ee, atol=1e-9)


def test_a_gripper_that_counts_backwards_is_read_as_told():
    arm = {"first_column": 0, "rotation": "rot6d", "gripper": [0.85, 0.0]}
    chunk = chunk_of(config(arms={"arm": arm}), {"actions": rows(opening=0.17)}, observation())
    np.testing.assert_allclose(chunk.arms[0].gripper_opening, np.full(STEPS, 0.8))


def test_a_small_overshoot_counts_as_open_and_a_large_one_is_refused():
    chunk = chunk_of(config(), {"actions": rows(opening=1.09)}, observation())
    assert chunk.arms[0].gripper_opening.tolist() == [1.0] * STEPS
    with pytest.raises(PolicyServerError, match="gripper_overshoot"):
        chunk_of(config(), {"actions": rows(opening=-0.2)}, observation())


def test_more_columns_than_needed_are_padding():
    padded = np.concatenate([rows(), np.full((STEPS, 22), 9.0)], axis=1)
    np.testing.assert_array_equal(
        chunk_of(config(), {"actions": padded}, observation()).arms[0].Ts_ee0_ee,
        chunk_of(config(), {"actions": rows()}, observation()).arms[0].Ts_ee0_ee,
    )


def test_an_arm_the_robot_does_not_have_is_named():
    arm = {"first_column": 0, "rotation": "rot6d", "gripper": [0.0, 1.0]}
    with pytest.raises(ConfigError, match=r"\['left'\]; the robot has \['arm'\]"):
        chunk_of(config(arms={"left": arm}), {"actions": rows()}, observation())


@pytest.mark.parametrize("representation", ["joint_positions", "joint_velocities", "joint_deltas", "ee_deltas"])
def test_what_a_policy_can_not_turn_into_poses_is_refused_with_a_reason(representation):
    with pytest.raises(ConfigError, match=f"{representation} is refused: .*server"):
        config(representation)


def test_arms_that_share_columns_are_refused():
    arm = {"rotation": "rot6d", "gripper": [0.0, 1.0]}
    with pytest.raises(ConfigError, match="'left' and 'right' share columns from 9 on"):
        config(arms={"left": {"first_column": 0, **arm}, "right": {"first_column": 9, **arm}})
