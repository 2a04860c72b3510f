"""What can be told of an image at a glance: black, burnt out, blurred, or the same as before."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_BLACK_LEVEL, _WHITE_LEVEL = 8, 250
_GREEN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLook:
    """Figures of one image, of every second pixel of its green (or only) channel.

    Attributes:
        brightness: Mean level, 0 to 255.
        black_share: Share of pixels at or below level 8.
        white_share: Share of pixels at or above level 250.
        sharpness: Variance of the Laplacian; halves quickly when a lens loses its focus.
        digest: Equal for equal images.
    """

    brightness: float
    black_share: float
    white_share: float
    sharpness: float
    digest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookLimits:
    """What a usable image looks like; `sharpness` differs between lenses and scenes, hence low."""

    black_share: float = 0.98
    white_share: float = 0.35
    darkest: float = 20.0
    brightest: float = 235.0
    sharpness: float = 3.0


def look_at(pixels: NDArray[np.uint8]) -> ImageLook:
    """Look at an image.

    Args:
        pixels: (H, W, C) uint8 of 1 or 3 channels.
    """
    channel = _GREEN if pixels.shape[2] > 1 else 0
    grey = np.ascontiguousarray(pixels[::2, ::2, channel])
    return ImageLook(
        brightness=float(grey.mean()),
        black_share=float(np.count_nonzero(grey <= _BLACK_LEVEL) / grey.size),
        white_share=float(np.count_nonzero(grey >= _WHITE_LEVEL) / grey.size),
        sharpness=float(cv2.Laplacian(grey, cv2.CV_16S).var()),
        digest=zlib.crc32(grey.data),
    )


def look_problem(look: ImageLook, limits: LookLimits) -> str:
    """Return what is wrong with an image, with figure and limit; "" if nothing is."""
    if look.black_share >= limits.black_share:
        return f"black ({look.black_share:.0%} of the pixels); lens cap, or no light?"
    if look.brightness < limits.darkest:
        return f"under-exposed (mean level {look.brightness:.0f} of 255; expected {limits.darkest:.0f} or more)"
    if look.white_share > limits.white_share or look.brightness > limits.brightest:
        return (
            f"over-exposed ({look.white_share:.0%} of the pixels are white; expected {limits.white_share:.0%} or less)"
        )
    if look.sharpness < limits.sharpness:
        return f"blurred (sharpness {look.sharpness:.1f}; expected {limits.sharpness:.1f} or more); focus, dirt?"
    return ""
