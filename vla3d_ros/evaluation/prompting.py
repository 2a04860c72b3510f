"""Mark a live trial's target: a picture of the scene, a mask on it, a colour, and the instruction that speaks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla3d_ros.datatypes import ReferringPrompt, Rgb
from vla3d_ros.errors import ShapeError
from vla3d_ros.evaluation.operator import TargetBox
from vla3d_ros.evaluation.referring import Mask, draw_colour, mask_in_box, referring_prompt, rewrite_instruction

_COLOUR_STREAM = 7  # keeps the draw of the colour apart from that of the scene


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TargetMask:
    """Where the target is: mask (H, W), true on it, in a camera's picture of the scene as it is now, at rest.

    `name` is what the instruction calls it, where the mask's source knows.
    """

    camera: str
    mask: Mask
    name: str = ""


class PromptSession(Protocol):
    """What marking a target needs of the running graph. Every call raises TrialError when the graph is silent."""

    def snapshot(self, camera: str) -> Rgb:
        """Return a camera's next picture (H, W, 3)."""
        ...

    def target_mask(self) -> TargetMask:
        """Return where the trial's target is, as only the twin knows."""
        ...

    def prompt(self, prompt: ReferringPrompt) -> None:
        """Show the policy what the next instruction speaks of."""
        ...


def target_in_box(session: PromptSession, box: TargetBox) -> tuple[TargetMask, Rgb]:
    """Return what stands out in the box an operator drew, and the picture it was found in.

    Raises:
        TrialError: If the camera is silent.
        ConfigError: If the box is not inside its picture.
    """
    rgb = session.snapshot(box.camera)
    mask = mask_in_box(rgb, (box.x_px, box.y_px, box.width_px, box.height_px))
    return TargetMask(camera=box.camera, mask=mask), rgb


def show_target(
    session: PromptSession, found: TargetMask, rgb: Rgb, *, instruction: str, target: str, seed: int
) -> str:
    """Show the policy the marked target, and return the instruction in the words that go with it.

    Args:
        session: The running graph.
        found: Where the target is.
        rgb: (H, W, 3) of the same camera.
        instruction: Which speaks of the target by its name.
        target: The name.
        seed: Draws the mask's colour.

    Raises:
        ShapeError: If mask and picture differ in size.
        ConfigError: If the mask is empty: the target is not seen.
        InstructionError: If the instruction does not speak of the target.
    """
    if rgb.shape[:2] != found.mask.shape:
        raise ShapeError(f"mask {found.mask.shape} for a picture {rgb.shape} of camera '{found.camera}'")
    colour = draw_colour(np.random.default_rng([seed, _COLOUR_STREAM]))
    rewritten = rewrite_instruction(instruction, target, colour)
    session.prompt(referring_prompt(found.camera, rgb, found.mask, colour))
    return rewritten
