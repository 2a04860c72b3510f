from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python")

from vla3d_ros.datatypes import (
    ActionChunk,
    ArmChunk,
    CameraImage,
    CameraModel,
    CameraMount,
    JointTrajectory,
    Reason,
    RobotState,
    Verdict,
    VerdictKind,
)
from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.ros import conversions

RNG = np.random.default_rng(0)
STROKES_M = {"left": 0.08, "right": 0.07}


def random_stack(steps: int) -> np.ndarray:
    return exp_se3(RNG.normal(0, 0.5, (steps, 6)))


def chunk() -> ActionChunk:
    arms = tuple(
        ArmChunk(arm=arm, Ts_ee0_ee=random_stack(30), gripper_opening=RNG.uniform(0, 1, 30)) for arm in STROKES_M
    )
    return ActionChunk(stamp_ns=1_234_567_890_123, dt_ns=33_333_333, arms=arms)


def test_a_stamp_survives_the_round_trip_to_the_nanosecond():
    for stamp_ns in (0, 1, 999_999_999, 1_763_632_109_123_456_789):
        assert conversions.stamp_to_ns(conversions.stamp_from_ns(stamp_ns)) == stamp_ns


def test_the_stamp_of_a_serialized_message_is_read_without_the_rest():
    from rclpy.serialization import serialize_message

    msg = conversions.chunk_to_msg(chunk(), "base", STROKES_M)
    assert conversions.stamp_ns_of_cdr(serialize_message(msg)) == chunk().stamp_ns


def test_a_bimanual_chunk_survives_the_round_trip():
    sent = chunk()
    got = conversions.chunk_from_msg(conversions.chunk_to_msg(sent, "base", STROKES_M), STROKES_M)
    assert (got.stamp_ns, got.dt_ns) == (sent.stamp_ns, sent.dt_ns)
    for a, b in zip(sent.arms, got.arms, strict=True):
        assert a.arm == b.arm
        assert np.allclose(a.Ts_ee0_ee, b.Ts_ee0_ee, atol=1e-12)
        assert np.allclose(a.gripper_opening, b.gripper_opening, atol=1e-12)


def test_the_finger_travels_in_metres():
    msg = conversions.chunk_to_msg(chunk(), "base", STROKES_M)
    column = msg.joint_names.index("right_finger")
    assert 0 <= msg.points[0].transforms[column].translation.x <= 0.07


def test_how_many_steps_the_policy_conditioned_survives_the_round_trip():
    for count in (0, 1, 7, 30):
        sent = replace(chunk(), conditioned_steps=count)
        msg = conversions.chunk_to_msg(sent, "base", STROKES_M)
        assert conversions.chunk_from_msg(msg, STROKES_M).conditioned_steps == count


def test_conditioned_steps_that_do_not_lead_are_refused():
    msg = conversions.chunk_to_msg(replace(chunk(), conditioned_steps=3), "base", STROKES_M)
    msg.points[1].transforms[-1].translation.x = 0.0
    with pytest.raises(ShapeError, match="leading steps"):
        conversions.chunk_from_msg(msg, STROKES_M)


def test_a_chunk_without_one_arm_names_it():
    msg = conversions.chunk_to_msg(chunk(), "base", STROKES_M)
    with pytest.raises(ShapeError, match="middle_ee"):
        conversions.chunk_from_msg(msg, {**STROKES_M, "middle": 0.1})


def test_a_chunk_with_a_broken_quaternion_names_the_step():
    msg = conversions.chunk_to_msg(chunk(), "base", STROKES_M)
    msg.points[7].transforms[0].rotation.w = float("nan")
    with pytest.raises(ShapeError, match=r"steps \[7\]"):
        conversions.chunk_from_msg(msg, STROKES_M)


def test_a_chunk_with_uneven_steps_is_refused():
    msg = conversions.chunk_to_msg(chunk(), "base", STROKES_M)
    msg.points[3].time_from_start.nanosec += 5_000_000
    with pytest.raises(ShapeError, match="equally spaced"):
        conversions.chunk_from_msg(msg, STROKES_M)


