"""Show a policy what is meant by a mask on the first image, and speak of it by the mask's colour (GEAR-VLA, App. F)."""

from __future__ import annotations

import re
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ReferringPrompt
from vla3d_ros.errors import ConfigError, InstructionError, ShapeError

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

MASK_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 30, 30),
    "green": (30, 180, 40),
    "blue": (40, 70, 230),
    "yellow": (240, 210, 20),
    "cyan": (20, 200, 220),
    "magenta": (220, 40, 200),
}
_SHARE = 0.5
_LEAST_TINT = 24.0
_LEAST_BOX_PX = 4
_ROUNDS = 5


class TargetDetector(Protocol):
    """Finds what an instruction speaks of; a model that grounds and segments can be plugged in."""

    def find(self, rgb: Rgb, target: str) -> Mask:
        """Return the target's mask (H, W).

        Raises:
            PerceptionError: If it is not seen.
        """
        ...


def draw_colour(generator: np.random.Generator) -> str:
    """Return the name of a mask colour."""
    return list(MASK_COLOURS)[int(generator.integers(len(MASK_COLOURS)))]


def referring_prompt(camera: str, rgb: Rgb, mask: Mask, colour: str) -> ReferringPrompt:
    """Return the image in grey with the mask laid over it, half and half, in one colour.

    Args:
        camera: The image's camera.
        rgb: (H, W, 3) of the first instant.
        mask: (H, W), true on the target.
        colour: One of `MASK_COLOURS`.

    Raises:
        ShapeError: If image and mask differ in size.
        ConfigError: If the colour is unknown, or the mask is empty.
    """
    if rgb.shape != (*mask.shape, 3):
        raise ShapeError(f"mask {mask.shape} for an image {rgb.shape}; expected the image's (H, W)")
    if colour not in MASK_COLOURS:
        raise ConfigError(f"unknown mask colour '{colour}': expected one of {sorted(MASK_COLOURS)}")
    if not mask.any():
        raise ConfigError("the mask is empty: nothing is marked; mark the target in the image")
    grey = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float64)
    tinted = (1.0 - _SHARE) * grey + _SHARE * np.array(MASK_COLOURS[colour], dtype=np.float64)
    shown = np.round(np.where(mask[..., None], tinted, grey)).astype(np.uint8)
    return ReferringPrompt(camera=camera, rgb=shown, colour=colour)


def mask_colour(rgb: Rgb) -> str:
    """Return the name of the colour in which a prompt picture is marked; it says so itself, the rest being grey.

    What the mask adds to a pixel's grey is half the colour's distance from grey, whatever the grey was.

    Args:
        rgb: (H, W, 3) of a `ReferringPrompt`.

    Raises:
        ConfigError: If nothing is marked, or in none of `MASK_COLOURS`.
    """
    pixels = rgb.reshape(-1, 3).astype(np.float64)
    tints = pixels - pixels.mean(axis=1, keepdims=True)
    is_marked = np.abs(tints).max(axis=1) > _LEAST_TINT / 2
    if not is_marked.any():
        raise ConfigError("the prompt picture is grey all over: nothing is marked; mark the target in it")
    tint = np.median(tints[is_marked], axis=0) / _SHARE
    distances = {
        name: float(np.abs(np.array(colour) - np.mean(colour) - tint).max()) for name, colour in MASK_COLOURS.items()
    }
    nearest = min(distances, key=lambda name: distances[name])
    if distances[nearest] > _LEAST_TINT:
        raise ConfigError(
            f"the prompt picture is marked in a colour {np.round(tint).tolist()} away from grey, which is none of "
            f"{sorted(MASK_COLOURS)}; draw it with one of these, half and half over the grey picture"
        )
    return nearest


def rewrite_instruction(instruction: str, target: str, colour: str) -> str:
    """Return the instruction with the target replaced by "the object with the <colour>-colored mask".

    "put the apple into the plate" becomes "put the object with the red-colored mask into the plate".

    Raises:
        InstructionError: If the instruction does not speak of the target, as a whole word.
    """
    pattern = re.compile(rf"\b(?:(?:the|a|an)\s+)?{re.escape(target)}\b", re.IGNORECASE)
    if not target or not pattern.search(instruction):
        raise InstructionError(f"instruction '{instruction}' does not speak of '{target}'; name words that are in it")
    return pattern.sub(f"the object with the {colour}-colored mask", instruction, count=1)


def mask_in_box(rgb: Rgb, box: Box) -> Mask:
    """Return the mask of what stands out inside a box that somebody drew.

    Args:
        rgb: (H, W, 3).
        box: x, y of the upper left corner, width, height, pixels.

    Returns:
        (H, W) mask, nothing outside the box; the whole box where nothing stands out (GrabCut, Rother et al. 2004).

    Raises:
        ConfigError: If the box is too small or not inside the image.
    """
    x, y, width, height = box
    inside = x >= 0 and y >= 0 and x + width <= rgb.shape[1] and y + height <= rgb.shape[0]
    if not inside or min(width, height) < _LEAST_BOX_PX:
        size = f"{rgb.shape[1]} x {rgb.shape[0]}"
        raise ConfigError(f"box {box} in an image of {size} px; expected one inside, at least {_LEAST_BOX_PX} px wide")
    labels = np.zeros(rgb.shape[:2], dtype=np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), labels, box, *models, _ROUNDS, cv2.GC_INIT_WITH_RECT)
    mask: Mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not mask.any():
        mask[y : y + height, x : x + width] = True
    return mask


def mask_at(rgb: Rgb, x: int, y: int, tolerance: int = 12) -> Mask:
    """Return the patch of similar colour around a pixel that somebody clicked.

    Args:
        rgb: (H, W, 3).
        x: Column, pixels.
        y: Row, pixels.
        tolerance: Largest step between neighbours in each channel, of 255.

    Raises:
        ConfigError: If the pixel is outside the image.
    """
    if not (0 <= x < rgb.shape[1] and 0 <= y < rgb.shape[0]):
        raise ConfigError(f"click at ({x}, {y}) in an image of {rgb.shape[1]} x {rgb.shape[0]} px; expected one inside")
    flooded = np.zeros((rgb.shape[0] + 2, rgb.shape[1] + 2), dtype=np.uint8)
    step = (tolerance,) * 3
    cv2.floodFill(rgb.copy(), flooded, (x, y), (0, 0, 0), step, step, 4 | cv2.FLOODFILL_MASK_ONLY | (1 << 8))
    mask: Mask = flooded[1:-1, 1:-1].astype(np.bool_)
    return mask
