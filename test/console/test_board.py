"""What the page says is never older than it looks, and every number has a unit."""

from dataclasses import replace

import numpy as np
import pytest

from vla3d_ros.console.board import SILENT_S, page_state, robot_mode, stop_word
from vla3d_ros.console.facts import Answer, ArmFacts, CameraFacts, Facts, NodeWord, Said


def adapter(armed="armed", stopped="", dry_run="false"):
    return Said(values={"armed": armed, "stopped": stopped, "dry_run": dry_run}, message=armed, silent_s=12.0)


def facts(**changes):
    heard = Facts(
        deployment="bench", has_twin=True, is_simulated=True, ros_s=4.2, clock_silent_s=0.0, joints_silent_s=0.0,
        ee_silent_s=0.0, adapter=adapter(),
    )  # fmt: skip
    return replace(heard, **changes)


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({}, "armed"),
        ({"adapter": adapter("disarmed")}, "disarmed"),
        ({"adapter": adapter(dry_run="true")}, "dry"),
        ({"adapter": adapter(stopped="chunk: too old")}, "stopped"),
        ({"adapter": adapter("disarmed", "chunk: too old", "true")}, "stopped"),
        ({"ee_silent_s": 0.9}, "silent"),
        ({"ee_silent_s": 0.9, "adapter": adapter(stopped="operator")}, "silent"),
        ({"adapter": Said()}, "absent"),
    ],
)
def test_the_state_bar_shows_one_state_and_silence_outranks_what_was_latched(changes, mode):
    assert robot_mode(facts(**changes))[0] == mode


def test_armed_in_a_dry_run_never_looks_like_armed():
    live, dry = robot_mode(facts()), robot_mode(facts(adapter=adapter(dry_run="true")))
    assert live[:2] != dry[:2]
    assert "nothing moves" in dry[2]


def test_a_silent_adapter_is_told_from_a_silent_robot_and_what_it_said_last_is_kept():
    alone = robot_mode(facts(ee_silent_s=0.8))[2]
    both = robot_mode(facts(ee_silent_s=0.8, joints_silent_s=0.8))[2]
    assert "joint states" in both and "joint states" not in alone
    assert "before that: armed" in alone


def test_silence_is_shown_within_a_second():
    assert SILENT_S < 1.0
    camera = CameraFacts(name="head", silent_s=SILENT_S + 0.05, age_ms=10.0)
    shown = page_state(facts(cameras=(camera,), clock_silent_s=SILENT_S + 0.05))
    assert shown["cameras"][0]["stale"] and "silent" in shown["cameras"][0]["badges"][0][0]
    assert shown["clock"]["stale"]


def test_stop_is_confirmed_only_by_an_adapter_that_is_heard():
    stopped = adapter(stopped="operator: stop service called")
    assert stop_word(facts())["kind"] == ""
    assert stop_word(facts(stop_pressed_s=0.1))["kind"] == "wait"
    assert stop_word(facts(stop_pressed_s=0.1, adapter=stopped))["kind"] == "ok"
    unheard = stop_word(facts(stop_pressed_s=0.7, adapter=stopped, ee_silent_s=2.0))
    assert unheard["kind"] == "bad" and "hardware button" in unheard["text"]
    assert stop_word(facts(stop_pressed_s=0.7))["kind"] == "bad"
    assert stop_word(facts(stop_pressed_s=60.0, adapter=stopped))["kind"] == ""


def test_cameras_carry_rate_age_and_skew_with_units_and_warn_beyond_the_rig_s_bounds():
    good = CameraFacts(
        name="head", silent_s=0.0, age_ms=31.2, skew_ms=2.0, rate_hz=30.0, expected_hz=30.0, max_skew_ms=8.0
    )
    bad = replace(good, skew_ms=9.0, rate_hz=12.0)
    first, second = page_state(facts(cameras=(good, bad)))["cameras"]
    assert [text for text, _ in first["badges"]] == ["30 Hz", "age 31 ms", "skew 2.0 ms"]
    assert [kind for _, kind in first["badges"]] == ["", "", ""]
    assert [kind for _, kind in second["badges"]] == ["warn", "", "warn"]


def test_a_camera_that_was_never_heard_says_so():
    (camera,) = page_state(facts(cameras=(CameraFacts(name="wrist"),)))["cameras"]
    assert camera["stale"] and camera["badges"] == [["no image yet", "bad"]]


def test_joints_show_degrees_and_warn_near_their_bounds():
    arm = ArmFacts(
        name="left", joint_names=("a", "b"), q=np.array([0.0, 0.99]), q_lower=np.array([-1.0, -1.0]),
        q_upper=np.array([1.0, 1.0]), p_base_ee=np.array([0.3071, -0.0001, 0.487]), opening_m=0.04,
    )  # fmt: skip
    (shown,) = page_state(facts(arms=(arm,)))["arms"]
    assert [joint["text"] for joint in shown["joints"]] == ["0.0°", "56.7°"]
    assert [joint["near"] for joint in shown["joints"]] == [False, True]
    assert shown["ee"] == "x 307 y 0 z 487 mm"
    assert shown["gripper"] == "40 mm"


def test_an_arm_whose_joints_were_not_heard_shows_dashes():
    arm = ArmFacts(name="left", joint_names=("a",), q=None, q_lower=np.array([-1.0]), q_upper=np.array([1.0]))
    (shown,) = page_state(facts(arms=(arm,)))["arms"]
    assert shown["joints"][0]["text"] == "–" and shown["joints"][0]["share"] is None


def test_the_recorder_shows_problems_and_losses_with_units():
    values = {
        "path": "bags/episode_0003", "seconds": "12.34", "messages": "4000", "dropped": "0", "queue": "0.25",
        "at_risk_s": "0.41", "free_mb": "61300", "problems": "camera 'head': dark\njoints: old",
    }  # fmt: skip
    shown = page_state(facts(recorder=Said(values=values, message="recording", silent_s=0.1)))["recorder"]
    assert shown["state"] == "recording" and shown["text"] == "12 s · episode_0003"
    assert ["queue", "25 %"] in shown["facts"] and ["disk free", "61.3 GB"] in shown["facts"]
    assert shown["problems"] == ["camera 'head': dark", "joints: old"]
    silent = page_state(facts(recorder=Said(values=values, message="recording", silent_s=5.0)))["recorder"]
    assert silent["state"] == "silent"


def test_a_node_that_stopped_speaking_is_not_shown_as_well():
    words = (
        NodeWord(name="/r/policy", level="ok", message="thinking", silent_s=0.4, values={"latency_ms": "20"}),
        NodeWord(name="/r/camera", level="ok", message="streaming", silent_s=9.0),
    )
    policy, camera = page_state(facts(nodes=words))["nodes"]
    assert policy["level"] == "ok" and policy["values"] == [["latency / ms", "20"]]
    assert camera["level"] == "silent"


def test_the_newest_answer_comes_first():
    answers = tuple(Answer(at=f"10:00:0{i}", request="arm", is_granted=bool(i), text=f"answer {i}") for i in range(3))
    assert [a["text"] for a in page_state(facts(answers=answers))["answers"]] == ["answer 2", "answer 1", "answer 0"]


def test_reasons_of_verdicts_are_shown_while_they_are_news():
    verdict = Said(
        values={"ee_speed": "too fast", "stamp_ns": "5", "dropped_steps": "0"}, message="clamp", silent_s=1.0
    )
    assert page_state(facts(verdict=verdict))["verdicts"]["reasons"] == ["ee_speed: too fast"]
    assert page_state(facts(verdict=replace(verdict, silent_s=30.0)))["verdicts"]["reasons"] == []
