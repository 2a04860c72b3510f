"""The simulated robot behaves like a robot: it holds, tracks, grasps, carries and lets go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, Vla3dError
from vla3d_ros.twin.judge import Judge, Outcome
from vla3d_ros.twin.placement import draw_trial
from vla3d_ros.twin.trajectory_command import TrajectoryCommand, TrajectoryPoint
from vla3d_ros.twin.world import START_NS, TwinWorld


def test_arm_at_home_holds_against_gravity(world, operator) -> None:
    operator.run(1.0)
    np.testing.assert_allclose(operator.arm_q(), operator.arm.q_home, atol=1e-6)
    assert world.time_ns == START_NS + 1_000_000_000


def test_joint_state_carries_every_joint_under_its_drivers_name(world, operator) -> None:
    operator.run(0.01)
    sample = world.joint_state()
    assert sample.names == (*operator.arm.joint_names, *operator.arm.gripper.joint_names)
    assert sample.q.shape == sample.dq.shape == sample.effort.shape == (len(sample.names),)
    fingers = sample.q[-len(operator.arm.gripper.joint_names) :]
    assert operator.arm.gripper.opening(fingers) == pytest.approx(1.0, abs=1e-3)
    assert sample.stamp_ns == world.time_ns
    before = sample.q.copy()
    operator.drive(operator.arm.q_home + 0.1, 0.3)
    np.testing.assert_array_equal(sample.q, before, err_msg="a sample must not change afterwards")


def test_tracking_lag_at_half_a_radian_per_second_is_below_two_milliradians(world, operator) -> None:
    joints = len(operator.arm.joint_names)
    errors = []

    def watch() -> None:
        measured = operator.arm_q()
        world.step()
        reference, speed = world.controllers[operator.arm.name].reference
        if np.abs(speed).max() > 0.4:
            errors.append(np.abs(reference - measured).max())

    direction = np.where(np.arange(joints) % 2, 1.0, -1.0)
    operator.drive(operator.arm.q_home + 0.5 * direction, 2.0, watch)
    assert len(errors) > 100
    assert max(errors) < 2e-3


def test_torque_never_exceeds_what_the_urdf_allows(world, operator) -> None:
    efforts = []
    limits = [world.model.jnt_actfrcrange[world.model.joint(name).id, 1] for name in operator.arm.joint_names]
    operator.drive(operator.arm.q_home + 0.4, 0.25, lambda: efforts.append(np.abs(world.joint_state().effort)))
    arm_effort = np.max(efforts, axis=0)[: len(limits)]
    assert (arm_effort <= np.array(limits) + 1e-9).all()
    assert arm_effort.max() > 10.0


def test_rejected_trajectory_leaves_the_arm_where_it_is(world, operator) -> None:
    operator.run(0.1)
    arm = operator.arm
    target = TrajectoryPoint(time_from_start_ns=500_000_000, positions=(arm.q_home + 0.3).tolist())
    wrong = TrajectoryCommand(joint_names=("elbow", *arm.joint_names[1:]), stamp_ns=0, points=(target,))
    assert "elbow" in world.submit_trajectory(arm.name, wrong)
    operator.run(0.6)
    np.testing.assert_allclose(operator.arm_q(), arm.q_home, atol=1e-6)


def test_unknown_arm_or_link_is_named(world) -> None:
    with pytest.raises(ConfigError, match="no arm 'third'"):
        world.command_gripper("third", 0.0, 1.0)
    with pytest.raises(ConfigError, match="no link 'antenna'"):
        world.frame_pose("antenna")


def test_placement_is_reproducible_and_nothing_overlaps(world, scene) -> None:
    for seed in range(30):
        trial = world.place(np.random.default_rng(seed))
        again = world.place(np.random.default_rng(seed))
        assert (trial.instruction, trial.cubes, trial.pads) == (again.instruction, again.cubes, again.pads)
        assert trial.cube in trial.cubes and trial.pad in trial.pads
        assert (len(trial.cubes), len(trial.pads)) == (scene.trial.cubes, scene.trial.pads)
        cubes = np.array([[at.x_m, at.y_m] for at in trial.cubes.values()])
        pads = np.array([[at.x_m, at.y_m] for at in trial.pads.values()])
        gaps = np.linalg.norm(cubes[:, None] - pads[None], axis=2)
        assert gaps.min() > np.hypot(*scene.pads.size_m[:2]) / 2 + scene.cubes.size_m / np.sqrt(2)
    seeds = {world.place(np.random.default_rng(seed)).instruction for seed in range(30)}
    assert len(seeds) > 6


def test_placed_cubes_rest_where_they_were_put_and_the_others_are_out_of_sight(world, operator, scene) -> None:
    trial = world.place(np.random.default_rng(5))
    operator.run(0.5)
    truth = world.truth()
    assert set(truth.cubes) == set(trial.cubes) and set(truth.pads) == set(trial.pads)
    for colour, at in trial.cubes.items():
        position = truth.cubes[colour].T_world_object.translation
        np.testing.assert_allclose(position, [at.x_m, at.y_m, scene.cubes.size_m / 2], atol=2e-4)
        assert truth.cubes[colour].speed_m_s < 1e-3
    (absent,) = set(scene.cubes.colours) - set(trial.cubes)
    assert world.frame_pose(f"cube_{absent}").translation[2] < -0.5


def test_crowded_table_is_refused_with_numbers(scene) -> None:
    crowded = replace(scene, trial=replace(scene.trial, cube_cube_m=0.5))
    with pytest.raises(ConfigError, match=r"do not fit.*cube-cube 0\.5"):
        draw_trial(crowded, np.random.default_rng(0))


def test_nudge_shifts_and_turns_one_cube(world, operator) -> None:
    trial = world.place(np.random.default_rng(1))
    operator.run(0.1)
    before = world.truth()
    world.nudge(trial.cube, 0.02, -0.01, 0.3)
    operator.run(0.1)
    after = world.truth()
    for colour in trial.cubes:
        T_before, T_after = before.cubes[colour].T_world_object, after.cubes[colour].T_world_object
        moved = T_after.translation - T_before.translation
        expected = [0.02, -0.01, 0.0] if colour == trial.cube else [0.0, 0.0, 0.0]
        np.testing.assert_allclose(moved, expected, atol=2e-4)
        angle_rad = T_before.distance_to(T_after)[1]
        assert angle_rad == pytest.approx(0.3 if colour == trial.cube else 0.0, abs=2e-3)
    with pytest.raises(ConfigError, match="no cube 'pink'"):
        world.nudge("pink", 0.0, 0.0)


@pytest.mark.parametrize("seed", [0, 4])
def test_cube_is_grasped_carried_without_slipping_and_released_on_the_pad(world, operator, scene, seed: int) -> None:
    trial = world.place(np.random.default_rng(seed))
    judge = Judge(scene, trial, start_ns=world.time_ns)
    cube, pad = trial.cubes[trial.cube], trial.pads[trial.pad]
    yaw_rad = (cube.yaw_rad + np.pi / 4) % (np.pi / 2) - np.pi / 4

    def cube_in_hand():
        return world.frame_pose(operator.arm.ee_frame).inverse() @ world.truth().cubes[trial.cube].T_world_object

    operator.drive(operator.reach(operator.above(cube.x_m, cube.y_m, 0.12, yaw_rad)), 1.2)
    operator.drive(operator.reach(operator.above(cube.x_m, cube.y_m, 0.02, yaw_rad)), 0.8)
    operator.grasp()
    state = world.gripper_state(operator.arm.name)
    assert state.stalled and state.gap_m == pytest.approx(scene.cubes.size_m, abs=1e-3)
    grasped = cube_in_hand()
    operator.drive(operator.reach(operator.above(cube.x_m, cube.y_m, 0.2, yaw_rad)), 0.8)
    operator.drive(operator.reach(operator.above(pad.x_m, pad.y_m, 0.2, 0.0)), 1.0)
    assert judge.update(world.truth()) is None, "a cube in the air is not on a pad"
    operator.drive(operator.reach(operator.above(pad.x_m, pad.y_m, 0.026, 0.0)), 0.8)
    slip_m, slip_rad = grasped.distance_to(cube_in_hand())
    assert slip_m < 4e-3 and slip_rad < 0.02
    operator.release()
    operator.drive(operator.reach(operator.above(pad.x_m, pad.y_m, 0.15, 0.0)), 0.8)
    operator.run(0.7, lambda: judge.update(world.truth()))
    assert judge.ruling is not None and judge.ruling.outcome is Outcome.SUCCESS, judge.missing(world.truth())


def test_diverged_physics_is_an_error_and_not_a_silent_restart(world, operator) -> None:
    operator.run(0.01)
    world._data.qvel[0] = np.nan
    with pytest.raises(Vla3dError, match="diverged"):
        operator.run(0.01)


def test_same_commands_give_the_same_world_bit_for_bit(embodiment, rig, scene, world, operator) -> None:
    def play(each: TwinWorld) -> np.ndarray:
        each.place(np.random.default_rng(2))
        mover = type(operator)(each)
        mover.drive(mover.arm.q_home + 0.2, 0.4)
        each.command_gripper(mover.arm.name, 0.0, 20.0)
        mover.run(0.3)
        return each.render_state()

    np.testing.assert_array_equal(play(world), play(TwinWorld(embodiment, rig, scene)))


def test_reset_puts_the_robot_home_with_an_open_gripper(world, operator) -> None:
    operator.drive(operator.arm.q_home + 0.3, 0.5)
    operator.grasp()
    world.reset_robot()
    operator.run(0.2)
    np.testing.assert_allclose(operator.arm_q(), operator.arm.q_home, atol=1e-6)
    assert world.truth().gripper_opening[operator.arm.name] > 0.98


def test_rates_that_do_not_fit_are_refused(world, embodiment, rig, scene) -> None:
    with pytest.raises(ConfigError, match="whole multiple"):
        TwinWorld(embodiment, rig, scene, physics_hz=500.0, control_hz=300.0)


def test_several_physics_steps_per_control_period_hold_and_track_too(embodiment, rig, scene, operator) -> None:
    world = TwinWorld(embodiment, rig, scene, physics_hz=1000.0, control_hz=250.0)
    mover = type(operator)(world)
    mover.drive(mover.arm.q_home + 0.2, 0.6)
    np.testing.assert_allclose(mover.arm_q(), mover.arm.q_home + 0.2, atol=1e-3)
    assert world.period_ns == 4_000_000
