"""The way to where a recording starts: slow, straight, the same however far the arm lags behind."""

import itertools

import numpy as np
import pytest

from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.replay.approach import MISS_M, SPEED_M_S, TURN_RAD_S, Approach

START_NS, STEP_NS = 5_000_000_000, 33_333_333


def pose(x=0.0, y=0.0, z=0.0, yaw=0.0):
    return Transform(exp_se3(np.array([0.0, 0.0, 0.0, 0.0, 0.0, yaw]))) @ Transform.from_rotation(np.eye(3), (x, y, z))


STARTS = {"left": (pose(0.4), 0.2), "right": (pose(0.4, 0.3), 1.0)}
GOALS = {"left": (pose(0.5, 0.1, 0.05, yaw=0.4), 0.8), "right": (pose(0.4, 0.25), 1.0)}


def driven(lag_m=0.0):
    """Targets of the left arm, step after step, for an arm that is measured somewhat behind them."""
    approach = Approach(STARTS, GOALS, START_NS)
    now, targets = dict(STARTS), []
    for stamp_ns in range(START_NS, START_NS + round((approach.duration_s + 1.0) * 1e9), STEP_NS):
        chunk = approach.chunk(stamp_ns, now)
        asked = {arm.arm: Transform(now[arm.arm][0].matrix @ arm.Ts_ee0_ee[0]) for arm in chunk.arms}
        targets.append(asked["left"])
        behind = Transform.from_rotation(np.eye(3), (lag_m, 0.0, 0.0))
        now = {arm: (behind @ T, 0.5) for arm, T in asked.items()}
    return approach, targets


def test_it_ends_at_the_goal_and_never_goes_faster_than_it_says():
    approach, targets = driven()
    ways = np.array([before.distance_to(after) for before, after in itertools.pairwise(targets)])
    assert targets[-1].distance_to(GOALS["left"][0]) == pytest.approx((0.0, 0.0), abs=1e-7)
    assert ways[:, 0].max() <= 1.01 * SPEED_M_S * STEP_NS * 1e-9
    assert ways[:, 1].max() <= 1.01 * TURN_RAD_S * STEP_NS * 1e-9
    assert ways[-5:].max() < 1e-6, "it ends at rest"
    assert not approach.is_over(START_NS) and approach.is_over(START_NS + round((approach.duration_s + 1.0) * 1e9))


def test_an_arm_that_lags_is_asked_for_the_same_path():
    (_, prompt), (_, late) = driven(), driven(lag_m=-0.004)
    gaps = [one.distance_to(other)[0] for one, other in zip(prompt, late, strict=True)]
    assert max(gaps) < 1e-9


def test_both_arms_arrive_together_and_the_fingers_with_them():
    approach = Approach(STARTS, GOALS, START_NS)
    half_ns = START_NS + round(0.5e9 * approach.duration_s) - STEP_NS
    left, right = approach.chunk(half_ns, STARTS).arms
    assert left.gripper_opening[0] == pytest.approx(0.5, abs=1e-6)
    assert right.Ts_ee0_ee[0][1, 3] == pytest.approx(-0.025, abs=1e-6)


def test_who_is_not_there_is_named():
    approach = Approach(STARTS, GOALS, START_NS)
    (text,) = approach.misses({**GOALS, "right": STARTS["right"]})
    assert "arm 'right' is 50.0 mm and 0.0 deg" in text
    near = Transform.from_rotation(np.eye(3), (0.5 * MISS_M, 0.0, 0.0))
    assert approach.misses({arm: (near @ T, opening) for arm, (T, opening) in GOALS.items()}) == []


def test_a_way_of_nothing_takes_a_moment_and_moves_nothing():
    approach = Approach(STARTS, STARTS, START_NS)
    assert approach.duration_s == 0.5
    for arm in approach.chunk(START_NS, STARTS).arms:
        assert np.allclose(arm.Ts_ee0_ee, np.eye(4), atol=1e-12)
