"""The judge counts only a lasting state, and says what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform
from vla3d_ros.twin.judge import Judge, Outcome
from vla3d_ros.twin.placement import Placement, TrialScene
from vla3d_ros.twin.world import ObjectTruth, Truth

AT_PAD = Placement(x_m=0.5, y_m=0.1, yaw_rad=0.4)
TRIAL = TrialScene(
    instruction="pick up the red cube and place it on the cyan pad",
    cube="red",
    pad="cyan",
    cubes={"red": Placement(x_m=0.4, y_m=-0.2, yaw_rad=0.0)},
    pads={"cyan": AT_PAD},
)
START_NS = 5_000_000_000


def truth(seconds: float = 0.0, *, cube=(0.5, 0.1, 0.022), opening=1.0, ee=(0.5, 0.1, 0.2), speed=0.0) -> Truth:
    pad = Transform.from_rpy([AT_PAD.x_m, AT_PAD.y_m, 0.001], [0.0, 0.0, AT_PAD.yaw_rad])
    return Truth(
        stamp_ns=START_NS + round(seconds * 1e9),
        cubes={"red": ObjectTruth(T_world_object=Transform.from_rpy(cube, [0, 0, 1.0]), speed_m_s=speed)},
        pads={"cyan": ObjectTruth(T_world_object=pad, speed_m_s=0.0)},
        gripper_opening={"arm": opening},
        p_world_ee={"arm": np.array(ee)},
    )


@pytest.fixture
def judge(scene) -> Judge:
    return Judge(scene, TRIAL, start_ns=START_NS)


def test_success_needs_half_a_second_of_rest_on_the_pad(judge: Judge) -> None:
    assert judge.update(truth(3.0)) is None
    assert judge.update(truth(3.4)) is None
    ruling = judge.update(truth(3.5))
    assert ruling is not None and ruling.outcome is Outcome.SUCCESS
    assert ruling.sim_s == pytest.approx(3.5)


def test_interruption_starts_the_half_second_anew(judge: Judge) -> None:
    judge.update(truth(1.0))
    judge.update(truth(1.4, speed=0.2))
    assert judge.update(truth(1.6)) is None
    assert judge.update(truth(2.0)) is None
    assert judge.update(truth(2.1)) is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cube": (0.58, 0.1, 0.022)}, "80 mm from the pad's centre"),
        ({"cube": (0.5, 0.1, 0.05)}, "28 mm above its place"),
        ({"speed": 0.1}, "moves at 0.100 m/s"),
        ({"opening": 0.4}, "open by 0.40"),
        ({"ee": (0.5, 0.1, 0.03)}, "8 mm from the cube"),
    ],
)
def test_each_unmet_condition_is_named(judge: Judge, change: dict, words: str) -> None:
    (sentence,) = judge.missing(truth(**change))
    assert words in sentence
    assert judge.missing(truth()) == ()


def test_pad_footprint_turns_with_the_pad(judge: Judge) -> None:
    along = np.array([np.cos(AT_PAD.yaw_rad), np.sin(AT_PAD.yaw_rad)]) * 0.049
    corner = np.array([AT_PAD.x_m, AT_PAD.y_m]) + along
    assert judge.missing(truth(cube=(*corner, 0.022))) == ()
    diagonal = np.array([AT_PAD.x_m + 0.049, AT_PAD.y_m + 0.049])
    assert judge.missing(truth(cube=(*diagonal, 0.022))) != ()


def test_timeout_says_what_was_missing(judge: Judge) -> None:
    assert judge.update(truth(39.9, opening=0.1)) is None
    ruling = judge.update(truth(40.0, opening=0.1))
    assert ruling is not None and ruling.outcome is Outcome.FAILURE
    assert "not within 40 s" in ruling.reason and "open by 0.10" in ruling.reason


def test_fallen_cube_fails_at_once_and_for_good(judge: Judge) -> None:
    ruling = judge.update(truth(2.0, cube=(1.5, 0.0, -0.5)))
    assert ruling is not None and "fell off the table" in ruling.reason
    assert judge.update(truth(9.0)) is ruling


def test_truth_of_another_trial_is_refused(judge: Judge) -> None:
    with pytest.raises(ConfigError, match="expected those of the trial"):
        judge.missing(replace(truth(), cubes={}))
