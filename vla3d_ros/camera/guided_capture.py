"""Decides which live images are worth keeping for a calibration, and tells what is still missing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.board import Board, BoardView
from vla3d_ros.camera.hand_eye_motion import motion_spread
from vla3d_ros.camera.intrinsics import measure_coverage
from vla3d_ros.datatypes import Rgb
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

_STILL_PX = 1.0
_MOVED_PX = 40.0
_MOVED_M = 0.02
_MOVED_RAD = float(np.radians(5.0))
_TABLE = "poses.csv"
_HEADER = ("image", "camera", "x", "y", "z", "qx", "qy", "qz", "qw")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureAdvice:
    """What became of one look at the camera: a sentence, whether an image was kept, and what is still missing."""

    message: str
    is_kept: bool
    missing: tuple[str, ...]


class GuidedCapture:
    """Keeps an image when the board and the arm rest at a place that is new.

    Without arm poses (intrinsics) a place is new when the board moved in the image.
    """

    def __init__(self, folder: Path, camera: str, board: Board, *, needs_poses: bool, wanted: int) -> None:
        """Start an empty folder of calibration data, or continue one.

        Args:
            folder: Images and `poses.csv` go here.
            camera: Name of the camera in the rig.
            board: What to look for.
            needs_poses: Whether the arm's poses are recorded.
            wanted: Number of images.
        """
        self._folder, self._camera, self._board = folder, camera, board
        self._needs_poses, self._wanted = needs_poses, wanted
        self._views: list[BoardView] = []
        self._poses: list[Transform] = []
        self._last: BoardView | None = None
        self._size = (0, 0)
        folder.mkdir(parents=True, exist_ok=True)

    def offer(self, rgb: Rgb, T_base_ee: Transform | None) -> CaptureAdvice:
        """Look at one image.

        Args:
            rgb: (H, W, 3).
            T_base_ee: Pose of the end effector at that time; None if unknown.
        """
        view = self._board.detect(rgb)
        previous, self._last = self._last, view
        self._size = (rgb.shape[1], rgb.shape[0])
        if view is None:
            return self._advice("the board is not seen")
        if self._needs_poses and T_base_ee is None:
            return self._advice("no joint states: where is the arm?")
        if previous is None or not _shift_px(previous, view) < _STILL_PX:
            return self._advice("the board moves; hold still")
        if not self._is_new(view, T_base_ee):
            return self._advice("this place is known; move on")
        self._keep(rgb, view, T_base_ee)
        return self._advice(f"kept {len(self._views)} of {self._wanted}: {len(view.pixels)} corners", is_kept=True)

    @property
    def is_complete(self) -> bool:
        """Whether there are enough images and nothing is missing."""
        return len(self._views) >= self._wanted and not self.missing()

    def missing(self) -> tuple[str, ...]:
        """What the images taken so far do not determine."""
        if self._needs_poses:
            return tuple(motion_spread(self._poses).problems())
        return tuple(measure_coverage(self._views, *self._size).problems()) if self._views else ("no image yet",)

    def _advice(self, message: str, *, is_kept: bool = False) -> CaptureAdvice:
        return CaptureAdvice(message=message, is_kept=is_kept, missing=self.missing() if is_kept else ())

    def _is_new(self, view: BoardView, T_base_ee: Transform | None) -> bool:
        if not self._needs_poses or T_base_ee is None:
            return all(not _shift_px(known, view) < _MOVED_PX for known in self._views)
        distances = (T_base_ee.distance_to(known) for known in self._poses)
        return all(distance_m > _MOVED_M or angle_rad > _MOVED_RAD for distance_m, angle_rad in distances)

    def _keep(self, rgb: Rgb, view: BoardView, T_base_ee: Transform | None) -> None:
        self._views.append(view)
        number = sum(1 for _ in self._folder.glob(f"{self._camera}_*.png"))
        name = f"{self._camera}_{number:03d}.png"
        cv2.imwrite(str(self._folder / name), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        if not self._needs_poses or T_base_ee is None:
            return
        self._poses.append(T_base_ee)
        table = self._folder / _TABLE
        is_fresh = not table.exists()
        with table.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if is_fresh:
                writer.writerow(_HEADER)
            pose = [f"{value:.9f}" for value in (*T_base_ee.translation, *T_base_ee.xyzw)]
            writer.writerow([name, self._camera, *pose])


def _shift_px(before: BoardView, after: BoardView) -> float:
    """Median shift of the corners that both views have, infinite if they share none."""
    known = {tuple(point): pixel for point, pixel in zip(before.points_board, before.pixels, strict=True)}
    pairs = zip(after.points_board, after.pixels, strict=True)
    shifts = [np.linalg.norm(pixel - known[tuple(point)]) for point, pixel in pairs if tuple(point) in known]
    return float(np.median(shifts)) if shifts else float("inf")
