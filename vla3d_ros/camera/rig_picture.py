"""A picture per camera that a person looks at: the image, where the robot should be in it, and coordinate axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.outline import Outline, predict_outline
from vla3d_ros.camera.outline_fit import RobotFrame
from vla3d_ros.camera.rig_check import CameraCheck, Status
from vla3d_ros.camera.robot_shape import RobotShape
from vla3d_ros.datatypes import CameraModel, Rgb
from vla3d_ros.geometry import Transform, project

Float = NDArray[np.float64]
Colour = tuple[int, int, int]

PREDICTED: Colour = (15, 118, 110)
FOUND: Colour = (217, 119, 6)
_INK: Colour = (31, 41, 51)
_PAPER: Colour = (255, 255, 255)
_AXES: tuple[Colour, Colour, Colour] = ((200, 55, 45), (60, 140, 60), (45, 90, 190))
_STATUS_COLOURS: Mapping[Status, Colour] = {
    Status.PASS: (22, 128, 61),
    Status.WARN: (180, 115, 10),
    Status.FAIL: (190, 30, 45),
}
_SCALE = 2
_SHIFT = 3  # fractional bits of cv2's coordinates
_TINT = 0.22
_AXIS_M = 0.1
_NEAREST_M = 0.02
_LINE_PX = 30
_COLUMN_PX = 11
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_check(
    frame: RobotFrame,
    shapes: Sequence[RobotShape],
    model: CameraModel,
    T_parent_camera: Transform,
    check: CameraCheck,
    axes: Sequence[str],
) -> Rgb:
    """Draw one image of a checked camera at twice its size.

    The robot is tinted and outlined where the rig file puts it; if it was found elsewhere, that outline is drawn, too.

    Args:
        frame: The image and the robot's pose.
        shapes: Solids of the robot.
        model: Intrinsics.
        T_parent_camera: The rig file's mount.
        check: Its findings go below the picture.
        axes: Links whose axes are drawn, 0.1 m long, x red, y green, z blue.
    """
    T_base_camera = frame.T_base_parent @ T_parent_camera
    outline = predict_outline(shapes, frame.Ts_base_link, T_base_camera, model)
    size = (_SCALE * model.width_px, _SCALE * model.height_px)
    enlarged = np.asarray(cv2.resize(frame.rgb, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    picture = _tinted(enlarged, outline)
    if check.status is Status.FAIL and check.fit is not None and check.fit.samples:
        T_found = frame.T_base_parent @ check.fit.T_parent_camera_fitted
        _draw_outline(picture, predict_outline(shapes, frame.Ts_base_link, T_found, model), FOUND)
    _draw_outline(picture, outline, PREDICTED)
    for link in axes:
        if link in frame.Ts_base_link:
            _draw_axes(picture, link, T_base_camera.inverse() @ frame.Ts_base_link[link], model)
    return np.asarray(np.vstack([picture, _caption(check, picture.shape[1])]), dtype=np.uint8)


def _tinted(picture: Rgb, outline: Outline) -> Rgb:
    mask = np.zeros(picture.shape[:2], dtype=np.uint8)
    for hull in outline.hulls:
        cv2.fillConvexPoly(mask, _fixed(hull), 255, cv2.LINE_AA, _SHIFT)
    strength = _TINT * mask[..., None] / 255.0
    return np.asarray(picture * (1.0 - strength) + np.array(PREDICTED) * strength, dtype=np.uint8)


def _draw_outline(picture: Rgb, outline: Outline, colour: Colour) -> None:
    """Draw each sample as a short dash along the outline."""
    along = np.stack([-outline.normals[:, 1], outline.normals[:, 0]], axis=1)
    for start, end in zip(outline.pixels - 1.6 * along, outline.pixels + 1.6 * along, strict=True):
        cv2.line(picture, _point(start), _point(end), colour, 2, cv2.LINE_AA, _SHIFT)


def _draw_axes(picture: Rgb, name: str, T_camera_link: Transform, model: CameraModel) -> None:
    points = T_camera_link.apply(np.vstack([np.zeros(3), _AXIS_M * np.eye(3)]))
    if points[:, 2].min() < _NEAREST_M:
        return
    pixels = project(points, model.K, model.distortion)
    if not ((pixels[0] > 0) & (pixels[0] < [model.width_px, model.height_px])).all():
        return
    for end, colour in zip(pixels[1:], _AXES, strict=True):
        cv2.line(picture, _point(pixels[0]), _point(end), _PAPER, 7, cv2.LINE_AA, _SHIFT)
        cv2.line(picture, _point(pixels[0]), _point(end), colour, 4, cv2.LINE_AA, _SHIFT)
    _label(picture, name, (_SCALE * pixels[0] + [10, -14]).round().astype(int))


def _label(picture: Rgb, text: str, corner: NDArray[np.int64]) -> None:
    x, y = int(corner[0]), int(corner[1])
    (width, height), below = cv2.getTextSize(text, _FONT, 0.55, 1)
    cv2.rectangle(picture, (x - 4, y - height - 4), (x + width + 4, y + below), _PAPER, -1)
    cv2.putText(picture, text, (x, y), _FONT, 0.55, _INK, 1, cv2.LINE_AA)


def _caption(check: CameraCheck, width_px: int) -> Rgb:
    lines: list[tuple[Colour | None, str]] = [(_STATUS_COLOURS[check.status], f"{check.camera}: {check.status.value}")]
    for finding in check.findings:
        text = f"{finding.check}: {finding.message}".replace("±", "+-")
        first, *others = _wrapped(text, width_px // _COLUMN_PX)
        lines += [(_STATUS_COLOURS[finding.status], first), *((None, other) for other in others)]
    lines += [(PREDICTED, "where the rig file puts the robot")]
    if check.status is Status.FAIL:
        lines += [(FOUND, "where the robot was found")]
    caption = np.full((_LINE_PX * len(lines) + 20, width_px, 3), _PAPER, dtype=np.uint8)
    for index, (colour, text) in enumerate(lines):
        y = _LINE_PX * (index + 1)
        cv2.putText(caption, text, (28, y), _FONT, 0.58, _INK, 1, cv2.LINE_AA)
        if colour is not None:
            cv2.circle(caption, (14, y - 6), 5, colour, -1, cv2.LINE_AA)
    return caption


def _wrapped(text: str, columns: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > columns:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _fixed(pixels: Float) -> NDArray[np.int32]:
    return np.asarray(np.round((pixels + 0.5) * _SCALE * 2**_SHIFT), dtype=np.int32)


def _point(pixel: Float) -> tuple[int, int]:
    x, y = _fixed(pixel)
    return int(x), int(y)
