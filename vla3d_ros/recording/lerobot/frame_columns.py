"""The numbers of every frame: state, what was commanded, and where the cameras were when they took the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraModel, CameraMount
from vla3d_ros.recording.lerobot import features as names
from vla3d_ros.recording.lerobot.arm_tracks import ArmTrack
from vla3d_ros.recording.lerobot.commanded import Commands

Float = NDArray[np.float64]
Stamps = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]

_NS = 1_000_000_000


def vector_columns(
    tracks: Sequence[ArmTrack], commands: Sequence[Commands], frames_ns: Stamps, fps: int, is_relative: bool
) -> Columns:
    """Return state, action, targets and stamps of the frames.

    Args:
        tracks: Every arm as it was measured.
        commands: What every arm was told, in the same order.
        frames_ns: (N,).
        fps: A frame's action is what was commanded for one period later.
        is_relative: Whether the action is the relative target.
    """
    next_ns = frames_ns + (_NS + fps // 2) // fps
    states, absolute, relative = [], [], []
    for track, told in zip(tracks, commands, strict=True):
        Ts_base_ee = track.poses_at(frames_ns)
        Ts_base_target, opening = told.at(next_ns)
        grips = [opening[:, None]] if track.spec.gripper else []
        held = [track.opening_at(frames_ns)[:, None]] if track.spec.gripper else []
        states += [names.pose_vectors(Ts_base_ee), *held, track.q_at(frames_ns)]
        absolute += [names.pose_vectors(Ts_base_target), *grips]
        relative += [names.pose_vectors(np.linalg.inv(Ts_base_ee) @ Ts_base_target), *grips]
    targets = {names.ABSOLUTE: _joined(absolute), names.RELATIVE: _joined(relative)}
    action = targets[names.RELATIVE if is_relative else names.ABSOLUTE]
    return {names.STATE: _joined(states), names.ACTION: action, **targets, names.FRAME_STAMP: frames_ns}


def camera_columns(model: CameraModel, mount: CameraMount, tracks: Sequence[ArmTrack], taken_ns: Stamps) -> Columns:
    """Return K and T_base_camera of one camera for every frame, the latter at the time of the capture.

    Args:
        model: Intrinsics.
        mount: Extrinsics, in the base or on an end effector.
        tracks: Every arm.
        taken_ns: (N,) when the pictures shown were taken, within the arm's track.
    """
    Ts_base_camera = np.repeat(mount.T_parent_camera.matrix[None], len(taken_ns), axis=0)
    carrier = next((track for track in tracks if track.spec.ee_frame == mount.parent_frame), None)
    if carrier is not None:
        Ts_base_camera = carrier.poses_at(taken_ns) @ mount.T_parent_camera.matrix
    K = np.repeat(model.K.reshape(1, 9), len(taken_ns), axis=0)
    return {
        f"camera.{mount.camera}.K": K.astype(np.float32),
        f"camera.{mount.camera}.T_base_camera": Ts_base_camera.reshape(-1, 16).astype(np.float32),
    }


def _joined(parts: Sequence[Float]) -> NDArray[np.float32]:
    return np.concatenate(parts, axis=1).astype(np.float32)
