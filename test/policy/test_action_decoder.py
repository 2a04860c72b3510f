"""Numbers become rigid poses, and poses the same numbers again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")

from standin_package import SLOTS, STEPS, standin_manifest

from vla3d_ros.errors import EngineError, ShapeError
from vla3d_ros.geometry import exp_se3
from vla3d_ros.policy.action_decoder import ActionDecoder, rotations_from_6d

ACTIONS = standin_manifest().actions
BOTH = {"left": "a", "right": "b"}


def decoder(arms=BOTH):
    return ActionDecoder(ACTIONS, SLOTS, arms)


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal((STEPS, 20)).astype(np.float32)


def test_whatever_comes_in_a_rigid_transform_comes_out():
    for arm in decoder().decode(noise()).arms:
        R = arm.Ts_ee0_ee[:, :3, :3]
        assert np.swapaxes(R, 1, 2) @ R == pytest.approx(np.tile(np.eye(3), (STEPS, 1, 1)), abs=1e-12)
        assert np.linalg.det(R) == pytest.approx(np.ones(STEPS))
        assert arm.Ts_ee0_ee[:, 3].tolist() == [[0, 0, 0, 1]] * STEPS


def test_decoding_undoes_encoding():
    rng = np.random.default_rng(1)
    poses = {arm: exp_se3(0.3 * rng.standard_normal((STEPS, 6))) for arm in "ab"}
    openings = {arm: rng.uniform(0, 1, STEPS) for arm in "ab"}
    normalised = decoder().encode({arm: (poses[arm], openings[arm]) for arm in "ab"})
    assert normalised.dtype == np.float32
    for arm in decoder().decode(normalised).arms:
        assert arm.Ts_ee0_ee == pytest.approx(poses[arm.arm], abs=1e-6)
        assert arm.gripper_opening == pytest.approx(openings[arm.arm], abs=1e-6)


def test_the_first_direction_is_kept_and_scale_means_nothing():
    columns = np.random.default_rng(2).standard_normal((5, 6))
    R = rotations_from_6d(columns, "x")
    assert R[:, :, 0] == pytest.approx(columns[:, :3] / np.linalg.norm(columns[:, :3], axis=1, keepdims=True))
    assert rotations_from_6d(3.7 * columns, "x") == pytest.approx(R)
    assert np.cross(R[:, :, 0], columns[:, 3:]) @ np.zeros(3) == pytest.approx(0)
    in_plane = np.einsum("ki,ki->k", R[:, :, 2], columns[:, 3:])
    assert in_plane == pytest.approx(np.zeros(5), abs=1e-12)


@pytest.mark.parametrize("columns", [[0, 0, 0, 0, 1, 0], [1, 0, 0, 2, 0, 0]])
def test_a_rotation_without_direction_names_the_step(columns):
    stack = np.tile([1.0, 0, 0, 0, 1, 0], (4, 1))
    stack[2] = columns
    with pytest.raises(EngineError, match=r"steps \[2\] have no direction"):
        rotations_from_6d(stack, "x")


def test_numbers_that_are_not_finite_name_arm_and_step():
    broken = noise()
    broken[3, 12] = np.nan
    with pytest.raises(EngineError, match=r"arm 'b' are not finite at steps \[3\]"):
        decoder().decode(broken)


def test_openings_outside_the_stroke_are_set_to_the_end_and_counted():
    normalised = np.zeros((STEPS, 20), np.float32)
    normalised[:3, 9], normalised[3, 9] = 10.0, -10.0
    decoded = decoder().decode(normalised)
    assert decoded.arms[0].gripper_opening.tolist() == [1, 1, 1, 0, 0.5, 0.5, 0.5, 0.5]
    assert decoded.clipped_openings == 4


def test_an_empty_slot_gives_no_arm_whatever_its_numbers():
    broken = noise()
    broken[:, 10:] = np.nan
    assert [arm.arm for arm in decoder({"left": "a"}).decode(broken).arms] == ["a"]


def test_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"\(3, 20\)"):
        decoder().decode(np.zeros((3, 20), np.float32))
