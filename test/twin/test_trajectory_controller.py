"""The controller the adapter will meet on a robot: every law here is one of ros2_control's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.interpolate import BPoly, CubicHermiteSpline

from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.errors import ConfigError
from vla3d_ros.twin.trajectory_command import TrajectoryCommand, TrajectoryPoint
from vla3d_ros.twin.trajectory_controller import Distribution, TrajectoryController

NAMES = ("a", "b")
PERIOD_NS = 2_000_000
NOW_NS = 50_000_000_000
MS = 1_000_000
ZERO = np.zeros(2)


def controller(distribution: Distribution = Distribution.HUMBLE, **more) -> TrajectoryController:
    """Humble by default: it samples at now, which keeps the arithmetic of a test in the head."""
    return TrajectoryController(NAMES, update_period_ns=PERIOD_NS, distribution=distribution, **more)


def point(time_ms: float, q, dq=(), ddq=(), effort=()) -> TrajectoryPoint:
    return TrajectoryPoint(
        time_from_start_ns=round(time_ms * MS), positions=q, velocities=dq, accelerations=ddq, effort=effort
    )


def command(*points: TrajectoryPoint, stamp_ns: int = 0, names=NAMES) -> TrajectoryCommand:
    return TrajectoryCommand(joint_names=names, stamp_ns=stamp_ns, points=points)


def ramp(stamp_ns: int, q0: float, speed: float, steps: int = 30) -> TrajectoryCommand:
    """A line through q0 at the stamp, with a knot every 33 ms and a tail at rest."""
    knots = [point(33 * i, (q0 + speed * 0.033 * i,) * 2, (speed,) * 2) for i in range(steps)]
    end = q0 + speed * 0.033 * (steps - 0.5)
    return command(*knots, point(33 * steps, (end,) * 2, (0.0, 0.0)), stamp_ns=stamp_ns)


GOOD = command(point(100, (1.0, 2.0), (0.0, 0.0)))
MOVING_END = command(point(100, (1.0, 2.0), (0.0, 0.5)))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (replace(GOOD, joint_names=()), "Empty joint names on incoming trajectory."),
        (replace(GOOD, joint_names=("a",)), "Joints on incoming trajectory don't match the controller joints."),
        (replace(GOOD, points=()), "Empty trajectory received."),
        (replace(GOOD, joint_names=("a", "c")), "Incoming joint c doesn't match the controller's joints."),
        (MOVING_END, "Velocity of last trajectory point of joint b is not zero: 0.500000000000000"),
        (
            replace(GOOD, stamp_ns=NOW_NS - 200 * MS),
            "Received trajectory with non-zero start time (49.800000) that ends in the past (49.900000)",
        ),
        (
            command(point(10, (0.0, 0.0)), point(10, (1.0, 1.0))),
            "Time between points 0 and 1 is not strictly increasing, it is 0.010000 and 0.010000 respectively",
        ),
        (
            command(point(10, (0.0, 0.0)), point(20, (1.0,))),
            "Mismatch between joint_names size (2) and positions (1) at point #1.",
        ),
        (
            command(point(10, (0.0, 0.0), (1.0,)), point(20, (1.0, 1.0))),
            "Mismatch between joint_names size (2) and velocities (1) at point #0.",
        ),
        (
            command(point(10, (0.0, 0.0), (), (), (1.0, 1.0)), point(20, (1.0, 1.0))),
            "Trajectories with effort fields are currently not supported.",
        ),
    ],
)
def test_controller_rejects_in_the_words_of_ros2_control(message: TrajectoryCommand, text: str) -> None:
    subject = controller(Distribution.JAZZY)
    assert subject.submit(message, NOW_NS) == text
    assert (subject.rejected, subject.last_rejection) == (1, text)
    q, dq = subject.update(NOW_NS, np.array([0.3, 0.4]), ZERO)
    np.testing.assert_allclose([q, dq], [[0.3, 0.4], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (command(point(10, (np.nan, 0.0), (0.0, 0.0))), "not finite"),
        (replace(GOOD, joint_names=("a", "a")), "repeat"),
        (command(point(10, (0.0, 0.0), (), (1.0, 1.0))), "accelerations without velocities"),
    ],
)
def test_controller_also_rejects_what_a_real_one_executes_wrongly(message: TrajectoryCommand, word: str) -> None:
    assert word in (controller().submit(message, NOW_NS) or "")


def test_only_humble_accepts_a_moving_end_by_default() -> None:
    assert controller(Distribution.HUMBLE).submit(MOVING_END, NOW_NS) is None
    assert controller(Distribution.JAZZY).submit(MOVING_END, NOW_NS) is not None
    allowed = controller(Distribution.JAZZY, allow_nonzero_velocity_at_trajectory_end=True)
    assert allowed.submit(MOVING_END, NOW_NS) is None


def test_trajectory_that_ends_now_is_still_accepted() -> None:
    assert controller().submit(replace(GOOD, stamp_ns=NOW_NS - 100 * MS), NOW_NS) is None


def test_unknown_distribution_is_refused_by_name() -> None:
    assert Distribution.parse("humble") is Distribution.HUMBLE
    with pytest.raises(ConfigError, match=r"'noetic'.*humble.*jazzy"):
        Distribution.parse("noetic")


def test_controller_holds_the_measured_position_before_any_trajectory() -> None:
    subject = controller()
    q, dq = subject.update(NOW_NS, np.array([0.1, 0.2]), np.array([1.0, 1.0]))
    np.testing.assert_allclose([q, dq], [[0.1, 0.2], [0.0, 0.0]])
    q, _ = subject.update(NOW_NS + PERIOD_NS, np.array([0.9, 0.9]), ZERO)
    np.testing.assert_allclose(q, [0.1, 0.2], err_msg="a hold must not follow the measurement")
    assert subject.is_holding


def test_zero_stamp_starts_at_the_next_update_with_a_lead_in_from_the_measured_state() -> None:
    subject = controller()
    subject.submit(command(point(100, (1.0, 1.0), (0.0, 0.0))), NOW_NS)
    start_ns = NOW_NS + 7 * MS
    measured, speed = np.array([0.5, 0.0]), np.array([0.2, 0.0])
    q, dq = subject.update(start_ns, measured, speed)
    np.testing.assert_allclose([q, dq], [measured, speed])
    expected = CubicHermiteSpline([0.0, 0.1], [measured, [1.0, 1.0]], [speed, [0.0, 0.0]])
    q, dq = subject.update(start_ns + 40 * MS, ZERO, ZERO)
    np.testing.assert_allclose([q, dq], [expected(0.04), expected(0.04, 1)], atol=1e-12)


def test_first_point_at_zero_with_zero_stamp_steps_without_a_lead_in() -> None:
    subject = controller()
    subject.submit(command(point(0, (1.0, 1.0), (0.0, 0.0)), point(50, (2.0, 2.0), (0.0, 0.0))), NOW_NS)
    q, _ = subject.update(NOW_NS, ZERO, ZERO)
    np.testing.assert_allclose(q, [1.0, 1.0])


def test_past_points_are_dropped_and_the_trajectory_is_followed_in_absolute_time() -> None:
    subject = controller()
    message = ramp(NOW_NS - 100 * MS, q0=0.0, speed=0.5)
    subject.submit(message, NOW_NS)
    q, dq = subject.update(NOW_NS, np.array([9.0, 9.0]), ZERO)
    np.testing.assert_allclose(q, 0.05, atol=1e-12, err_msg="no blending from where the arm is")
    np.testing.assert_allclose(dq, 0.5, atol=1e-9)


@pytest.mark.parametrize("distribution", list(Distribution))
def test_agreeing_chunks_stamped_in_the_past_splice_without_a_trace(distribution: Distribution) -> None:
    subject = controller(distribution)
    track, now_ns = [], NOW_NS
    for cycle in range(200):
        if cycle % 16 == 0:
            stamp_ns = now_ns - 60 * MS
            subject.submit(ramp(stamp_ns, 0.5 * (stamp_ns - NOW_NS) * 1e-9, 0.5), now_ns)
        track.append(subject.update(now_ns, np.array([5.0, 5.0]), ZERO)[0][0])
        now_ns += PERIOD_NS
    np.testing.assert_allclose(np.diff(track) / (PERIOD_NS * 1e-9), 0.5, atol=1e-6)


def test_future_stamp_forgets_the_old_motion_at_once_and_ramps_to_the_first_point() -> None:
    subject = controller()
    subject.submit(ramp(NOW_NS, 0.0, 1.0), NOW_NS)
    subject.update(NOW_NS, ZERO, ZERO)
    now_ns = NOW_NS + 100 * MS
    subject.submit(command(point(0, (0.3, 0.3), (0.0, 0.0)), stamp_ns=now_ns + 200 * MS), now_ns)
    measured = np.array([0.1, 0.1])
    subject.update(now_ns, measured, ZERO)
    q, _ = subject.update(now_ns + 100 * MS, measured, ZERO)
    np.testing.assert_allclose(q, 0.2, atol=1e-12)


def test_newest_of_two_messages_within_one_cycle_wins() -> None:
    subject = controller()
    subject.submit(ramp(NOW_NS, 0.0, 1.0), NOW_NS)
    subject.submit(command(point(0, (3.0, 3.0), (0.0, 0.0)), stamp_ns=NOW_NS), NOW_NS)
    q, _ = subject.update(NOW_NS, ZERO, ZERO)
    np.testing.assert_allclose(q, 3.0)


def test_jazzy_commands_one_period_ahead_of_its_reference_and_humble_does_not() -> None:
    for distribution, ahead in ((Distribution.HUMBLE, 0.0), (Distribution.JAZZY, 0.5 * PERIOD_NS * 1e-9)):
        subject = controller(distribution)
        subject.submit(ramp(NOW_NS, 0.0, 0.5), NOW_NS)
        q, _ = subject.update(NOW_NS + 10 * MS, ZERO, ZERO)
        assert subject.reference is not None
        np.testing.assert_allclose(subject.reference[0], 0.005, atol=1e-12)
        np.testing.assert_allclose(q - subject.reference[0], ahead, atol=1e-12)


def test_interpolation_is_linear_without_velocities_and_quintic_with_accelerations() -> None:
    linear = controller()
    linear.submit(command(point(0, (0.0, 0.0)), point(100, (1.0, 2.0)), stamp_ns=NOW_NS), NOW_NS)
    q, dq = linear.update(NOW_NS + 25 * MS, ZERO, ZERO)
    np.testing.assert_allclose([q, dq], [[0.25, 0.5], [10.0, 20.0]])

    ends = np.array([[[0.0, 0.3, -1.0], [1.0, 0.0, 2.0]], [[0.5, -0.2, 0.0], [0.7, 0.0, 1.0]]])
    points = [point(100 * i, *ends[:, i].T.tolist()) for i in range(2)]
    quintic = controller()
    quintic.submit(command(*points, stamp_ns=NOW_NS), NOW_NS)
    q, dq = quintic.update(NOW_NS + 37 * MS, ZERO, ZERO)
    for joint in range(2):
        expected = BPoly.from_derivatives([0.0, 0.1], ends[joint])
        np.testing.assert_allclose([q[joint], dq[joint]], [expected(0.037), expected(0.037, 1)], atol=1e-9)


def test_velocities_on_one_end_only_make_that_segment_linear() -> None:
    subject = controller()
    points = (point(0, (0.0, 0.0), (5.0, 5.0)), point(100, (1.0, 1.0)), point(200, (1.0, 1.0), (0.0, 0.0)))
    subject.submit(command(*points, stamp_ns=NOW_NS), NOW_NS)
    _, dq = subject.update(NOW_NS + 50 * MS, ZERO, ZERO)
    np.testing.assert_allclose(dq, 10.0)


def test_joints_are_matched_by_name() -> None:
    subject = controller()
    subject.submit(command(point(0, (1.0, 2.0), (0.0, 0.0)), stamp_ns=NOW_NS, names=("b", "a")), NOW_NS)
    np.testing.assert_allclose(subject.update(NOW_NS, ZERO, ZERO)[0], [2.0, 1.0])


def test_last_point_is_repeated_for_ever() -> None:
    subject = controller()
    subject.submit(ramp(NOW_NS, 0.0, 1.0, steps=3), NOW_NS)
    subject.update(NOW_NS, ZERO, ZERO)
    q, dq = subject.update(NOW_NS + 9_000 * MS, np.array([7.0, 7.0]), ZERO)
    np.testing.assert_allclose([q, dq], [[0.033 * 2.5] * 2, [0.0, 0.0]])


def test_path_tolerance_freezes_the_command_then_holds_where_the_arm_was_measured() -> None:
    subject = controller(path_tolerance_rad=0.05)
    subject.submit(ramp(NOW_NS, 0.0, 1.0), NOW_NS)
    before, _ = subject.update(NOW_NS, ZERO, ZERO)
    stuck = np.array([0.0, 0.001])
    now_ns = NOW_NS + 60 * MS
    frozen, _ = subject.update(now_ns, stuck, ZERO)
    np.testing.assert_allclose(frozen, before)
    assert subject.tolerance_violations == 1
    held, dq = subject.update(now_ns + PERIOD_NS, np.array([0.4, 0.4]), ZERO)
    np.testing.assert_allclose([held, dq], [stuck, ZERO])
    assert subject.is_holding


def test_lead_in_starts_from_the_last_command_when_asked_to() -> None:
    for from_desired, expected in ((False, 0.5), (True, 0.0)):
        subject = controller(interpolate_from_desired_state=from_desired)
        subject.update(NOW_NS, ZERO, ZERO)
        subject.submit(GOOD, NOW_NS)
        q, _ = subject.update(NOW_NS + PERIOD_NS, np.array([0.5, 0.5]), ZERO)
        np.testing.assert_allclose(q, expected)


def test_jazzy_lead_in_from_the_last_command_takes_a_double_step() -> None:
    subject = controller(Distribution.JAZZY, interpolate_from_desired_state=True)
    subject.submit(ramp(NOW_NS, 0.0, 0.5), NOW_NS)
    track = []
    for cycle in range(20):
        now_ns = NOW_NS + cycle * PERIOD_NS
        if cycle == 10:
            q0 = 0.5 * (now_ns - NOW_NS) * 1e-9
            subject.submit(
                command(
                    *[point(33 * (i + 1), (q0 + 0.0165 * (i + 1),) * 2, (0.5, 0.5)) for i in range(5)],
                    point(200, (q0 + 0.1, q0 + 0.1), (0.0, 0.0)),
                ),
                now_ns,
            )
        track.append(subject.update(now_ns, ZERO, ZERO)[0][0])
    steps = np.diff(track) / (0.5 * PERIOD_NS * 1e-9)
    assert steps.max() == pytest.approx(2.0, abs=0.1)
    assert sum(b > 1.5 for _, b in pairwise(steps)) == 1


def test_reset_forgets_the_trajectory() -> None:
    subject = controller()
    subject.submit(ramp(NOW_NS, 0.0, 1.0), NOW_NS)
    subject.update(NOW_NS, ZERO, ZERO)
    subject.reset()
    q, _ = subject.update(NOW_NS + 50 * MS, np.array([0.7, 0.7]), ZERO)
    np.testing.assert_allclose(q, 0.7)


def test_our_trajectory_type_goes_out_stamped_with_its_first_knot() -> None:
    trajectory = JointTrajectory(
        arm="any",
        joint_names=NAMES,
        times_ns=np.array([NOW_NS, NOW_NS + 50 * MS]),
        q=np.array([[0.0, 1.0], [2.0, 3.0]]),
        dq=np.array([[0.5, 0.5], [0.0, 0.0]]),
    )
    message = TrajectoryCommand.from_trajectory(trajectory)
    assert message.stamp_ns == NOW_NS
    assert [p.time_from_start_ns for p in message.points] == [0, 50 * MS]
    assert list(message.points[1].positions) == [2.0, 3.0]
    assert controller(Distribution.JAZZY).submit(message, NOW_NS) is None
