"""The placement picture: where everything goes, drawn to scale as the robot sees its table from behind."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D

from vla3d_ros.evaluation.figures import FAINT, INK, MUTED, Canvas
from vla3d_ros.evaluation.placement import Placed, PlacementPicture

_CM = 100.0
_MARGIN_CM = 6.0
_INCHES_PER_CM = 0.085
_HUES = {"target": "#b42318", "item": "#0f766e", "background": "#7b8794"}


def placement_svg(picture: PlacementPicture) -> str:
    """Return the picture as inline SVG; x away from the robot is up, y to its left is left, axes in cm."""
    with _canvas(picture) as canvas:
        _draw(canvas.axes[0], picture)
        return canvas.svg()


def placement_png(picture: PlacementPicture) -> bytes:
    """Return the picture as PNG."""
    with _canvas(picture) as canvas:
        _draw(canvas.axes[0], picture)
        buffer = io.BytesIO()
        canvas.figure.savefig(buffer, format="png", dpi=110, facecolor="white")
        return buffer.getvalue()


def _canvas(picture: PlacementPicture) -> Canvas:
    width_cm = _CM * (picture.region_y_m[1] - picture.region_y_m[0]) + 2 * _MARGIN_CM
    height_cm = _CM * (picture.region_x_m[1] - picture.region_x_m[0]) + 2 * _MARGIN_CM
    return Canvas("placement", max(4.0, _INCHES_PER_CM * width_cm), max(3.2, _INCHES_PER_CM * height_cm + 0.8))


def _draw(axes: Axes, picture: PlacementPicture) -> None:
    (x0, x1), (y0, y1) = picture.region_x_m, picture.region_y_m
    axes.add_patch(Rectangle((_CM * y0, _CM * x0), _CM * (y1 - y0), _CM * (x1 - x0), facecolor=FAINT, edgecolor=MUTED))
    for number, placed in enumerate(picture.placed, start=1):
        _draw_object(axes, placed, number)
    axes.set_aspect("equal")
    axes.set_xlim(_CM * y1 + _MARGIN_CM, _CM * y0 - _MARGIN_CM)  # y to the left
    axes.set_ylim(_CM * x0 - _MARGIN_CM, _CM * x1 + _MARGIN_CM)
    axes.set(xlabel="left  ←  y / cm  →  right      (the robot stands below)", ylabel="away from the robot, x / cm")
    axes.set_title(picture.title)


def _draw_object(axes: Axes, placed: Placed, number: int) -> None:
    hue = _HUES.get(placed.role, INK)
    width, height = _CM * placed.size_m[0], _CM * placed.size_m[1]
    turn = Affine2D().rotate_deg(placed.yaw_deg)
    # On paper: horizontal is y (drawn with its axis reversed), vertical is x.
    swap = Affine2D(np.array([[0, 1, _CM * placed.y_m], [1, 0, _CM * placed.x_m], [0, 0, 1]]))
    box = Rectangle((-width / 2, -height / 2), width, height, facecolor=hue, alpha=0.25, edgecolor=hue, linewidth=1.4)
    box.set_transform(turn + swap + axes.transData)
    axes.add_patch(box)
    tip = (turn + swap).transform((width / 2, 0.0))
    axes.plot((_CM * placed.y_m, tip[0]), (_CM * placed.x_m, tip[1]), color=hue, linewidth=1.6)
    turned = np.deg2rad(placed.yaw_deg)
    reach_cm = (width * abs(np.cos(turned)) + height * abs(np.sin(turned))) / 2  # away from the robot, which is up
    axes.annotate(
        f"{number} {placed.name}",
        (_CM * placed.y_m, _CM * placed.x_m + reach_cm),
        (0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=hue if placed.role != "background" else INK,
        fontweight="bold" if placed.role == "target" else "normal",
    )
