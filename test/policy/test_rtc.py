"""Real-time chunking: what is continued is the absolute motion, by as many steps as were really executed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the stand-in package is written with onnx")

from standin_package import DT_NS, SLOTS, STEPS, standin_manifest

from vla3d_ros.datatypes import ActionChunk, ArmChunk, ExecutedSteps, Observation, RobotState
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.manifest import RtcSpec
from vla3d_ros.policy.rtc import RealTimeChunking, RtcSettings, soft_mask

DECODER = ActionDecoder(standin_manifest().actions, SLOTS, {"left": "a"})
STAMP_NS = 10**9
ON = RtcSettings(is_on=True, horizon_steps=6)


def pose(seed):
    return Transform(exp_se3(0.5 * np.random.default_rng(seed).standard_normal(6)))


def observe(stamp_ns, T_base_ee, executed=()):
    state = RobotState(
        arm="a",
        stamp_ns=stamp_ns,
        joint_names=(),
        q=np.zeros(0),
        dq=np.zeros(0),
        T_base_ee=T_base_ee,
        gripper_opening=0,
    )
    return Observation(stamp_ns=stamp_ns, views=(), robot_states=(state,), instruction="", executed_steps=executed)


def chunk(stamp_ns=STAMP_NS, seed=5):
    twists = np.cumsum(0.01 * np.random.default_rng(seed).standard_normal((STEPS, 6)), axis=0)
    part = ArmChunk(arm="a", Ts_ee0_ee=exp_se3(twists), gripper_opening=np.linspace(0.1, 0.9, STEPS))
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=DT_NS, arms=(part,))


def executed(first=2, stamp_ns=STAMP_NS, count=3):
    return (ExecutedSteps(arm="a", chunk_stamp_ns=stamp_ns, first=first, count=count),)


def chunking(settings=ON, spec=RtcSpec(kind="guidance")):  # noqa: B008
    return RealTimeChunking(spec, settings, DECODER)


def continued(rtc, later, T_old, T_new, **account):
    """Return the guidance for an observation `later` steps after the chunk's."""
    rtc.remember(chunk(), observe(STAMP_NS, T_old))
    return rtc.guidance(observe(STAMP_NS + later * DT_NS, T_new, executed(**account)), STEPS, DT_NS)


def test_moving_the_anchor_between_observations_leaves_absolute_poses_unchanged():
    T_old = pose(1)
    Ts_base_old = T_old.matrix @ chunk().arms[0].Ts_ee0_ee
    for T_new in (T_old, pose(2), pose(3)):
        guidance = continued(chunking(), 3, T_old, T_new)
        (arm,) = DECODER.decode(guidance.previous).arms
        absolute = T_new.matrix @ arm.Ts_ee0_ee
        assert absolute[: STEPS - 3] == pytest.approx(Ts_base_old[3:], abs=1e-5)
        assert arm.gripper_opening[: STEPS - 3] == pytest.approx(chunk().arms[0].gripper_opening[3:], abs=1e-5)


def test_an_observation_between_two_steps_interpolates_the_leftover():
    T = pose(1)
    rtc = chunking()
    rtc.remember(chunk(), observe(STAMP_NS, T))
    later = observe(STAMP_NS + DT_NS + DT_NS // 2, T, executed())
    (arm,) = DECODER.decode(rtc.guidance(later, STEPS, DT_NS).previous).arms
    old = chunk().arms[0].gripper_opening
    assert arm.gripper_opening[:3] == pytest.approx((old[1:4] + old[2:5]) / 2, abs=1e-5)


def test_weights_freeze_the_executed_steps_and_end_where_the_leftover_ends():
    guidance = continued(chunking(), 3, pose(1), pose(2), first=2)
    assert guidance.weights[:2].tolist() == [1, 1]
    assert (np.diff(guidance.weights) <= 0).all()
    assert not guidance.weights[STEPS - 3 :].any()
    assert not guidance.prefix_mask.any()


def test_the_soft_mask_is_that_of_the_paper():
    d, end = 3, 8
    i = np.arange(12)
    c = np.clip((d - 1 - i) / (end - d + 1) + 1, 0, 1)
    assert soft_mask(12, d, end) == pytest.approx(c * (np.exp(c) - 1) / (np.e - 1), abs=1e-7)


@pytest.mark.parametrize(
    "account",
    [
        {"settings": RtcSettings(is_on=False)},
        {"first": 0},
        {"count": 0},
        {"later": 99},
        {"executed_ns": STAMP_NS - 10**10},
    ],
    ids=["switched off", "nothing was over", "nothing was executed", "the chunk is over", "the arm rests"],
)
def test_nothing_is_continued_without_a_reason(account):
    rtc = chunking(account.get("settings", ON))
    told = {"first": account.get("first", 2), "count": account.get("count", 3)}
    stamp_ns = account.get("executed_ns", STAMP_NS)
    assert continued(rtc, account.get("later", 3), pose(1), pose(2), stamp_ns=stamp_ns, **told) is None


def test_until_the_adapter_reported_no_delay_is_guessed():
    rtc = chunking()
    rtc.remember(chunk(), observe(STAMP_NS, pose(1)))
    assert rtc.guidance(observe(STAMP_NS + DT_NS, pose(1)), STEPS, DT_NS) is None
    assert rtc.delay_steps is None


def test_the_delay_is_the_largest_of_late_and_an_old_spike_is_forgotten():
    rtc = chunking()
    for index in range(30):
        account = executed(first=5 if index == 3 else 2, stamp_ns=STAMP_NS + index)
        for _ in range(3):  # heard again and again until the next one
            rtc.guidance(observe(STAMP_NS + index, pose(1), account), STEPS, DT_NS)
        assert rtc.delay_steps == (5 if 3 <= index < 13 else 2)


def test_a_new_task_continues_nothing():
    rtc = chunking()
    rtc.remember(chunk(), observe(STAMP_NS, pose(1)))
    rtc.reset()
    assert rtc.guidance(observe(STAMP_NS + DT_NS, pose(1), executed()), STEPS, DT_NS) is None


def test_conditioned_steps_are_counted_and_not_claimed():
    rtc = chunking()
    guidance = continued(rtc, 3, pose(1), pose(2), first=3)
    (arm,) = DECODER.decode(guidance.previous).arms
    same = ActionChunk(stamp_ns=0, dt_ns=DT_NS, arms=(arm,))
    assert rtc.conditioned_steps(same) == 3
    moved = arm.Ts_ee0_ee.copy()
    moved[1, 0, 3] += 0.004
    part = ArmChunk(arm="a", Ts_ee0_ee=moved, gripper_opening=arm.gripper_opening.copy())
    assert rtc.conditioned_steps(ActionChunk(stamp_ns=0, dt_ns=DT_NS, arms=(part,))) == 1


def test_a_policy_trained_with_prefixes_gets_a_prefix_and_none_that_is_too_long():
    spec = RtcSpec(kind="prefix", max_prefix_steps=3)
    guidance = continued(chunking(spec=spec), 3, pose(1), pose(2), first=3)
    assert guidance.prefix_mask.tolist() == [True] * 3 + [False] * (STEPS - 3)
    assert not guidance.weights.any()
    assert continued(chunking(spec=spec), 2, pose(1), pose(2), first=4) is None


def test_switching_on_what_the_package_can_not_do_is_refused():
    with pytest.raises(ConfigError, match="exported without it"):
        chunking(spec=RtcSpec(kind="none"))
