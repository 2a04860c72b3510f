"""Mask-guided prompts: grey image, half a colour on the target, and words that fit (GEAR-VLA, App. F)."""

from __future__ import annotations

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, InstructionError, ShapeError
from vla3d_ros.evaluation.referring import (
    MASK_COLOURS,
    draw_colour,
    mask_at,
    mask_colour,
    mask_in_box,
    referring_prompt,
    rewrite_instruction,
)

RGB = np.random.default_rng(0).integers(0, 40, (60, 80, 3)).astype(np.uint8) + 100
RGB[20:40, 30:60] = (200, 20, 30)


def test_outside_the_mask_the_prompt_is_grey_and_inside_half_the_colour():
    mask = np.zeros((60, 80), dtype=bool)
    mask[20:40, 30:60] = True
    prompt = referring_prompt("head", RGB, mask, "green")
    outside = prompt.rgb[~mask].astype(int)
    assert (np.ptp(outside, axis=1) == 0).all()
    grey = prompt.rgb[mask].astype(float) * 2 - np.array(MASK_COLOURS["green"])
    assert np.ptp(grey, axis=1).max() <= 2
    assert prompt.camera == "head" and prompt.colour == "green"


def test_the_instruction_speaks_of_the_colour():
    rewritten = rewrite_instruction("put the apple into the plate", "apple", "red")
    assert rewritten == "put the object with the red-colored mask into the plate"
    assert rewrite_instruction("Take a red cup", "red cup", "blue") == "Take the object with the blue-colored mask"
    with pytest.raises(InstructionError, match="does not speak of 'pear'"):
        rewrite_instruction("put the apple into the plate", "pear", "red")
    with pytest.raises(InstructionError):
        rewrite_instruction("open the pineapple", "apple", "red")


def test_every_colour_is_drawn_at_some_time_and_the_same_seed_draws_the_same():
    drawn = {draw_colour(np.random.default_rng(seed)) for seed in range(60)}
    assert drawn == set(MASK_COLOURS)
    assert draw_colour(np.random.default_rng(3)) == draw_colour(np.random.default_rng(3))


def test_a_box_around_an_object_becomes_its_mask():
    mask = mask_in_box(RGB, (22, 12, 46, 36))
    truth = np.zeros_like(mask)
    truth[20:40, 30:60] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_a_click_on_an_object_becomes_its_mask():
    mask = mask_at(RGB, 45, 30)
    assert mask[20:40, 30:60].all() and mask.sum() == 20 * 30


@pytest.mark.parametrize("box", [(70, 10, 30, 30), (-1, 0, 20, 20), (10, 10, 2, 30)])
def test_a_box_that_can_not_be_meant_is_refused(box):
    with pytest.raises(ConfigError, match="expected one inside"):
        mask_in_box(RGB, box)


def test_wrong_prompts_are_refused():
    mask = np.zeros((60, 80), dtype=bool)
    with pytest.raises(ConfigError, match="the mask is empty"):
        referring_prompt("head", RGB, mask, "red")
    with pytest.raises(ConfigError, match="unknown mask colour 'pink'"):
        referring_prompt("head", RGB, ~mask, "pink")
    with pytest.raises(ShapeError, match="expected the image's"):
        referring_prompt("head", RGB, mask[:10], "red")
    with pytest.raises(ConfigError, match="expected one inside"):
        mask_at(RGB, 80, 3)


@pytest.mark.parametrize("colour", sorted(MASK_COLOURS))
def test_a_prompt_picture_says_itself_in_which_colour_it_is_marked(colour):
    mask = np.zeros(RGB.shape[:2], bool)
    mask[2:8, 3:9] = True
    assert mask_colour(referring_prompt("head", RGB, mask, colour).rgb) == colour


def test_a_picture_without_a_mask_or_in_a_foreign_colour_is_refused():
    grey = np.full((20, 20, 3), 100, np.uint8)
    with pytest.raises(ConfigError, match="nothing is marked"):
        mask_colour(grey)
    grey[:5] = (120, 100, 160)
    with pytest.raises(ConfigError, match="none of"):
        mask_colour(grey)
