"""Calibration targets: what they are made of, in metres, and how they are found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, Rgb
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform, project

Float = NDArray[np.float64]

_FEWEST_CORNERS = 6
_FORMATS = (
    "charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM:DICTIONARY, e.g. charuco:8x6:30:22:DICT_5X5_100",
    "chessboard:COLUMNSxROWS:SQUARE_MM (inner corners), e.g. chessboard:9x6:23.6",
    "marker:ID:SIDE_MM:DICTIONARY, e.g. marker:9:39:DICT_4X4_50",
)
DEFAULT_BOARD = "charuco:8x6:30:22:DICT_5X5_100"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BoardView:
    """Corners found in one image: points_board (P, 3) m, pixels (P, 2), in the same order."""

    points_board: Float
    pixels: Float


class Board(Protocol):
    """A target whose corners are known in its own frame."""

    @property
    def text(self) -> str:
        """The definition, as `parse_board` reads it."""
        ...

    def detect(self, rgb: Rgb) -> BoardView | None:
        """Find the corners in an image (H, W, 3); None if too few are seen."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CharucoBoard:
    """A chessboard with markers in its white squares: every corner has a name, parts of the board suffice."""

    columns: int
    rows: int
    square_m: float
    marker_m: float
    dictionary: str

    @property
    def text(self) -> str:
        """The definition, as `parse_board` reads it."""
        sizes = f"{1e3 * self.square_m:g}:{1e3 * self.marker_m:g}"
        return f"charuco:{self.columns}x{self.rows}:{sizes}:{self.dictionary}"

    @property
    def size_m(self) -> tuple[float, float]:
        """Width and height of the printed squares."""
        return self.columns * self.square_m, self.rows * self.square_m

    def opencv(self) -> Any:
        """Return OpenCV's board; its origin is the upper left corner, x right, y down, z into the board."""
        dictionary = _dictionary(self.dictionary)
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_m, self.marker_m, dictionary)

    def detect(self, rgb: Rgb) -> BoardView | None:
        """Find the corners in an image; None if fewer than six are seen."""
        board = self.opencv()
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        corners, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(grey)
        if ids is None or len(ids) < _FEWEST_CORNERS:
            return None
        points = np.asarray(board.getChessboardCorners(), dtype=np.float64)[ids.ravel()]
        pixels = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
        rank = np.linalg.matrix_rank(points[:, :2] - points[:, :2].mean(axis=0))
        return BoardView(points_board=points, pixels=pixels) if rank == 2 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chessboard:
    """A plain chessboard; columns and rows count inner corners; it must be seen as a whole."""

    columns: int
    rows: int
    square_m: float

    @property
    def text(self) -> str:
        """The definition, as `parse_board` reads it."""
        return f"chessboard:{self.columns}x{self.rows}:{1e3 * self.square_m:g}"

    def detect(self, rgb: Rgb) -> BoardView | None:
        """Find all inner corners in an image; None if one is missing."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        is_found, corners = cv2.findChessboardCornersSB(grey, (self.columns, self.rows))
        if not is_found:
            return None
        grid = np.mgrid[0 : self.columns, 0 : self.rows].T.reshape(-1, 2) * self.square_m
        points = np.column_stack([grid, np.zeros(len(grid))])
        return BoardView(points_board=points, pixels=np.asarray(corners, dtype=np.float64).reshape(-1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleMarker:
    """One ArUco marker; its origin is its centre, x right, y up, z out of it."""

    marker_id: int
    side_m: float
    dictionary: str

    @property
    def text(self) -> str:
        """The definition, as `parse_board` reads it."""
        return f"marker:{self.marker_id}:{1e3 * self.side_m:g}:{self.dictionary}"

    def detect(self, rgb: Rgb) -> BoardView | None:
        """Find the marker's four corners in an image."""
        settings = cv2.aruco.DetectorParameters()
        settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        detector = cv2.aruco.ArucoDetector(_dictionary(self.dictionary), settings)
        corners, ids, _ = detector.detectMarkers(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        found = [] if ids is None else np.flatnonzero(ids.ravel() == self.marker_id)
        if len(found) != 1:
            return None
        half = self.side_m / 2
        points = np.array([[-half, half, 0.0], [half, half, 0.0], [half, -half, 0.0], [-half, -half, 0.0]])
        return BoardView(points_board=points, pixels=np.asarray(corners[found[0]], dtype=np.float64).reshape(4, 2))


def parse_board(text: str) -> CharucoBoard | Chessboard | SingleMarker:
    """Read a board's definition.

    Args:
        text: `charuco:8x6:30:22:DICT_5X5_100`, `chessboard:9x6:23.6` or `marker:9:39:DICT_4X4_50`; millimetres.

    Raises:
        ConfigError: If it is none of these.
    """
    kind, *parts = text.split(":")
    try:
        if kind == "charuco":
            size, square, marker, dictionary = parts
            columns, rows = (int(number) for number in size.split("x"))
            return _checked_charuco(columns, rows, float(square), float(marker), dictionary)
        if kind == "chessboard":
            size, square = parts
            columns, rows = (int(number) for number in size.split("x"))
            return Chessboard(columns=columns, rows=rows, square_m=1e-3 * float(square))
        if kind == "marker":
            number, side, dictionary = parts
            _dictionary(dictionary)
            return SingleMarker(marker_id=int(number), side_m=1e-3 * float(side), dictionary=dictionary)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"board '{text}': {error}; expected one of {list(_FORMATS)}") from error
    raise ConfigError(f"board '{text}' has kind '{kind}'; expected one of {list(_FORMATS)}")


def board_pose(view: BoardView, model: CameraModel) -> tuple[Transform, float]:
    """Solve for the pose of a planar target.

    Args:
        view: Its corners.
        model: Intrinsics.

    Returns:
        T_camera_board and the root mean square reprojection error in pixels.
    """
    distortion = model.distortion if model.distortion.size else None
    count, rotations, translations, _ = cv2.solvePnPGeneric(
        view.points_board, view.pixels, model.K, distortion, flags=cv2.SOLVEPNP_IPPE
    )
    candidates = []
    for index in range(count):
        rotation, translation = cv2.solvePnPRefineLM(
            view.points_board, view.pixels, model.K, distortion, rotations[index], translations[index]
        )
        T_camera_board = Transform.from_rotation(cv2.Rodrigues(rotation)[0], translation.ravel())
        seen = project(T_camera_board.apply(view.points_board), model.K, model.distortion)
        candidates.append((float(np.sqrt(np.mean(((seen - view.pixels) ** 2).sum(axis=1)))), index, T_camera_board))
    error_px, _, T_camera_board = min(candidates)
    return T_camera_board, error_px


def _checked_charuco(columns: int, rows: int, square_mm: float, marker_mm: float, dictionary: str) -> CharucoBoard:
    if columns < 3 or rows < 3 or not 0 < marker_mm < square_mm:
        raise ValueError("expected at least 3x3 squares and markers smaller than squares")
    held, needed = len(_dictionary(dictionary).bytesList), columns * rows // 2
    if held < needed:
        raise ValueError(f"{dictionary} has {held} markers, this board needs {needed}")
    return CharucoBoard(
        columns=columns, rows=rows, square_m=1e-3 * square_mm, marker_m=1e-3 * marker_mm, dictionary=dictionary
    )


def _dictionary(name: str) -> Any:
    if not name.startswith("DICT_") or not hasattr(cv2.aruco, name):
        known = sorted(entry for entry in dir(cv2.aruco) if entry.startswith("DICT_"))
        raise ValueError(f"no dictionary '{name}'; available: {known}")
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
