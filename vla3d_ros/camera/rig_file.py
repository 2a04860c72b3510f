"""Write the result of a calibration into a rig file, leaving everything else in it, comments included, as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from vla3d_ros.camera.calibration_record import CalibrationRecord
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform

_METRE_DIGITS = 6
_QUATERNION_DIGITS = 8
_PIXEL_DIGITS = 4
_DISTORTION_DIGITS = 6

_Change: TypeAlias = "tuple[Mapping[str, Any], Mapping[str, CalibrationRecord]]"


def write_intrinsics(path: Path, camera: str, model: CameraModel, record: CalibrationRecord, out: Path) -> None:
    """Replace a camera's image size, K and distortion.

    Args:
        path: The rig file.
        camera: Name in it.
        model: The calibrated intrinsics.
        record: How they were found.
        out: Where to write; if it exists, a copy `<out>.bak` of what it was is kept.

    Raises:
        ConfigError: If the file can not be edited.
    """
    K = [round(float(value), _PIXEL_DIGITS) for value in model.K.ravel()]
    values: dict[str, Any] = {
        "width_px": model.width_px,
        "height_px": model.height_px,
        "K": K,
        "distortion": [round(float(value), _DISTORTION_DIGITS) for value in model.distortion],
    }
    _edit(path, {camera: (values, {"intrinsics": record})}, out)


def write_extrinsics(path: Path, mounts: Mapping[str, tuple[Transform, CalibrationRecord]], out: Path) -> None:
    """Replace the mounts of cameras, all at once.

    Args:
        path: The rig file.
        mounts: T_parent_camera and how it was found, by camera.
        out: Where to write; if it exists, a copy `<out>.bak` of what it was is kept.

    Raises:
        ConfigError: If the file can not be edited.
    """
    rig = load_rig(path)
    changes: dict[str, _Change] = {}
    for camera, (T_parent_camera, record) in mounts.items():
        mount = rig.camera(camera).mount
        values = {
            "parent_frame": mount.parent_frame,
            "optical_frame": mount.optical_frame,
            "position_m": [round(float(value), _METRE_DIGITS) for value in T_parent_camera.translation],
            "xyzw": [round(float(value), _QUATERNION_DIGITS) for value in T_parent_camera.xyzw],
        }
        changes[camera] = ({"mount": values}, {"extrinsics": record})
    _edit(path, changes, out)


def _edit(path: Path, changes: Mapping[str, _Change], out: Path) -> None:
    rig = load_rig(path)  # refuses a file that is wrong already
    lines = path.read_text(encoding="utf-8").splitlines()
    for camera, (values, records) in changes.items():
        known = {kind: record.to_yaml() for kind, record in {**rig.camera(camera).calibration, **records}.items()}
        for key, value in {**values, "calibration": known}.items():
            lines = _with_key(lines, camera, key, value, path)
    partial = out.with_name(f"{out.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        load_rig(partial)
    except ConfigError:
        partial.unlink()
        raise
    if out.exists():
        out.with_name(f"{out.name}.bak").write_text(out.read_text(encoding="utf-8"), encoding="utf-8")
    partial.replace(out)


def _with_key(lines: list[str], camera: str, key: str, value: Any, path: Path) -> list[str]:
    """Return the lines with one key of one camera replaced or added."""
    start, end, indent = _camera_block(lines, camera, path)
    block = _dump(key, value, indent)
    first = next((i for i in range(start, end) if re.match(rf"{' ' * indent}{re.escape(key)}\s*:", lines[i])), None)
    if first is None:
        while lines[end - 1].strip() == "" or lines[end - 1].lstrip().startswith("#"):
            end -= 1
        return [*lines[:end], *block, *lines[end:]]
    last = first + 1
    while last < end and (lines[last].startswith(" " * (indent + 1)) or not lines[last].strip()):
        last += 1
    while not lines[last - 1].strip():
        last -= 1
    return [*lines[:first], *block, *lines[last:]]


def _camera_block(lines: list[str], camera: str, path: Path) -> tuple[int, int, int]:
    """Return the range of the camera's lines below its name, and their indentation."""
    top = next((i for i, line in enumerate(lines) if re.match(r"cameras\s*:", line)), None)
    name = re.compile(rf"(\s+){re.escape(camera)}\s*:\s*(#.*)?$")
    start = next((i for i in range((top or 0) + 1, len(lines)) if name.match(lines[i])), None)
    if top is None or start is None or start + 1 >= len(lines):
        raise ConfigError(
            f"{path}: camera '{camera}' is not written as a block of lines below 'cameras:'; expected block style, "
            "one key a line, so that it can be edited"
        )
    outer = _indent(lines[start])
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > outer):
        end += 1
    return start + 1, end, _indent(next(line for line in lines[start + 1 :] if line.strip()))


def _dump(key: str, value: Any, indent: int) -> list[str]:
    """Write mappings as blocks, everything else on one line."""
    head = f"{' ' * indent}{key}:"
    if isinstance(value, Mapping):
        return [head, *(line for name, inner in value.items() for line in _dump(name, inner, indent + 2))]
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("...\n").strip()
    return [f"{head} {text}"]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
