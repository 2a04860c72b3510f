"""A ChArUco board on paper: SVG and PDF in exact millimetres, with a ruler to check the printer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vla3d_ros.camera.board import CharucoBoard
from vla3d_ros.errors import ConfigError

MARGIN_MM = 15.0
_FOOT_MM = 14.0
_RULER_MM = 100.0
_MM_PER_INCH = 25.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A black rectangle on the page, millimetres from its upper left corner."""

    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float


def page_size_mm(board: CharucoBoard) -> tuple[float, float]:
    """Return width and height of the page: the board, a margin, and a foot with ruler and text."""
    width_m, height_m = board.size_m
    return 1e3 * width_m + 2 * MARGIN_MM, 1e3 * height_m + 2 * MARGIN_MM + _FOOT_MM


def board_boxes(board: CharucoBoard) -> list[Box]:
    """Return everything black of the board: its dark squares and the dark cells of its markers."""
    square_mm = 1e3 * board.square_m
    drawn = board.opencv()
    boxes = [
        Box(
            x_mm=MARGIN_MM + column * square_mm,
            y_mm=MARGIN_MM + row * square_mm,
            width_mm=square_mm,
            height_mm=square_mm,
        )
        for row in range(board.rows)
        for column in range(board.columns)
        if (row + column) % 2 == 0
    ]
    dictionary = drawn.getDictionary()
    cells = dictionary.markerSize + 2
    cell_mm = 1e3 * board.marker_m / cells
    for marker_id, corners in zip(drawn.getIds().ravel(), drawn.getObjPoints(), strict=True):
        left_mm, top_mm = (MARGIN_MM + 1e3 * float(value) for value in np.asarray(corners)[0][:2])
        bits = cv2.aruco.generateImageMarker(dictionary, int(marker_id), cells)
        for row, line in enumerate(bits):
            boxes += _runs(np.asarray(line) == 0, left_mm, top_mm + row * cell_mm, cell_mm)
    return boxes


def write_svg(board: CharucoBoard, path: Path) -> None:
    """Write the board as SVG; one user unit is one millimetre."""
    width_mm, height_mm = page_size_mm(board)
    rects = "\n".join(
        f'<rect x="{b.x_mm:.4f}" y="{b.y_mm:.4f}" width="{b.width_mm:.4f}" height="{b.height_mm:.4f}"/>'
        for b in [*board_boxes(board), *_ruler(board)]
    )
    x_mm, y_mm = _text_place(board)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_mm:g}mm" height="{height_mm:g}mm" '
        f'viewBox="0 0 {width_mm:g} {height_mm:g}" shape-rendering="crispEdges">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{rects}\n'
        f'<text x="{x_mm:g}" y="{y_mm:g}" font-family="sans-serif" font-size="3.5">{_foot_text(board)}</text>\n'
        "</svg>\n",
        encoding="utf-8",
    )


def write_pdf(board: CharucoBoard, path: Path) -> None:
    """Write the board as PDF of exactly the page's size."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    width_mm, height_mm = page_size_mm(board)
    figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0.0, width_mm), ylim=(height_mm, 0.0))
    axes.set_axis_off()
    for box in [*board_boxes(board), *_ruler(board)]:
        place = (box.x_mm, box.y_mm)
        axes.add_patch(Rectangle(place, box.width_mm, box.height_mm, color="black", linewidth=0, antialiased=False))
    axes.text(*_text_place(board), _foot_text(board), fontsize=9)
    figure.savefig(path, format="pdf")


def write_board(board: CharucoBoard, path: Path) -> None:
    """Write `.svg` or `.pdf`.

    Raises:
        ConfigError: If the path ends in something else.
    """
    writers = {".svg": write_svg, ".pdf": write_pdf}
    if path.suffix not in writers:
        raise ConfigError(f"board file {path} ends in '{path.suffix}'; expected one of {sorted(writers)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix](board, path)


def _runs(is_dark: np.ndarray, left_mm: float, top_mm: float, cell_mm: float) -> list[Box]:
    """Merge neighbouring dark cells of a row: fewer seams for a printer to show."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_dark.astype(int), [0]])))
    return [
        Box(x_mm=left_mm + start * cell_mm, y_mm=top_mm, width_mm=(end - start) * cell_mm, height_mm=cell_mm)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def _ruler(board: CharucoBoard) -> list[Box]:
    """A bar of 100 mm (or the board's width, if that is less) with ticks at its ends."""
    length_mm = min(_RULER_MM, 1e3 * board.size_m[0])
    y_mm = page_size_mm(board)[1] - MARGIN_MM - _FOOT_MM / 2
    bar = Box(x_mm=MARGIN_MM, y_mm=y_mm, width_mm=length_mm, height_mm=0.3)
    ends = [Box(x_mm=MARGIN_MM + at - 0.15, y_mm=y_mm - 1.5, width_mm=0.3, height_mm=3.3) for at in (0.0, length_mm)]
    return [bar, *ends]


def _text_place(board: CharucoBoard) -> tuple[float, float]:
    return MARGIN_MM, page_size_mm(board)[1] - MARGIN_MM / 2


def _foot_text(board: CharucoBoard) -> str:
    length_mm = min(_RULER_MM, 1e3 * board.size_m[0])
    return f"{board.text} · print at 100 %; the bar must measure {length_mm:g} mm, a square {1e3 * board.square_m:g} mm"
