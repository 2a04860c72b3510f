"""Chunks are followed inside every limit, through singularities where that is possible, and what is missed is told."""

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.pose_solver import PoseSolver
from vla3d_ros.evaluation.ik_bench import measure_chunks
from vla3d_ros.geometry import exp_se3

pytest.importorskip("pinocchio")

ROBOTS = Path(__file__).parents[2] / "config" / "robots"


def kinematics_of(robot, index=0):
    embodiment = load_embodiment(ROBOTS / f"{robot}.yaml")
    return embodiment.arms[index], ArmKinematics(embodiment.urdf_path, embodiment.arms[index])


@pytest.mark.parametrize("robot", ["fr3", "piper", "ur5e", "xarm7"])
def test_reachable_chunks_are_solved_without_a_single_limit_violation(robot):
    embodiment = load_embodiment(ROBOTS / f"{robot}.yaml")
    figures = measure_chunks(embodiment.urdf_path, embodiment.arms[0], count=200, generator=np.random.default_rng(11))
    assert figures.limit_violations == 0
    assert figures.solved >= 199


def test_no_joint_moves_faster_than_its_speed_limit_and_the_ones_held_back_are_named():
    arm, kinematics = kinematics_of("xarm7")
    steps = np.linspace(1 / 10, 1.0, 10)[:, None]
    leap = kinematics.forward(arm.q_home).matrix @ exp_se3(steps * [0.0, 0.0, -0.3, 0.0, 0.0, 2.5])
    solution = kinematics.solve_chunk(leap, arm.q_home, period_s=0.02)
    moved = np.abs(np.diff(np.vstack([arm.q_home, solution.q]), axis=0))
    assert (moved <= arm.limits.velocity * 0.02 + 1e-12).all()
    assert solution.at_step_limit[:, -1].any() and not solution.at_position_limit.any()
    assert not solution.converged.all() and solution.clipped == ()


def test_a_joint_at_its_position_limit_is_named_per_step():
    arm, kinematics = kinematics_of("piper")
    turns = np.linspace(0.1, 3.0, 30)[:, None] * [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    solution = kinematics.solve_chunk(kinematics.forward(arm.q_home).matrix @ exp_se3(turns), arm.q_home)
    held = solution.at_position_limit.any(axis=1)
    assert not held[:10].any() and held[-5:].all()
    assert "joint6" in solution.clipped
    assert (solution.residual_rad[-5:] > 0.01).all()


def test_a_target_far_out_of_reach_costs_little_and_is_never_an_exception():
    arm, kinematics = kinematics_of("ur5e")
    far = np.repeat(kinematics.forward(arm.q_home).matrix[None], 5, axis=0)
    far[:, 0, 3] += 5.0
    solution = kinematics.solve_chunk(far, arm.q_home)
    assert np.isfinite(solution.q).all() and not solution.converged.any()
    assert (solution.residual_m > 3.0).all()


def test_two_arms_share_one_base_frame():
    (left, left_arm), (right, right_arm) = kinematics_of("dual_piper", 0), kinematics_of("dual_piper", 1)
    assert left.base_frame == right.base_frame
    q = np.array([0.3, 1.2, -0.8, 0.2, 0.5, -0.4])
    mirrored = q * [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0]
    p_left, p_right = left_arm.forward(q).translation, right_arm.forward(mirrored).translation
    assert p_right == pytest.approx(p_left * [1.0, -1.0, 1.0], abs=1e-12)
    between = left_arm.forward(left.q_home).matrix.copy()
    between[:3, 3] = [0.3, 0.0, 0.1]
    for spec, arm in ((left, left_arm), (right, right_arm)):  # one pose in one frame; together they would collide
        assert arm.solve_chunk(np.repeat(between[None], 40, axis=0), spec.q_home).residual_m[-1] < 1e-4


def test_endless_joints_have_one_coordinate_like_all_others(tmp_path):
    links = "".join(f'<link name="l{i}"/>' for i in range(7))
    joints = "".join(
        f'<joint name="j{i}" type="continuous"><parent link="l{i}"/><child link="l{i + 1}"/>'
        f'<origin xyz="0.1 0 0.2"/><axis xyz="{i % 2} 0 {1 - i % 2}"/></joint>'
        for i in range(6)
    )
    path = tmp_path / "endless.urdf"
    path.write_text(f'<robot name="endless">{links}{joints}</robot>')
    names = tuple(f"j{i}" for i in range(6))
    solver = PoseSolver(path, names, "l6")
    q = np.array([0.3, -0.8, 0.5, 1.2, -0.4, 0.9])
    wide = np.full(6, 7.0)
    found = solver.solve(solver.place(q), q + 0.1, np.zeros(6), -wide, wide)
    assert found.residual_m < 1e-5 and solver.jacobian(q).shape == (6, 6)
