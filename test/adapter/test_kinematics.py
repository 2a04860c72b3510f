"""Forward kinematics equals the published numbers; inverse kinematics returns to them inside the limits."""

import numpy as np
import pytest

from vla3d_ros.geometry import exp_se3

# Published modified DH of the FR3: a, d, alpha per joint; then flange, hand turned by -45 degrees, TCP.
DH = [
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -np.pi / 2),
    (0.0, 0.316, np.pi / 2),
    (0.0825, 0.0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0.0, 0.0, np.pi / 2),
    (0.088, 0.0, np.pi / 2),
]


def link_pose(a, d, alpha, theta):
    ca, sa, c, s = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    return np.array([[c, -s, 0, a], [s * ca, c * ca, -sa, -d * sa], [s * sa, c * sa, ca, d * ca], [0, 0, 0, 1]])


def published_forward(q):
    T = np.eye(4)
    for row, theta in zip(DH, q, strict=True):
        T = T @ link_pose(*row, theta)
    return T @ link_pose(0.0, 0.107 + 0.1034, 0.0, -np.pi / 4)


def random_q(arm, generator, count):
    return generator.uniform(arm.limits.q_lower + 0.05, arm.limits.q_upper - 0.05, (count, len(arm.joint_names)))


def test_forward_kinematics_equals_the_published_numbers(arm, kinematics):
    q = random_q(arm, np.random.default_rng(1), 100)
    published = np.stack([published_forward(row) for row in q])
    one_by_one = np.stack([kinematics.forward(row).matrix for row in q])
    assert np.abs(one_by_one - published).max() < 1e-9
    assert np.abs(kinematics.forward_many(q) - published).max() < 1e-9


def test_jacobian_predicts_small_motions(arm, kinematics):
    q = arm.q_home
    for joint in range(len(q)):
        moved = q + 1e-6 * np.eye(len(q))[joint]
        difference = kinematics.forward(q).inverse().matrix @ kinematics.forward(moved).matrix
        twist = np.array([*difference[:3, 3], difference[2, 1], difference[0, 2], difference[1, 0]]) * 1e6
        assert twist == pytest.approx(kinematics.jacobian(q)[:, joint], abs=1e-5)


def test_chunk_solution_reaches_every_pose_without_large_steps(arm, kinematics):
    steps = np.linspace(1 / 30, 1.0, 30)[:, None]
    targets = kinematics.forward(arm.q_home).matrix @ exp_se3(steps * [0.15, -0.2, 0.1, 0.2, 0.1, 0.4])
    solution = kinematics.solve_chunk(targets, arm.q_home)
    assert solution.converged.all() and solution.clipped == ()
    assert np.abs(kinematics.forward_many(solution.q) - targets).max() < 1e-5
    assert np.abs(np.diff(solution.q, axis=0)).max() < 0.1


def test_chunk_solution_stays_inside_the_limits_when_the_target_is_out_of_reach(arm, kinematics):
    steps = np.linspace(1 / 30, 1.0, 30)[:, None]
    targets = kinematics.forward(arm.q_home).matrix @ exp_se3(steps * [1.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    solution = kinematics.solve_chunk(targets, arm.q_home)
    assert not solution.converged[-1]
    assert (solution.q >= arm.limits.q_lower).all() and (solution.q <= arm.limits.q_upper).all()
    assert np.abs(np.diff(solution.q, axis=0)).max() <= 0.25 + 1e-12


def test_standing_still_does_not_drift_in_the_end_effector(arm, kinematics):
    q = arm.q_home + 0.3
    still = np.repeat(kinematics.forward(q).matrix[None], 30, axis=0)
    solution = kinematics.solve_chunk(still, q)
    assert solution.residual_m.max() < 1e-5
    assert np.abs(solution.q[-1] - arm.q_home).sum() < np.abs(q - arm.q_home).sum()


def test_body_points_follow_the_links_and_know_the_fingers(arm, kinematics):
    Ts_base_ee, points = kinematics.forward_bodies(arm.q_home[None])
    tips = points[0, kinematics.body_is_finger]
    assert tips[:, 2].min() == pytest.approx(Ts_base_ee[0, 2, 3] - 0.0088, abs=1e-3)
    assert (points[0, :, 2] - kinematics.body_radii).min() > 0.0
