"""Intrinsics of one camera from views of a board, and whether the views determine them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.board import BoardView, board_pose
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import CalibrationError, join_problems

Float = NDArray[np.float64]
Count = NDArray[np.int64]

GRID = (6, 8)  # rows, columns of the coverage map
FEWEST_VIEWS = 10
LEAST_COVERAGE = 0.6
LEAST_TILT_SPREAD_RAD = np.radians(20.0)
LEAST_BORDER = 0.35

_OUTLIER = 3.0
_LEAST_OUTLIER_PX = 1.0
_FOLDS = 5
_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Coverage:
    """Where corners were seen: counts (6, 8) over the image, and the spread of the board's tilt."""

    counts: Count
    views: int
    tilt_spread_rad: float

    @property
    def share(self) -> float:
        """Share of the map's cells with a corner."""
        return float((self.counts > 0).mean())

    @property
    def border_share(self) -> float:
        """Share of the outermost cells with a corner: the lens bends most there."""
        inner = np.zeros(self.counts.shape, dtype=bool)
        inner[1:-1, 1:-1] = True
        return float((self.counts[~inner] > 0).mean())

    def empty_regions(self) -> list[str]:
        """Names of the ninths of the image in which no corner was seen."""
        return [
            f"{row} {column}"
            for row, lines in zip(_ROWS, np.array_split(self.counts, 3, axis=0), strict=True)
            for column, part in zip(_COLUMNS, np.array_split(lines, 3, axis=1), strict=True)
            if not part.any()
        ]

    def problems(self) -> list[str]:
        """Return one sentence per thing that is missing; empty if the views suffice."""
        problems = []
        if self.views < FEWEST_VIEWS:
            problems.append(f"{self.views} views show the board; expected at least {FEWEST_VIEWS}, better 20")
        if self.share < LEAST_COVERAGE or self.border_share < LEAST_BORDER:
            empty = self.empty_regions()
            where = f"nothing was seen in the {', '.join(empty)}" if empty else "the border is hardly covered"
            problems.append(
                f"corners cover {100 * self.share:.0f} % of the image and {100 * self.border_share:.0f} % of its "
                f"border, expected {100 * LEAST_COVERAGE:.0f} and {100 * LEAST_BORDER:.0f} %; {where}: move the board "
                "there, and close enough to reach over the edge"
            )
        if self.tilt_spread_rad < LEAST_TILT_SPREAD_RAD:
            problems.append(
                f"the board's tilt varies by {np.degrees(self.tilt_spread_rad):.0f} deg, expected "
                f"{np.degrees(LEAST_TILT_SPREAD_RAD):.0f}: focal length and distance can not be told apart; tilt the "
                "board by 20 to 40 deg, to different sides"
            )
        return problems


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntrinsicsCalibration:
    """Result: the model, error of every view used (px), of held-out views (px), and standard deviation of fx (px)."""

    model: CameraModel
    coverage: Coverage
    view_errors_px: Float
    used: NDArray[np.bool_]
    held_out_px: float
    sigma_focal_px: float


def measure_coverage(views: Sequence[BoardView], width_px: int, height_px: int) -> Coverage:
    """Count where corners were seen and how differently the board was tilted.

    Args:
        views: What was detected.
        width_px: Image width.
        height_px: Image height.
    """
    pixels = np.concatenate([view.pixels for view in views] or [np.zeros((0, 2))])
    rows, columns = GRID
    counts, _, _ = np.histogram2d(
        pixels[:, 1], pixels[:, 0], bins=(rows, columns), range=((0, height_px), (0, width_px))
    )
    guess = _first_guess(width_px, height_px)
    normals = np.array([board_pose(view, guess)[0].rotation[:, 2] for view in views]).reshape(-1, 3)
    spread = float(np.arccos(np.clip((normals @ normals.T).min(), -1.0, 1.0))) if len(normals) else 0.0
    return Coverage(counts=counts.astype(np.int64), views=len(views), tilt_spread_rad=spread)


def calibrate_intrinsics(
    views: Sequence[BoardView], width_px: int, height_px: int, generator: np.random.Generator
) -> IntrinsicsCalibration:
    """Calibrate a pinhole camera with plumb-bob distortion.

    Views whose error is three times the median are left out once. Held-out error: fitted without a fifth of the views,
    then only the pose of those is solved, for every fifth.

    Args:
        views: Detected boards, all from images of one size.
        width_px: Image width.
        height_px: Image height.
        generator: For the held-out split.

    Raises:
        CalibrationError: If the views do not determine the intrinsics; says what is missing.
    """
    coverage = measure_coverage(views, width_px, height_px)
    _require(coverage)
    _, errors, _ = _fit(views, width_px, height_px)
    used = errors < max(_LEAST_OUTLIER_PX, _OUTLIER * float(np.median(errors)))
    chosen = [view for view, is_used in zip(views, used, strict=True) if is_used]
    coverage = measure_coverage(chosen, width_px, height_px)
    _require(coverage)
    model, errors, sigma_focal_px = _fit(chosen, width_px, height_px)
    left_out = []
    for part in np.array_split(generator.permutation(len(chosen)), _FOLDS):
        kept = [view for index, view in enumerate(chosen) if index not in part]
        partial, _, _ = _fit(kept, width_px, height_px)
        left_out += [board_pose(chosen[index], partial)[1] for index in part]
    return IntrinsicsCalibration(
        model=model,
        coverage=coverage,
        view_errors_px=errors,
        used=used,
        held_out_px=float(np.sqrt(np.mean(np.square(left_out)))),
        sigma_focal_px=sigma_focal_px,
    )


def _require(coverage: Coverage) -> None:
    problems = coverage.problems()
    if problems:
        raise CalibrationError(join_problems("intrinsic calibration", problems))


def _first_guess(width_px: int, height_px: int) -> CameraModel:
    centre = ((width_px - 1) / 2, (height_px - 1) / 2)
    K = np.array([[width_px, 0.0, centre[0]], [0.0, width_px, centre[1]], [0.0, 0.0, 1.0]])
    return CameraModel(width_px=width_px, height_px=height_px, K=K)


def _fit(views: Sequence[BoardView], width_px: int, height_px: int) -> tuple[CameraModel, Float, float]:
    """Return the model, the error of every view (V,) px, and the standard deviation of the focal length in px."""
    _, K, distortion, _, _, deviations, _, errors = cv2.calibrateCameraExtended(
        [view.points_board.astype(np.float32) for view in views],
        [view.pixels.astype(np.float32) for view in views],
        (width_px, height_px),
        np.zeros((3, 3)),
        np.zeros(5),
    )
    model = CameraModel(
        width_px=width_px,
        height_px=height_px,
        K=np.asarray(K, dtype=np.float64),
        distortion=np.asarray(distortion, dtype=np.float64).ravel()[:5],
    )
    return model, np.asarray(errors, dtype=np.float64).ravel(), float(np.asarray(deviations).ravel()[0])
