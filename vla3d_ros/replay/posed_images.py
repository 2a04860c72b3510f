"""Still images of several cameras at known arm poses: a calibration data set, as raw material for a composed bag."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla3d_ros.camera.board import Board
from vla3d_ros.camera.calibration_data import PosedImage, hand_eye_sample, load_image
from vla3d_ros.camera.extrinsics import ExtrinsicsCalibration, calibrate_extrinsics
from vla3d_ros.camera.hand_eye_ransac import HandEyeSample
from vla3d_ros.camera.recorded import load_calibration
from vla3d_ros.datatypes import CameraModel
from vla3d_ros.errors import ConfigError, ShapeError
from vla3d_ros.geometry import Transform

_TABLE = "data.json"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmPose:
    """One arm pose and the JPEG file which each camera took there."""

    T_base_ee: Transform
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PosedImageSet:
    """A data set: intrinsics by camera, and poses in the order in which they were taken."""

    folder: Path
    models: Mapping[str, CameraModel]
    poses: Sequence[ArmPose]

    def calibrated(self, board: Board, generator: np.random.Generator) -> ExtrinsicsCalibration:
        """Estimate where the cameras stand, from a board on the end effector.

        Raises:
            CalibrationError: If the images do not determine it.
        """
        samples = {
            camera: [_sample(pose, camera, board, model) for pose in self.poses]
            for camera, model in self.models.items()
        }
        return calibrate_extrinsics(samples, self.models, generator)


def read_posed_images(folder: Path) -> PosedImageSet:
    """Read a folder with a `data.json` of `intrinsics` and `samples`.

    Each of `intrinsics` has `camera`, `width`, `height`, `fx`, `fy`, `ppx`, `ppy`, `coeffs`; each of `samples` has
    `ee_position_base_m`, `ee_quaternion_base_xyzw` and `images`, in the order of the intrinsics, null where missing.

    Raises:
        ConfigError: If it is missing or has another layout; names what is wrong.
    """
    file = folder / _TABLE
    if not file.is_file():
        raise ConfigError(f"no {_TABLE} in {folder}; expected 'intrinsics' and 'samples' with poses and images")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = [str(entry["camera"]) for entry in content["intrinsics"]]
        models = {name: load_calibration(file, name) for name in names}
        poses = [_pose(entry, names, folder) for entry in content["samples"]]
    except (KeyError, TypeError, ShapeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{file} is not a set of posed images: {error!r}") from error
    missing = [str(path) for pose in poses for path in pose.files.values() if not path.is_file()]
    if missing or not poses:
        raise ConfigError(f"{file}: {len(poses)} samples, images that do not exist: {missing[:5]}")
    return PosedImageSet(folder=folder, models=models, poses=poses)


def _pose(entry: Mapping[str, Any], names: Sequence[str], folder: Path) -> ArmPose:
    pairs = zip(names, entry["images"], strict=True)
    return ArmPose(
        T_base_ee=Transform.from_xyzw(entry["ee_position_base_m"], entry["ee_quaternion_base_xyzw"]),
        files={name: folder / image for name, image in pairs if image},
    )


def _sample(pose: ArmPose, camera: str, board: Board, model: CameraModel) -> HandEyeSample | None:
    file = pose.files.get(camera)
    if file is None:
        return None
    image = PosedImage(camera=camera, name=file.name, load=lambda: load_image(file), T_base_ee=pose.T_base_ee)
    return hand_eye_sample(image, board, model)
