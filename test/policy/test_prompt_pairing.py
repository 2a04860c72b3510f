"""A prompt serves the instruction that speaks of its mask, whichever of the two comes first."""

import numpy as np
import pytest

from vla3d_ros.datatypes import ReferringPrompt
from vla3d_ros.policy.prompt_pairing import PromptPairing, spoken_colour

RED = "put the object with the red-colored mask into the plate"
BLUE = "put the object with the blue-colored mask into the plate"


def prompt(colour: str) -> ReferringPrompt:
    return ReferringPrompt(camera="head", rgb=np.zeros((4, 6, 3), np.uint8), colour=colour)


@pytest.mark.parametrize("is_prompt_first", [True, False])
def test_prompt_and_instruction_join_in_either_order(is_prompt_first):
    pairing, red = PromptPairing(), prompt("red")
    steps = [lambda: pairing.add_prompt(red), lambda: pairing.start(RED)]
    for step in steps if is_prompt_first else reversed(steps):
        step()
    assert pairing.current is red and pairing.problem(is_required=True) == ""


def test_until_the_prompt_is_there_the_instruction_is_refused_with_what_is_missing():
    pairing = PromptPairing()
    pairing.start(RED)
    assert "red mask" in pairing.problem(is_required=False) and "policy/prompt" in pairing.problem(is_required=False)
    pairing.add_prompt(prompt("blue"))
    assert pairing.current is None and "only one in blue" in pairing.problem(is_required=False)


@pytest.mark.parametrize("then", ["put the apple into the plate", "", RED, BLUE])
def test_a_prompt_serves_one_instruction_only(then):
    pairing = PromptPairing()
    pairing.add_prompt(prompt("red"))
    pairing.start(RED)
    pairing.start(then)
    assert pairing.current is None


def test_a_prompt_for_the_next_instruction_does_not_touch_the_one_in_force():
    pairing, blue = PromptPairing(), prompt("blue")
    pairing.start("put the apple into the plate")
    pairing.add_prompt(blue)
    assert pairing.current is None and pairing.problem(is_required=False) == ""
    pairing.start(BLUE)
    assert pairing.current is blue


def test_only_a_policy_that_needs_a_prompt_misses_one_under_words_without_a_mask():
    pairing = PromptPairing()
    assert pairing.problem(is_required=True) == "", "idle: nothing is asked of it"
    pairing.start("put the apple into the plate")
    assert pairing.problem(is_required=False) == "" and "needs a prompt picture" in pairing.problem(is_required=True)


def test_the_colour_is_read_from_the_words_of_the_paper_only():
    assert spoken_colour("lift the object with the Cyan-colored mask, slowly") == "cyan"
    assert spoken_colour("lift the red cube") is None
