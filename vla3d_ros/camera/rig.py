"""Camera rig files: which cameras there are, their intrinsics and where they sit. Pure YAML, no devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.camera.calibration_record import CalibrationRecord, read_records
from vla3d_ros.datatypes import CameraModel, CameraMount
from vla3d_ros.errors import ConfigError, ShapeError, join_problems
from vla3d_ros.geometry import Transform

_RIG_KEYS = {"anchor", "rate_hz", "max_skew_ms", "cameras"}
_CAMERA_KEYS = {"source", "width_px", "height_px", "K", "distortion", "mount", "settings", "calibration"}
_MOUNT_KEYS = {"parent_frame", "optical_frame", "position_m", "look_at_m", "up", "xyzw"}
_DISTORTION_SIZES = (0, 5)
_K_SIZE = 9
_SMALLEST_M = 1e-9
_SMALLEST_SINE = 1e-6


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraSpec:
    """One camera of a rig: what provides its images (`source`), intrinsics, mount, and the source's own settings.

    `calibration` says where intrinsics and extrinsics come from, by kind; empty if they were written by hand.
    """

    name: str
    source: str
    model: CameraModel
    mount: CameraMount
    settings: Mapping[str, Any]
    calibration: Mapping[str, CalibrationRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraRig:
    """All cameras of a deployment. `anchor` is the camera whose capture time stamps a set of views."""

    cameras: tuple[CameraSpec, ...]
    anchor: str
    max_skew_ms: float
    rate_hz: float

    def camera(self, name: str) -> CameraSpec:
        """Return the camera of that name.

        Raises:
            ConfigError: If the rig has no such camera.
        """
        for spec in self.cameras:
            if spec.name == name:
                return spec
        raise ConfigError(f"the rig has no camera '{name}'; available: {[spec.name for spec in self.cameras]}")


def load_rig(path: Path) -> CameraRig:
    """Read a camera rig file.

    Args:
        path: `config/cameras/<rig>.yaml`.

    Raises:
        ConfigError: If the file is missing or wrong; lists every problem with camera, value, expectation and remedy.
    """
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"no camera rig file {path}; available: {available}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"camera rig {path} is not valid YAML: {error}") from error
    return _RigReader(path).read(content)


class _RigReader:
    """Collects every problem of one file before complaining."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []

    def read(self, content: Any) -> CameraRig:
        rig = self._section(content, "the file", _RIG_KEYS)
        rate_hz = self._positive(rig, "rate_hz", "the file")
        max_skew_ms = self._positive(rig, "max_skew_ms", "the file")
        listed = rig.get("cameras")
        if not isinstance(listed, Mapping) or not listed:
            self._problems.append(f"'cameras' is {listed!r}; expected a mapping from camera name to its description")
            listed = {}
        specs = [self._camera(str(name), value) for name, value in listed.items()]
        anchor = rig.get("anchor")
        if anchor not in listed:
            self._problems.append(f"anchor is {anchor!r}; expected one of the cameras {sorted(map(str, listed))}")
        if self._problems:
            raise ConfigError(join_problems(f"camera rig {self._path}", self._problems))
        cameras = tuple(spec for spec in specs if spec is not None)
        return CameraRig(cameras=cameras, anchor=str(anchor), max_skew_ms=max_skew_ms, rate_hz=rate_hz)

    def _camera(self, name: str, value: Any) -> CameraSpec | None:
        where = f"camera '{name}'"
        before = len(self._problems)
        camera = self._section(value, where, _CAMERA_KEYS)
        source = self._text(camera, "source", where)
        model = self._model(camera, where)
        mount = self._mount(name, camera.get("mount"), where)
        settings = camera.get("settings") or {}
        if not isinstance(settings, Mapping):
            self._problems.append(f"{where}: 'settings' is {settings!r}; expected a mapping")
        records, problems = read_records(camera.get("calibration"), where)
        self._problems += problems
        if model is None or mount is None or len(self._problems) > before:
            return None
        return CameraSpec(
            name=name, source=source, model=model, mount=mount, settings=dict(settings), calibration=records
        )

    def _model(self, camera: Mapping[str, Any], where: str) -> CameraModel | None:
        before = len(self._problems)
        width_px = self._pixels(camera, "width_px", where)
        height_px = self._pixels(camera, "height_px", where)
        flat = self._vector(camera, "K", where, (_K_SIZE,), "9 numbers, row major [fx, 0, cx, 0, fy, cy, 0, 0, 1]")
        distortion = np.zeros(0)
        if camera.get("distortion") is not None:
            found = self._vector(camera, "distortion", where, _DISTORTION_SIZES, "[] or [k1, k2, p1, p2, k3]")
            distortion = distortion if found is None else found
        if flat is None or len(self._problems) > before:
            return None
        K = flat.reshape(3, 3)
        problem = _intrinsics_problem(K, width_px, height_px)
        if problem:
            self._problems.append(f"{where}: {problem}")
            return None
        return CameraModel(width_px=width_px, height_px=height_px, K=K, distortion=distortion)

    def _mount(self, name: str, value: Any, where: str) -> CameraMount | None:
        where = f"{where}, mount"
        before = len(self._problems)
        mount = self._section(value, where, _MOUNT_KEYS)
        parent = self._text(mount, "parent_frame", where)
        optical = self._text(mount, "optical_frame", where)
        position = self._vector(mount, "position_m", where, (3,), "3 numbers in metres")
        if ("look_at_m" in mount) == ("xyzw" in mount):
            self._problems.append(f"{where}: expected exactly one of 'look_at_m' (a point) and 'xyzw' (a quaternion)")
        if position is None or len(self._problems) > before:
            return None
        try:
            T_parent_camera = self._optical_pose(mount, position, where)
        except ShapeError as error:
            self._problems.append(f"{where}: {error}")
            return None
        if T_parent_camera is None:
            return None
        return CameraMount(camera=name, parent_frame=parent, optical_frame=optical, T_parent_camera=T_parent_camera)

    def _optical_pose(self, mount: Mapping[str, Any], p: NDArray[np.float64], where: str) -> Transform | None:
        if "xyzw" in mount:
            xyzw = self._vector(mount, "xyzw", where, (4,), "a unit quaternion x, y, z, w")
            return None if xyzw is None else Transform.from_xyzw(p, xyzw)
        target = self._vector(mount, "look_at_m", where, (3,), "3 numbers in metres")
        up = np.array([0.0, 0.0, 1.0])
        if "up" in mount:
            given = self._vector(mount, "up", where, (3,), "3 numbers, a direction")
            up = up if given is None else given
        return None if target is None else look_at(p, target, up)

    def _section(self, value: Any, where: str, known: set[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self._problems.append(f"{where} is {value!r}; expected a mapping with keys {sorted(known)}")
            return {}
        unknown = sorted(set(map(str, value)) - known)
        if unknown:
            self._problems.append(f"{where}: unknown keys {unknown}; available: {sorted(known)}")
        return value

    def _text(self, section: Mapping[str, Any], key: str, where: str) -> str:
        value = section.get(key)
        if not isinstance(value, str) or not value:
            self._problems.append(f"{where}: '{key}' is {value!r}; expected a non-empty string")
        return str(value)

    def _positive(self, section: Mapping[str, Any], key: str, where: str) -> float:
        value = section.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            self._problems.append(f"{where}: '{key}' is {value!r}; expected a positive number")
            return 1.0
        return float(value)

    def _pixels(self, section: Mapping[str, Any], key: str, where: str) -> int:
        value = section.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            self._problems.append(f"{where}: '{key}' is {value!r}; expected a positive whole number of pixels")
            return 1
        return value

    def _vector(
        self, section: Mapping[str, Any], key: str, where: str, sizes: Sequence[int], expected: str
    ) -> NDArray[np.float64] | None:
        value = section.get(key)
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.full(1, np.nan)
        if array.ndim != 1 or array.size not in sizes or not np.isfinite(array).all():
            self._problems.append(f"{where}: '{key}' is {value!r}; expected {expected}")
            return None
        return array


def look_at(position_m: NDArray[np.float64], target_m: NDArray[np.float64], up: NDArray[np.float64]) -> Transform:
    """Build the pose of an optical frame that looks at a point.

    Args:
        position_m: (3,) origin of the camera in its parent frame.
        target_m: (3,) the point on the optical axis, in the parent frame.
        up: (3,) direction in the parent frame that is up in the image.

    Returns:
        `T_parent_camera`.

    Raises:
        ShapeError: If the target is the camera itself, or lies in the direction of `up`.
    """
    forward = target_m - position_m
    right = np.cross(forward, up)
    distance_m = float(np.linalg.norm(forward))
    if distance_m < _SMALLEST_M or np.linalg.norm(right) < _SMALLEST_SINE * distance_m * np.linalg.norm(up):
        raise ShapeError(
            f"camera at {position_m.tolist()} looking at {target_m.tolist()} with up {up.tolist()} has no defined "
            "rotation; expected another point, and an up direction that is not the viewing direction"
        )
    z = forward / distance_m
    x = right / np.linalg.norm(right)
    return Transform.from_rotation(np.stack([x, np.cross(z, x), z], axis=1), position_m)


def _intrinsics_problem(K: NDArray[np.float64], width_px: int, height_px: int) -> str | None:
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    shape = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    if not np.array_equal(K, shape) or fx <= 0 or fy <= 0:
        return f"'K' is {K.ravel().tolist()}; expected [fx, 0, cx, 0, fy, cy, 0, 0, 1] with fx, fy > 0"
    if not (0.25 * width_px < cx < 0.75 * width_px and 0.25 * height_px < cy < 0.75 * height_px):
        return (
            f"the principal point ({cx:g}, {cy:g}) px of 'K' is far from the centre of a {width_px}x{height_px} image; "
            "expected the intrinsics of this image size: correct width_px and height_px, or calibrate at this size"
        )
    return None
