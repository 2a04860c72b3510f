"""What people do while a trial runs is counted from the graph, and nothing else."""

from __future__ import annotations

import pytest

from vla3d_ros.evaluation.interventions import InterventionWatch, intervention_text

S = 1_000_000_000


@pytest.fixture
def watch() -> InterventionWatch:
    """An armed arm in a trial that has just begun."""
    watch = InterventionWatch()
    watch.see_adapter(is_armed=True, stop_reason="", now_ns=0)
    watch.open()
    return watch


def test_an_undisturbed_trial_counts_nothing(watch):
    for now in range(0, 10 * S, S // 20):
        watch.see_motion(is_moving=True, now_ns=now)
    watch.see_objections(("chunk_rate",), 2 * S)
    watch.see_teleoperation(is_driving=False)
    assert watch.counts == {} and intervention_text(watch.counts) == ""


def test_the_operators_stop_is_one_and_the_gates_stop_is_none(watch):
    watch.see_adapter(is_armed=False, stop_reason="chunk_timeout: no usable chunk", now_ns=S)
    assert watch.counts == {}
    watch.see_adapter(is_armed=False, stop_reason="", now_ns=2 * S)
    watch.see_adapter(is_armed=True, stop_reason="", now_ns=3 * S)
    watch.see_adapter(is_armed=False, stop_reason="operator: stop service called", now_ns=4 * S)
    watch.see_adapter(is_armed=False, stop_reason="operator: stop service called", now_ns=5 * S)
    assert watch.counts == {"reset": 1, "stop": 1}


def test_disarming_is_one_and_what_the_runner_does_around_the_trial_is_none(watch):
    watch.see_adapter(is_armed=False, stop_reason="", now_ns=S)
    watch.close()
    watch.see_adapter(is_armed=True, stop_reason="", now_ns=2 * S)
    watch.see_adapter(is_armed=False, stop_reason="", now_ns=3 * S)
    assert watch.counts == {"disarm": 1}
    watch.clear()
    assert watch.counts == {}


def test_sending_the_arm_home_is_one_however_many_chunks_are_refused_meanwhile(watch):
    for now in range(S, 3 * S, S // 30):
        watch.see_objections(("homing",), now)
    watch.see_objections(("homing",), 9 * S)
    assert watch.counts == {"home": 2}


def test_a_clutch_that_closes_takes_over(watch):
    for is_driving in (False, True, True, False, True):
        watch.see_teleoperation(is_driving=is_driving)
    assert watch.counts == {"takeover": 2}
    assert intervention_text(watch.counts) == "2 x taken over by teleoperation"


def test_who_drives_already_when_the_trial_begins_has_taken_over():
    watch = InterventionWatch()
    watch.see_teleoperation(is_driving=True)
    assert watch.counts == {}
    watch.open()
    assert watch.counts == {"takeover": 1}


def test_an_arm_that_moves_although_disarmed_is_guided_by_hand_but_braking_and_noise_are_not(watch):
    def move(start: float, stop: float, *, is_moving: bool) -> None:
        for step in range(int(start * 20), int(stop * 20)):
            watch.see_motion(is_moving=is_moving, now_ns=step * S // 20)

    move(0, 5, is_moving=True)
    watch.see_adapter(is_armed=False, stop_reason="", now_ns=5 * S)
    move(5, 5.9, is_moving=True)
    move(5.9, 8, is_moving=False)
    move(8, 8.2, is_moving=True)
    move(8.2, 9, is_moving=False)
    assert watch.counts == {"disarm": 1}
    move(9, 11, is_moving=True)
    assert watch.counts == {"disarm": 1, "guided": 1}
