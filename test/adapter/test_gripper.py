"""Grippers are told about changes only."""

import numpy as np

from vla3d_ros.adapter.gripper import GripperSchedule

TIMES_NS = np.arange(1, 6, dtype=np.int64) * 100


def targets(schedule, openings):
    schedule.follow(TIMES_NS, np.array(openings))
    return [target.opening for now in range(0, 600, 50) for target in schedule.due(now)]


def test_a_constant_opening_is_sent_once():
    schedule = GripperSchedule("x", deadband=0.05)
    assert targets(schedule, [1.0] * 5) == [1.0]
    assert targets(schedule, [1.0] * 5) == []


def test_changes_are_sent_when_their_step_is_due():
    schedule = GripperSchedule("x", deadband=0.05)
    schedule.follow(TIMES_NS, np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert [t.opening for t in schedule.due(0)] == [1.0]
    assert schedule.due(200) == ()
    assert [t.opening for t in schedule.due(201)] == [0.0]


def test_small_changes_are_left_out_but_the_ends_are_always_sent():
    assert targets(GripperSchedule("x", deadband=0.05), [0.5, 0.52, 0.97, 1.0, 0.98]) == [0.5, 0.97, 1.0]


def test_a_cleared_schedule_sends_nothing():
    schedule = GripperSchedule("x", deadband=0.05)
    schedule.follow(TIMES_NS, np.ones(5))
    schedule.clear()
    assert schedule.due(0) == ()
