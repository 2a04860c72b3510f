"""Calibration data on disk: a folder of images and, for extrinsics, a table of where the arm was.

`poses.csv` has the columns `image, x, y, z, qx, qy, qz, qw` (metres, unit quaternion: pose of the end effector in the
base frame) and, with several cameras, `camera`. `poses.yaml` is a list of `{image, camera, position_m, xyzw}`. Image
paths are relative to the folder. Rows with the same pose belong together.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from vla3d_ros.camera.board import Board, board_pose
from vla3d_ros.camera.hand_eye_ransac import HandEyeSample
from vla3d_ros.datatypes import CameraModel, Rgb
from vla3d_ros.errors import CalibrationError, ConfigError, ShapeError, join_problems
from vla3d_ros.geometry import Transform

_COLUMNS = ("x", "y", "z", "qx", "qy", "qz", "qw")
_TABLES = ("poses.csv", "poses.yaml")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_WORST_POSE_PX = 3.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PosedImage:
    """One image: which camera took it, a name for messages, how to load it, and where the end effector was."""

    camera: str
    name: str
    load: Callable[[], Rgb]
    T_base_ee: Transform | None


def load_image(path: Path) -> Rgb:
    """Read an image file as RGB.

    Raises:
        ConfigError: If it is no image.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ConfigError(f"{path} is not an image that OpenCV can read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def list_images(folder: Path, camera: str) -> list[PosedImage]:
    """Return all images of one camera; their poses do not matter.

    They are those which a table of poses names for the camera, else those in `<folder>/<camera>`, else all in the
    folder.

    Raises:
        ConfigError: If there are none.
    """
    if any((folder / name).is_file() for name in _TABLES):
        return read_folder(folder, camera)
    place = folder / camera if (folder / camera).is_dir() else folder
    files = sorted(file for file in place.glob("*") if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise ConfigError(f"no images in {place}; expected files ending in {sorted(_SUFFIXES)}")
    return [
        PosedImage(camera=camera, name=file.name, load=lambda file=file: load_image(file), T_base_ee=None)  # type: ignore[misc]
        for file in files
    ]


def read_folder(folder: Path, only_camera: str | None) -> list[PosedImage]:
    """Read `poses.csv` or `poses.yaml`.

    Args:
        folder: Where it lies.
        only_camera: The camera all rows belong to if they name none; rows of others are left out. None: rows must
            name theirs.

    Raises:
        ConfigError: If there is no such table, or it is wrong; lists every problem.
    """
    csv_file, yaml_file = (folder / name for name in _TABLES)
    if csv_file.is_file():
        with csv_file.open(newline="", encoding="utf-8") as stream:
            rows = [_from_csv(row) for row in csv.DictReader(stream, skipinitialspace=True)]
        source = csv_file
    elif yaml_file.is_file():
        rows, source = yaml.safe_load(yaml_file.read_text(encoding="utf-8")), yaml_file
    else:
        raise ConfigError(f"no {csv_file.name} or {yaml_file.name} in {folder}; expected where the arm was per image")
    if not isinstance(rows, list):
        raise ConfigError(f"{source} is {type(rows).__name__}; expected a list of mappings")
    problems: list[str] = []
    images = [_posed(row, number, folder, only_camera, problems) for number, row in enumerate(rows, start=1)]
    if problems:
        raise ConfigError(join_problems(str(source), problems))
    return [image for image in images if image is not None and only_camera in (None, image.camera)]


def hand_eye_sample(image: PosedImage, board: Board, model: CameraModel) -> HandEyeSample | None:
    """Find the board in an image; None if it is not seen, or fits its own pose badly (blur, wrong board).

    Raises:
        CalibrationError: If the image has another size than the intrinsics, or no pose.
    """
    rgb = image.load()
    if image.T_base_ee is None:
        raise CalibrationError(f"image '{image.name}' has no arm pose")
    if rgb.shape[:2] != (model.height_px, model.width_px):
        size = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise CalibrationError(
            f"image '{image.name}' is {size} px, the intrinsics of camera '{image.camera}' are for "
            f"{model.width_px}x{model.height_px} px; calibrate the intrinsics at this size first"
        )
    view = board.detect(rgb)
    if view is None:
        return None
    T_camera_board, error_px = board_pose(view, model)
    if error_px > _WORST_POSE_PX:
        return None
    return HandEyeSample(
        T_base_ee=image.T_base_ee,
        T_camera_board=T_camera_board,
        points_board=view.points_board,
        observed=view.pixels,
    )


def group_by_pose(
    images: Sequence[PosedImage], samples: Sequence[HandEyeSample | None], cameras: Sequence[str]
) -> Mapping[str, list[HandEyeSample | None]]:
    """Sort samples into one list per camera with one entry per arm pose, None where a camera did not see the board."""
    poses: dict[bytes, int] = {}
    for image in images:
        if image.T_base_ee is not None:
            poses.setdefault(image.T_base_ee.matrix.tobytes(), len(poses))
    grouped: dict[str, list[HandEyeSample | None]] = {camera: [None] * len(poses) for camera in cameras}
    for image, sample in zip(images, samples, strict=True):
        if sample is not None and image.T_base_ee is not None and image.camera in grouped:
            grouped[image.camera][poses[image.T_base_ee.matrix.tobytes()]] = sample
    return grouped


def _from_csv(row: Mapping[str, str]) -> dict[str, Any]:
    values = [_number(row.get(column)) for column in _COLUMNS]
    return {**{key: row.get(key) for key in ("image", "camera")}, "position_m": values[:3], "xyzw": values[3:]}


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else float("nan")
    except ValueError:
        return float("nan")


def _posed(row: Any, number: int, folder: Path, camera: str | None, problems: list[str]) -> PosedImage | None:
    where = f"row {number}"
    if not isinstance(row, Mapping) or not row.get("image"):
        problems.append(f"{where} is {row!r}; expected image, position_m (or x, y, z) and xyzw (or qx, qy, qz, qw)")
        return None
    name = row.get("camera") or camera
    if not name:
        problems.append(f"{where} names no camera; add a column 'camera'")
    file = folder / str(row["image"])
    if not file.is_file():
        problems.append(f"{where}: image {file} does not exist")
    try:
        T_base_ee = Transform.from_xyzw(np.asarray(row["position_m"], dtype=np.float64), row["xyzw"])
    except (ShapeError, ValueError, TypeError, KeyError) as error:
        problems.append(f"{where}: {error}")
        return None
    return PosedImage(camera=str(name), name=file.name, load=lambda: load_image(file), T_base_ee=T_base_ee)
