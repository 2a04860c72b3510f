"""The twin's own record: complete, bounded, and aware of who presses on the table."""

import numpy as np
import pytest

from vla3d_ros.twin.motion_log import MotionRecord


def test_every_control_period_is_recorded_with_what_the_joints_did(world, operator):
    world.keep_log(10.0)
    for _ in range(50):
        world.step()
    record = world.log.snapshot()
    assert record.joint_names == world.embodiment.arms[0].joint_names
    assert len(record.times_ns) == 50 and set(np.diff(record.times_ns)) == {world.period_ns}
    assert record.q[-1] == pytest.approx(operator.arm_q())
    assert record.table_force_n.max() == 0.0


def test_the_log_keeps_the_newest_seconds_only(world):
    world.keep_log(0.02)
    for _ in range(35):
        world.step()
    record = world.log.snapshot()
    assert len(record.times_ns) == 10 and record.times_ns[-1] == world.time_ns
    assert (np.diff(record.times_ns) > 0).all()


def test_a_hand_pressed_on_the_table_shows_as_a_force(world, embodiment):
    from vla3d_ros.adapter.kinematics import ArmKinematics

    arm = embodiment.arms[0]
    kinematics = ArmKinematics(embodiment.urdf_path, arm)
    target = kinematics.forward(arm.q_home).matrix.copy()
    target[2, 3] = -0.01  # one centimetre into the table
    waypoints = np.linspace(kinematics.forward(arm.q_home).matrix, target, 40)
    q = kinematics.solve_chunk(waypoints, arm.q_home).q[-1]
    world._data.qpos[world._arms[arm.name][0]] = q
    world.keep_log(1.0)
    world.step()
    assert world.log.snapshot().table_force_n.max() > 5.0


def test_a_record_survives_its_file_and_can_be_cut(tmp_path):
    record = MotionRecord(
        joint_names=("a", "b"),
        times_ns=np.array([1, 2, 3]),
        q=np.arange(6.0).reshape(3, 2),
        dq=np.ones((3, 2)),
        table_force_n=np.array([0.0, 1.0, 2.0]),
    )
    record.save(tmp_path / "log.npz")
    read = MotionRecord.load(tmp_path / "log.npz").since(2)
    assert read.joint_names == ("a", "b") and read.times_ns.tolist() == [2, 3]
    assert read.q.tolist() == [[2.0, 3.0], [4.0, 5.0]] and read.table_force_n.tolist() == [1.0, 2.0]
