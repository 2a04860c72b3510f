"""Clocks that leap, encoders that freeze, operators who let go."""

import numpy as np
import pytest

from vla3d_ros.datatypes import Reason, RobotState, Verdict, VerdictKind
from vla3d_ros.geometry import Transform
from vla3d_ros.safety.verdict_log import VerdictLog
from vla3d_ros.safety.watches import ClockWatch, FreezeWatch, HeartbeatWatch

S = 1_000_000_000
MS = 1_000_000


def state(stamp_ns, q):
    return RobotState(
        arm="x", stamp_ns=stamp_ns, joint_names=("a",), q=np.array([q]), dq=np.zeros(1),
        T_base_ee=Transform.identity(), gripper_opening=0.0,
    )  # fmt: skip


def test_time_that_goes_on_is_no_news():
    watch = ClockWatch(0.5)
    assert [watch.look(t * 20 * MS) for t in range(100)] == [[]] * 100


@pytest.mark.parametrize(
    ("step_ns", "words"), [(600 * MS, "leapt by 0.600 s, allowed 0.500 s"), (-S, "back by 1.000 s")]
)
def test_a_leap_of_the_clock_is_said_once_with_its_size(step_ns, words):
    watch = ClockWatch(0.5)
    watch.look(100 * S)
    (reason,) = watch.look(100 * S + step_ns)
    assert reason.check == "clock" and words in reason.message
    assert watch.look(100 * S + step_ns + 20 * MS) == []


def test_clocks_of_two_threads_may_differ_by_a_hair():
    watch = ClockWatch(0.5)
    watch.look(100 * S)
    assert watch.look(100 * S - MS // 2) == []


def frozen_run(q_of, reference_of, duration_ms=400):
    watch = FreezeWatch(0.15)
    return [
        r for t in range(0, duration_ms, 5) for r in watch.look(state(t * MS, q_of(t)), np.array([reference_of(t)]))
    ]


def test_encoders_that_follow_are_no_news():
    assert frozen_run(lambda t: 1e-3 * t, lambda t: 1e-3 * t) == []


def test_an_arm_that_is_told_to_rest_may_rest():
    assert frozen_run(lambda t: 0.5, lambda t: 0.5) == []


def test_equal_positions_in_motion_are_frozen_encoders():
    reasons = frozen_run(lambda t: 0.5, lambda t: 1e-3 * t)
    assert reasons and reasons[0].check == "state_frozen"
    assert "not changed for 155 ms while told to move by 0.155 rad" in reasons[0].message


def test_a_single_change_starts_the_time_anew():
    assert frozen_run(lambda t: 0.5 + 1e-9 * (t // 100), lambda t: 1e-3 * t) == []


def test_a_deadman_that_is_not_asked_for_stays_silent():
    assert HeartbeatWatch(0.0).look(S) == []


def test_a_deadman_speaks_before_the_first_and_after_the_last_heartbeat():
    watch = HeartbeatWatch(0.5)
    assert "ever heard" in watch.look(S)[0].message
    watch.hear(S)
    assert watch.look(S + 400 * MS) == []
    assert "0.60 s, allowed 0.50 s" in watch.look(S + 600 * MS)[0].message


def verdict(stamp_ns, *checks, kind=VerdictKind.STOP):
    return Verdict(kind=kind, stamp_ns=stamp_ns, reasons=tuple(Reason(check=c, message="") for c in checks))


def test_a_cause_is_told_once_and_counted_always():
    log = VerdictLog()
    told = [[r.check for r in log.note(verdict(t * 33 * MS, "table", "finite"))] for t in range(100)]
    assert told == [["table", "finite"]] + [[]] * 99
    assert log.counts() == {"verdict_stop": "100", "reason_finite": "100", "reason_table": "100"}


def test_a_cause_is_told_again_after_a_quiet_time_and_for_another_verdict():
    log = VerdictLog()
    assert log.note(verdict(0, "table"))
    assert log.note(verdict(S, "table", kind=VerdictKind.CLAMP))
    assert not log.note(verdict(2 * S, "table"))
    assert log.note(verdict(8 * S, "table"))
