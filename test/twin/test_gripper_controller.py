"""The gripper's goals end as Franka's do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import GripperSpec
from vla3d_ros.adapter.interface_specs import GripperActionInterface
from vla3d_ros.twin.gripper_controller import GripperController

PERIOD_NS = 2_000_000
SPEED_M_S = 0.2
SPEC = GripperSpec(
    stroke_m=0.08,
    joint_names=("left", "right"),
    position_closed=np.zeros(2),
    position_open=np.full(2, 0.04),
    finger_joints=("left", "right"),
    command=GripperActionInterface(kind="gripper_command", action="gripper_action", joint_name="left"),
    command_closed=0.0,
    command_open=0.04,
    max_effort_n=40.0,
)


def play(controller: GripperController, gap_m: float, seconds: float, stop: Callable[[float], float]) -> float:
    """Let ideal fingers follow; `stop` limits the gap, as an object between them does."""
    for _ in range(round(seconds / 0.002)):
        gap_m = stop(controller.update(PERIOD_NS, gap_m).gap_m)
    return gap_m


def free(gap_m: float) -> float:
    return gap_m


def block_40_mm(gap_m: float) -> float:
    return max(gap_m, 0.04)


def test_opening_is_a_move_that_reaches_its_width() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.01, 40.0, 0.08)
    gap_m = play(controller, 0.08, 1.0, free)
    controller.submit(0.03, 40.0, gap_m)
    gap_m = play(controller, gap_m, 0.5, free)
    state = controller.state(gap_m)
    assert gap_m == pytest.approx(0.06), "the goal's position is that of one finger"
    assert (state.reached_goal, state.stalled, state.is_active, state.is_aborted) == (True, False, False, False)


def test_closing_on_an_object_stalls_and_aborts_but_keeps_pressing() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.0, 30.0, 0.08)
    gap_m = play(controller, 0.08, 1.0, block_40_mm)
    state = controller.state(gap_m)
    assert (state.stalled, state.reached_goal, state.is_aborted, state.is_active) == (True, False, True, False)
    assert state.effort_n == 30.0
    drive = controller.update(PERIOD_NS, gap_m)
    assert (drive.gap_m, drive.effort_n) == (0.0, 30.0)


def test_grasp_of_an_object_of_the_commanded_width_reaches_its_goal() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.0185, 30.0, 0.08)
    state = controller.state(play(controller, 0.08, 1.0, block_40_mm))
    assert (state.stalled, state.reached_goal, state.is_aborted) == (True, True, False)


def test_gap_changes_at_the_gripper_speed() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.0, 30.0, 0.08)
    gap_m = play(controller, 0.08, 0.1, free)
    assert gap_m == pytest.approx(0.08 - 0.1 * SPEED_M_S)
    assert controller.state(gap_m).is_active


def test_zero_effort_holds_with_no_force_once_stopped() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.0, 0.0, 0.08)
    gap_m = play(controller, 0.08, 1.0, block_40_mm)
    assert controller.update(PERIOD_NS, gap_m).effort_n == 0.0


def test_effort_never_exceeds_what_the_gripper_has() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.0, 500.0, 0.08)
    assert controller.update(PERIOD_NS, 0.08).effort_n == SPEC.max_effort_n


@pytest.mark.parametrize("position", [-0.01, 0.05])
def test_goal_outside_the_stroke_is_aborted_without_motion(position: float) -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(position, 40.0, 0.08)
    assert controller.state(0.08).is_aborted
    assert play(controller, 0.08, 0.2, free) == 0.08


def test_goal_where_the_fingers_already_are_succeeds_at_once() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.04, 40.0, 0.08)
    assert controller.state(0.08).reached_goal


def test_new_goal_replaces_the_one_in_progress() -> None:
    controller = GripperController(SPEC, speed_m_s=SPEED_M_S)
    controller.submit(0.0, 30.0, 0.08)
    gap_m = play(controller, 0.08, 0.1, free)
    controller.submit(0.04, 30.0, gap_m)
    gap_m = play(controller, gap_m, 0.5, free)
    assert (gap_m, controller.state(gap_m).reached_goal) == (pytest.approx(0.08), True)