def test_an_image_survives_and_bgr_stops_here():
    rgb = RNG.integers(0, 255, (4, 6, 3), dtype=np.uint8)
    image = CameraImage(camera="head", rgb=rgb, stamp_ns=5, receive_ns=6)
    msg = conversions.image_to_msg(image, "head_optical_frame")
    assert np.array_equal(conversions.image_from_msg("head", msg, 6).rgb, rgb)
    msg.encoding = "bgr8"
    assert np.array_equal(conversions.image_from_msg("head", msg, 6).rgb, rgb[:, :, ::-1])
    msg.encoding = "mono8"
    with pytest.raises(ShapeError, match="'mono8'"):
        conversions.image_from_msg("head", msg, 6)


def test_intrinsics_survive_and_an_uncalibrated_camera_is_refused():
    model = CameraModel(
        width_px=640, height_px=480, K=np.array([[600.0, 0, 320], [0, 601, 240], [0, 0, 1]]), distortion=np.arange(5.0)
    )
    msg = conversions.camera_info_to_msg(model, "f", 7)
    got = conversions.camera_model_from_msg(msg)
    assert np.array_equal(got.K, model.K) and np.array_equal(got.distortion, model.distortion)
    msg.k = [0.0] * 9
    with pytest.raises(ShapeError, match="not calibrated"):
        conversions.camera_model_from_msg(msg)


def test_extrinsics_survive():
    mount = CameraMount(
        camera="wrist",
        parent_frame="tool",
        optical_frame="wrist_optical_frame",
        T_parent_camera=Transform(random_stack(1)[0]),
    )
    got = conversions.mount_from_msg("wrist", conversions.mount_to_msg(mount, 9))
    assert (got.parent_frame, got.optical_frame) == ("tool", "wrist_optical_frame")
    assert np.allclose(got.T_parent_camera.matrix, mount.T_parent_camera.matrix, atol=1e-12)


def test_end_effector_states_survive_for_both_arms():
    states = [
        RobotState(
            arm=arm, stamp_ns=11, joint_names=(), q=np.zeros(0), dq=np.zeros(0),
            T_base_ee=Transform(random_stack(1)[0]), gripper_opening=0.25,
        )
        for arm in STROKES_M
    ]  # fmt: skip
    got = conversions.ee_state_from_msg(conversions.ee_state_to_msg(states, "base", STROKES_M), STROKES_M)
    for state in states:
        T_base_ee, opening = got[state.arm]
        assert np.allclose(T_base_ee.matrix, state.T_base_ee.matrix, atol=1e-12)
        assert opening == pytest.approx(0.25)


def test_a_trajectory_is_stamped_with_its_first_knot():
    trajectory = JointTrajectory(
        arm="left",
        joint_names=("a", "b"),
        times_ns=np.array([1_000_000_000, 1_050_000_000]),
        q=np.array([[0.0, 1], [0.1, 1.1]]),
        dq=np.zeros((2, 2)),
    )
    msg = conversions.joint_trajectory_to_msg(trajectory)
    assert conversions.stamp_to_ns(msg.header.stamp) == 1_000_000_000
    assert [conversions.duration_to_ns(point.time_from_start) for point in msg.points] == [0, 50_000_000]
    assert list(msg.points[1].positions) == [0.1, 1.1]


def test_a_verdict_carries_check_and_message():
    verdict = Verdict(kind=VerdictKind.STOP, stamp_ns=1, reasons=(Reason(check="workspace", message="z = -0.1 m"),))
    msg = conversions.verdict_to_msg("/adapter", verdict, {})
    assert msg.message == "stop"
    assert [(value.key, value.value) for value in msg.values] == [("workspace", "z = -0.1 m")]


def test_missing_velocities_are_not_invented():
    msg = conversions.joint_state_to_msg(("a",), np.array([0.5]), np.array([0.1]), np.zeros(1), 3)
    msg.velocity = []
    names, q, dq, stamp_ns = conversions.joint_state_from_msg(msg)
    assert (names, stamp_ns) == (("a",), 3)
    assert np.isnan(dq).all() and q[0] == 0.5
