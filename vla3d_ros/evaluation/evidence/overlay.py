"""Pictures of what a policy believes, drawn over what it saw and over what there is."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla3d_ros.datatypes import View
from vla3d_ros.evaluation.evidence.spatial_scene import SpatialMoment
from vla3d_ros.evaluation.evidence.spatial_truth import project_into, surface_distances

Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

_VIEW_PX = 400
_BAR_PX = 26
_GAP_PX = 4
_WHITE: Colour = (255, 255, 255)
_PAPER: Colour = (255, 255, 255)
_INK: Colour = (31, 41, 51)
_NAMED: Colour = (255, 255, 255)
_OTHER: Colour = (150, 150, 150)
_INSTANCE: Colour = (255, 0, 200)
_INSIDE: Colour = (0, 230, 90)
_OUTSIDE: Colour = (255, 60, 40)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

LEGEND: tuple[tuple[str, Colour], ...] = (
    ("instance, with its score", _INSTANCE),
    ("completion point inside an object", _INSIDE),
    ("outside", _OUTSIDE),
    ("true outline: named objects white, others grey", _OTHER),
)


def overlay_sheet(rows: Sequence[tuple[str, SpatialMoment]], cameras: Sequence[str]) -> bytes:
    """Draw moments below each other, all views of each side by side.

    Args:
        rows: Titles and moments, at least one.
        cameras: Columns; a view that a moment lacks is left grey.

    Returns:
        A PNG file of 256 colours.
    """
    drawn = [_row(title, moment, cameras) for title, moment in rows]
    sheet = np.vstack([*drawn, _legend(drawn[0].shape[1])])
    buffer = io.BytesIO()
    small = Image.fromarray(sheet).quantize(256, dither=Image.Dither.NONE)
    small.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _row(title: str, moment: SpatialMoment, cameras: Sequence[str]) -> Rgb:
    views = {view.camera: view for view in moment.observation.views}
    first = moment.observation.views[0].model
    height_px = round(_VIEW_PX * first.height_px / first.width_px)
    gap = np.full((height_px, _GAP_PX, 3), _PAPER, np.uint8)
    tiles: list[Rgb] = []
    for camera in cameras:
        tiles += [_tile(views.get(camera), moment, camera, height_px), gap]
    pictures = np.hstack(tiles[:-1])
    bar = np.full((_BAR_PX, pictures.shape[1], 3), _PAPER, np.uint8)
    _write(bar, f"{title} | {moment.observation.instruction} | {moment.at_s:.1f} s", (2, 18), _INK)
    return np.vstack([bar, pictures])


def _tile(view: View | None, moment: SpatialMoment, camera: str, height_px: int) -> Rgb:
    if view is None:
        empty = np.full((height_px, _VIEW_PX, 3), 225, np.uint8)
        _write(empty, f"{camera}: no picture", (8, 20), _INK)
        return empty
    picture = cv2.resize(view.rgb, (_VIEW_PX, height_px), interpolation=cv2.INTER_AREA)
    tile: Rgb = np.ascontiguousarray(picture, np.uint8)
    scale = _VIEW_PX / view.model.width_px
    numbers = moment.numbers[camera]
    for thing in moment.objects:
        mask = cv2.resize((numbers == thing.number).astype(np.uint8), (_VIEW_PX, height_px))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, _NAMED if thing.is_named else _OTHER, 2 if thing.is_named else 1)
    _draw_completion(tile, view, moment, scale)
    _draw_instances(tile, view, moment, scale)
    width, _ = cv2.getTextSize(camera, _FONT, 0.45, 1)[0]
    cv2.rectangle(tile, (0, 0), (width + 12, 22), _INK, -1)
    _write(tile, camera, (6, 16), _WHITE)
    return tile


def _draw_completion(tile: Rgb, view: View, moment: SpatialMoment, scale: float) -> None:
    points = moment.report.completion_points_base
    depth_m = surface_distances(points, moment.objects)
    pixels, is_inside = project_into(points, view)
    for index in np.flatnonzero(is_inside):
        colour = _INSIDE if depth_m[index] <= 0.0 else _OUTSIDE
        cv2.circle(tile, _at(pixels[index], scale), 1, colour, -1, cv2.LINE_AA)


def _draw_instances(tile: Rgb, view: View, moment: SpatialMoment, scale: float) -> None:
    points, scores = moment.report.instance_points_base, moment.report.instance_scores
    pixels, is_inside = project_into(points, view)
    for index in np.flatnonzero(is_inside):
        x, y = _at(pixels[index], scale)
        cv2.circle(tile, (x, y), 5, _WHITE, 3, cv2.LINE_AA)
        cv2.circle(tile, (x, y), 5, _INSTANCE, 2, cv2.LINE_AA)
        _write(tile, f"{scores[index]:.2f}", (x + 8, y + 4), _INSTANCE, size=0.36)


def _at(pixel: NDArray[np.float64], scale: float) -> tuple[int, int]:
    """Where a pixel of the picture is in the tile."""
    x, y = (pixel + 0.5) * scale - 0.5
    return round(float(x)), round(float(y))


def _legend(width_px: int) -> Rgb:
    bar = np.full((_BAR_PX, width_px, 3), _PAPER, np.uint8)
    x = 8
    for words, colour in LEGEND:
        cv2.circle(bar, (x, 13), 4, colour, -1, cv2.LINE_AA)
        _write(bar, words, (x + 10, 17), _INK, size=0.4)
        x += 34 + cv2.getTextSize(words, _FONT, 0.4, 1)[0][0]
    return bar


def _write(picture: Rgb, words: str, at: tuple[int, int], colour: Colour, *, size: float = 0.45) -> None:
    cv2.putText(picture, words, at, _FONT, size, colour, 1, cv2.LINE_AA)
