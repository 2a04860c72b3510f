"""The scripted policy from the outside: settings, instructions, chunks."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_tabletop import INSTRUCTION, observe, robot_at, settings, views

from vla3d_ros.errors import ConfigError, InstructionError
from vla3d_ros.policy.backends.scripted import ScriptedPolicy
from vla3d_ros.policy.backends.scripted_instruction import read_instruction

CUBE = np.array([0.5, 0.15, 0.02, 0.4])
PAD = np.array([0.42, -0.15, 0.001, 0.3])
TOOL = np.array([0.35, 0.05, 0.4, 0.02, -0.02, 0.1])


def test_the_instruction_is_read_whatever_its_case_and_spacing() -> None:
    task = read_instruction("  Pick up  the RED cube and place it on the  Cyan pad. ", ["red"], ["cyan"])
    assert (task.cube, task.pad) == ("red", "cyan")


def test_an_unknown_colour_is_an_error_that_names_the_known_ones() -> None:
    policy = ScriptedPolicy.from_config(settings())
    with pytest.raises(
        InstructionError, match=r"cube 'mauve'; known cubes: blue, green, red, yellow; known pads: cyan"
    ):
        policy.reset("pick up the mauve cube and place it on the cyan pad")


def test_both_unknown_colours_are_reported_at_once() -> None:
    with pytest.raises(InstructionError, match=r"cube 'mauve' and pad 'taupe'"):
        read_instruction("pick up the mauve cube and place it on the taupe pad", ["red"], ["cyan"])


def test_another_sentence_is_an_error_that_shows_the_grammar() -> None:
    with pytest.raises(InstructionError, match="expected 'pick up the <colour> cube"):
        read_instruction("fold the shirt", ["red"], ["cyan"])


def test_every_problem_of_the_settings_is_reported_at_once() -> None:
    wrong = settings()
    del wrong["task"]["hover_height_m"]
    wrong["motion"]["speed_m_s"] = [0.2, 0.2]
    wrong["fit"]["colour_blind"] = True
    with pytest.raises(ConfigError) as caught:
        ScriptedPolicy.from_config(wrong)
    message = str(caught.value)
    assert "missing key 'task.hover_height_m'" in message
    assert "'motion.speed_m_s' is [0.2, 0.2]; expected Triple" in message
    assert "unknown key 'fit.colour_blind'" in message


def test_a_chunk_is_relative_to_the_measured_pose_and_begins_there() -> None:
    policy = ScriptedPolicy.from_config(settings())
    policy.reset(INSTRUCTION)
    chunk = policy.infer(observe(views(CUBE, PAD), robot_at(TOOL, 1.0, 1_000)))
    arm = chunk.arms[0]
    assert chunk.stamp_ns == 1_000
    assert arm.Ts_ee0_ee.shape == (30, 4, 4)
    assert np.allclose(arm.Ts_ee0_ee[0], np.eye(4), atol=2e-3)
    assert np.linalg.norm(arm.Ts_ee0_ee[-1, :3, 3]) > 0.05


def test_the_report_tells_views_residuals_and_phase() -> None:
    policy = ScriptedPolicy.from_config(settings())
    policy.reset(INSTRUCTION)
    report = policy.infer(observe(views(CUBE, PAD), robot_at(TOOL, 1.0, 0))).report
    assert report is not None
    assert report.details["phase"] == "approach"
    assert "head" in report.details["cube"] and " px" in report.details["cube"]
    assert report.compute_ns > 0


def test_a_reset_starts_the_task_from_the_beginning() -> None:
    policy = ScriptedPolicy.from_config(settings())
    chunks = []
    for _ in range(2):
        policy.reset(INSTRUCTION)
        chunks.append(policy.infer(observe(views(CUBE, PAD), robot_at(TOOL, 1.0, 0))))
    assert np.array_equal(chunks[0].arms[0].Ts_ee0_ee, chunks[1].arms[0].Ts_ee0_ee)


def test_inference_without_an_instruction_is_refused() -> None:
    policy = ScriptedPolicy.from_config(settings())
    with pytest.raises(InstructionError, match="no instruction"):
        policy.infer(observe(views(CUBE, PAD), robot_at(TOOL, 1.0, 0)))


def test_an_observation_of_another_arm_is_refused_with_the_arms_it_has() -> None:
    wrong = settings()
    wrong["arm"] = "left"
    policy = ScriptedPolicy.from_config(wrong)
    policy.reset(INSTRUCTION)
    with pytest.raises(ConfigError, match=r"no arm 'left'; it has \['fr3'\]"):
        policy.infer(observe(views(CUBE, PAD), robot_at(TOOL, 1.0, 0)))
