"""The columns of a dataset: names, types, shapes, and what every number in a vector is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec

Float = NDArray[np.float64]

STATE, ACTION = "observation.state", "action"
ABSOLUTE, RELATIVE = "targets.absolute", "targets.relative"
FRAME_STAMP = "capture.frame_stamp_ns"
VIDEO, IMAGE = "video", "image"

_POSE_NAMES = ("x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32")
_GRIPPER = "gripper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column. dtype: a NumPy name, "video" or "image"; names: of the vector's elements, or of the image's axes."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    @property
    def is_visual(self) -> bool:
        """Whether it is a picture."""
        return self.dtype in (VIDEO, IMAGE)

    def to_mapping(self, fps: int) -> dict[str, Any]:
        """Return it as info.json has it."""
        content: dict[str, Any] = {"dtype": self.dtype, "shape": list(self.shape)}
        content["names"] = None if self.names is None else list(self.names)
        if self.dtype == VIDEO:
            content["info"] = {
                "video.height": self.shape[0],
                "video.width": self.shape[1],
                "video.channels": self.shape[2],
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": fps,
                "has_audio": False,
            }
        return content


INDEX_FEATURES = {
    "timestamp": Feature(dtype="float32", shape=(1,)),
    "frame_index": Feature(dtype="int64", shape=(1,)),
    "episode_index": Feature(dtype="int64", shape=(1,)),
    "index": Feature(dtype="int64", shape=(1,)),
    "task_index": Feature(dtype="int64", shape=(1,)),
}


def video_key(camera: str) -> str:
    """Name of a camera's video."""
    return f"observation.images.{camera}"


def depth_key(camera: str) -> str:
    """Name of a camera's depth, outside of `observation.`: trainers would take it for a colour image."""
    return f"depth.{camera}"


def offset_key(camera: str, *, is_depth: bool = False) -> str:
    """Name of what says when the picture of a frame was really taken."""
    return f"capture.{camera}.{'depth_' if is_depth else ''}offset_s"


def state_names(arms: Sequence[ArmSpec]) -> tuple[str, ...]:
    """Name the elements of the state: per arm the pose, the gripper if it has one, the joints."""
    return tuple(name for arm in arms for name in (*_pose_names(arm), *(f"{arm.name}.{j}" for j in arm.joint_names)))


def action_names(arms: Sequence[ArmSpec]) -> tuple[str, ...]:
    """Name the elements of an action: per arm the pose, and the gripper if it has one."""
    return tuple(name for arm in arms for name in _pose_names(arm))


def _pose_names(arm: ArmSpec) -> list[str]:
    names = [*_POSE_NAMES, *([_GRIPPER] if arm.gripper else [])]
    return [f"{arm.name}.{name}" for name in names]


def pose_vectors(Ts_a_b: Float) -> Float:
    """Return (N, 9): position in metres, then the first and the second column of the rotation matrix.

    Args:
        Ts_a_b: (N, 4, 4).
    """
    return np.concatenate([Ts_a_b[:, :3, 3], Ts_a_b[:, :3, 0], Ts_a_b[:, :3, 1]], axis=1)


def vector_features(arms: Sequence[ArmSpec]) -> dict[str, Feature]:
    """Return state, action and targets."""
    state, action = state_names(arms), action_names(arms)
    told = Feature(dtype="float32", shape=(len(action),), names=action)
    return {
        STATE: Feature(dtype="float32", shape=(len(state),), names=state),
        ACTION: told,
        ABSOLUTE: told,
        RELATIVE: told,
        FRAME_STAMP: Feature(dtype="int64", shape=(1,)),
    }


def camera_features(camera: str, height_px: int, width_px: int, *, has_depth: bool) -> dict[str, Feature]:
    """Return what belongs to one camera: pictures, when they were taken, K and T_base_camera, both row by row."""
    axes = ("height", "width", "channels")
    K = tuple(f"K{row}{column}" for row in range(3) for column in range(3))
    T = tuple(f"T{row}{column}" for row in range(4) for column in range(4))
    found = {
        video_key(camera): Feature(dtype=VIDEO, shape=(height_px, width_px, 3), names=axes),
        offset_key(camera): Feature(dtype="float32", shape=(1,)),
        f"camera.{camera}.K": Feature(dtype="float32", shape=(9,), names=K),
        f"camera.{camera}.T_base_camera": Feature(dtype="float32", shape=(16,), names=T),
    }
    if has_depth:
        found[depth_key(camera)] = Feature(dtype=IMAGE, shape=(height_px, width_px, 1), names=axes)
        found[offset_key(camera, is_depth=True)] = Feature(dtype="float32", shape=(1,))
    return found
