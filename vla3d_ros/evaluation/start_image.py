"""Is the scene set up as it was? The reference start image over the live one, and a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError, RecordingError, ShapeError

Rgb = NDArray[np.uint8]
Float = NDArray[np.float64]

_WIDTH_PX = 320
_WINDOW_PX = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_STILL_PX = 1.0
_ALIKE = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class StartMatch:
    """How alike two start images are.

    `score` is 1 for the same scene and falls as things lie elsewhere; only places where there is something to see
    count, so that an empty table does not hide a moved object. `shift_px` is how far the whole image has moved: above a
    pixel the camera has moved, and the score says nothing.
    """

    score: float
    shift_px: float

    @property
    def is_camera_still(self) -> bool:
        """Whether the camera stands where it stood."""
        return self.shift_px < _STILL_PX

    @property
    def is_alike(self) -> bool:
        """Whether the scene may be taken for the same."""
        return self.is_camera_still and self.score >= _ALIKE


def overlay(reference: Rgb, live: Rgb, share: float = 0.5) -> Rgb:
    """Blend the reference over the live image.

    Args:
        reference: (H, W, 3) RGB.
        live: (H, W, 3) RGB of the same size.
        share: Of the reference, 0 to 1.

    Raises:
        ShapeError: If the sizes differ.
        ConfigError: If the share is not a fraction.
    """
    _check_alike(reference, live)
    if not 0.0 <= share <= 1.0:
        raise ConfigError(f"share of the reference is {share:g}; expected 0 to 1")
    blended = share * reference.astype(np.float64) + (1.0 - share) * live.astype(np.float64)
    return np.round(blended).astype(np.uint8)


def match_start(reference: Rgb, live: Rgb) -> StartMatch:
    """Compare two start images (H, W, 3) RGB of one camera.

    The score is the structural similarity of Wang et al. (IEEE Trans. Image Processing 13, 2004), averaged with the
    local contrast of either image as weight. The shift is found by phase correlation.

    Raises:
        ShapeError: If the sizes differ.
    """
    _check_alike(reference, live)
    scale = reference.shape[1] / _WIDTH_PX
    one, other = _small_grey(reference), _small_grey(live)
    similarity, weight = _similarity(one, other)
    total = float(weight.sum())
    score = float((similarity * weight).sum() / total) if total > 0 else 1.0
    window = cv2.createHanningWindow((one.shape[1], one.shape[0]), cv2.CV_64F)
    (dx, dy), _ = cv2.phaseCorrelate(one, other, window)
    return StartMatch(score=min(1.0, max(0.0, score)), shift_px=float(np.hypot(dx, dy)) * scale)


class StartImages:
    """Start images of a run: the first on a scene is the reference for all that follow on it."""

    def __init__(self, folder: Path, snapshot: Callable[[], Rgb]) -> None:
        """Take where they are kept.

        Args:
            folder: Of the run; images go to its folder `starts`.
            snapshot: Returns the camera's present image (H, W, 3) RGB.
        """
        self._run, self._folder, self._snapshot = folder, folder / "starts", snapshot

    def reference(self, condition: int) -> Rgb | None:
        """Return the reference of a scene, None before it has been kept."""
        path = self._reference_path(condition)
        return _read(path) if path.exists() else None

    def compare(self, condition: int) -> tuple[StartMatch, Path] | None:
        """Compare the live image with the scene's reference.

        Returns:
            The match and a picture of one over the other; None where there is no reference yet.

        Raises:
            RecordingError: If an image can not be read or written.
        """
        reference = self.reference(condition)
        if reference is None:
            return None
        live = self._snapshot()
        path = self._folder / "overlay.png"
        _write(path, overlay(reference, live))
        return match_start(reference, live), path

    def show(self) -> Path:
        """Write the live image to a file for people to look at, and return its path."""
        path = self._folder / "now.png"
        _write(path, self._snapshot())
        return path

    def keep(self, condition: int, trial: int, attempt: int) -> str:
        """Keep the live image as the start of an attempt, and as the reference if it is the scene's first.

        Returns:
            Its path relative to the run's folder.
        """
        live = self._snapshot()
        path = self._folder / f"trial_{trial:05d}_attempt_{attempt}.png"
        _write(path, live)
        if not self._reference_path(condition).exists():
            _write(self._reference_path(condition), live)
        return str(path.relative_to(self._run))

    def _reference_path(self, condition: int) -> Path:
        return self._folder / f"scene_{condition:05d}.png"


def _similarity(one: Float, other: Float) -> tuple[Float, Float]:
    """Structural similarity and contrast at every pixel."""

    def smooth(image: Float) -> Float:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), _WINDOW_PX), dtype=np.float64)

    mean1, mean2 = smooth(one), smooth(other)
    var1 = np.maximum(0.0, smooth(one * one) - mean1**2)
    var2 = np.maximum(0.0, smooth(other * other) - mean2**2)
    covariance = smooth(one * other) - mean1 * mean2
    luminance = (2 * mean1 * mean2 + _C1) / (mean1**2 + mean2**2 + _C1)
    structure = (2 * covariance + _C2) / (var1 + var2 + _C2)
    return luminance * structure, np.maximum(var1, var2)


def _small_grey(rgb: Rgb) -> Float:
    height = max(1, round(rgb.shape[0] * _WIDTH_PX / rgb.shape[1]))
    small = cv2.resize(rgb, (_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float64)


def _check_alike(reference: Rgb, live: Rgb) -> None:
    if reference.shape != live.shape or reference.ndim != 3:
        raise ShapeError(f"reference {reference.shape} and live image {live.shape}; expected two of one (H, W, 3)")


def _read(path: Path) -> Rgb:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise RecordingError(f"start image {path} can not be read; remove it, and the next one becomes the reference")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _write(path: Path, rgb: Rgb) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise RecordingError(f"start image {path} can not be written; choose a writable folder")
