"""Short names for everything that decides what a replay gives, so that a change can be named and not only noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import CameraModel, CameraMount
from vla3d_ros.errors import ConfigError

_DIGITS = 16
_STORAGE = (".mcap", ".db3", ".zstd")
_ROUNDING_MM, _ROUNDING_RAD = 1e-6, 1e-7
_IGNORED = {"__pycache__"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFingerprint:
    """One camera's calibration: intrinsics [fx, fy, cx, cy, *distortion], parent frame, position m, xyzw."""

    intrinsics: tuple[float, ...]
    parent_frame: str
    position_m: tuple[float, ...]
    xyzw: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """policy: hash per file or setting; cameras: calibration by name; bag, robot, bounds: hashes."""

    policy: Mapping[str, str]
    cameras: Mapping[str, CameraFingerprint]
    bag: str
    robot: str
    bounds: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Fingerprint:
        """Read what `to_json` wrote."""
        cameras = {
            name: CameraFingerprint(
                intrinsics=tuple(camera["intrinsics"]),
                parent_frame=camera["parent_frame"],
                position_m=tuple(camera["position_m"]),
                xyzw=tuple(camera["xyzw"]),
            )
            for name, camera in content["cameras"].items()
        }
        rest = {key: content[key] for key in ("policy", "bag", "robot", "bounds")}
        return cls(cameras=cameras, **rest)

    def differences(self, reference: Fingerprint) -> list[str]:
        """Say in sentences what is not as it was in the reference."""
        return [
            *_policy_differences(self.policy, reference.policy),
            *_camera_differences(self.cameras, reference.cameras),
            *(["the bag is another one, or was changed"] if self.bag != reference.bag else []),
            *(["the robot file or URDF was changed"] if self.robot != reference.robot else []),
            *(["the bounds of the deployment were changed"] if self.bounds != reference.bounds else []),
        ]


def hash_bytes(content: bytes) -> str:
    """Return 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def hash_values(values: Any) -> str:
    """Return 16 hexadecimal digits over plain values, whatever the order of their keys."""
    return hash_bytes(json.dumps(values, sort_keys=True, default=str).encode())


def policy_fingerprint(settings: Mapping[str, Any], package: Path | None) -> dict[str, str]:
    """Return a hash for every part of a policy.

    Args:
        settings: Sections of its settings.
        package: Folder with weights and manifest; None for a policy without.

    Raises:
        ConfigError: If there is no such folder.
    """
    parts = {f"setting '{key}'": hash_values(value) for key, value in sorted(settings.items())}
    if package is None:
        return parts
    if not package.is_dir():
        raise ConfigError(f"no policy package at {package}; expected a folder")
    files = sorted(f for f in package.rglob("*") if f.is_file() and not _IGNORED & set(f.parts))
    return parts | {f"file {file.relative_to(package)}": hash_bytes(file.read_bytes()) for file in files}


def bag_fingerprint(path: Path) -> str:
    """Return a hash over the storage files of a bag, in order of their names."""
    files = sorted(f for f in path.iterdir() if f.suffix in _STORAGE) if path.is_dir() else [path]
    hashed = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                hashed.update(block)
    return hashed.hexdigest()[:_DIGITS]


def camera_fingerprints(
    models: Mapping[str, CameraModel], mounts: Mapping[str, CameraMount]
) -> dict[str, CameraFingerprint]:
    """Return the calibration of every camera that has intrinsics and a mount."""
    return {name: _camera(model, mounts[name]) for name, model in sorted(models.items()) if name in mounts}


def _camera(model: CameraModel, mount: CameraMount) -> CameraFingerprint:
    K = model.K
    return CameraFingerprint(
        intrinsics=(float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]), *model.distortion.tolist()),
        parent_frame=mount.parent_frame,
        position_m=tuple(mount.T_parent_camera.translation.tolist()),
        xyzw=tuple(mount.T_parent_camera.xyzw.tolist()),
    )


def _policy_differences(got: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    changed = [part for part in got if part in reference and got[part] != reference[part]]
    added, gone = sorted(set(got) - set(reference)), sorted(set(reference) - set(got))
    if "setting 'backend'" in changed or (not set(got) & set(reference) and got != reference):
        return ["the policy is another one"]
    sentences = [f"policy: {part} was changed" for part in changed]
    sentences += [f"policy: {part} is new" for part in added]
    return sentences + [f"policy: {part} is gone" for part in gone]


def _camera_differences(got: Mapping[str, CameraFingerprint], reference: Mapping[str, CameraFingerprint]) -> list[str]:
    sentences = [f"view of camera '{name}' is gone" for name in reference if name not in got]
    sentences += [f"view of camera '{name}' is new" for name in got if name not in reference]
    for name, now in got.items():
        then = reference.get(name)
        if then is None or now == then:
            continue
        sentences += [f"calibration of camera '{name}': {what}" for what in _calibration_differences(now, then)]
    return sentences


def _calibration_differences(now: CameraFingerprint, then: CameraFingerprint) -> Sequence[str]:
    sentences = []
    if now.intrinsics != then.intrinsics:
        sentences.append(f"intrinsics were {list(then.intrinsics)}, are {list(now.intrinsics)}")
    if now.parent_frame != then.parent_frame:
        sentences.append(f"it was mounted on '{then.parent_frame}', is on '{now.parent_frame}'")
    moved_mm = 1e3 * float(np.linalg.norm(np.subtract(now.position_m, then.position_m)))
    turned = (Rotation.from_quat(now.xyzw).inv() * Rotation.from_quat(then.xyzw)).magnitude()
    if moved_mm > _ROUNDING_MM or turned > _ROUNDING_RAD:  # a rig file and the wire differ in the last bits
        sentences.append(f"extrinsics moved by {moved_mm:.3f} mm and {np.degrees(turned):.4f} deg")
    return sentences
