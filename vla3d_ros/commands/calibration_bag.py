"""Calibration images from a bag: those taken while the arm stood still, one per place where it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.camera.calibration_data import PosedImage
from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.errors import RecordingError
from vla3d_ros.geometry import Transform
from vla3d_ros.recording.bag_images import BagImages
from vla3d_ros.recording.episode_reader import read_episode
from vla3d_ros.recording.episode_trace import EpisodeTrace, JointTrack

_STILL_RAD = 0.002  # of any joint
_STILL_NS = 300_000_000  # that long before and after the image
_ELSEWHERE_M = 0.02
_ELSEWHERE_RAD = float(np.radians(5.0))


def read_bag(path: Path, embodiment: Embodiment, cameras: Sequence[CameraSpec]) -> list[PosedImage]:
    """Pick the images of the first arm's rests.

    Args:
        path: Bag folder or storage file, with joint states and image topics.
        embodiment: The robot, whose forward kinematics gives the end effector's poses.
        cameras: Which cameras.

    Returns:
        Images of all cameras; those of one rest have the same pose.

    Raises:
        RecordingError: If the bag has no joint states, or the arm never stood still.
    """
    episode = read_episode(path)
    if episode.joints is None:
        raise RecordingError(f"bag {path} has no joint states; record them together with the images")
    arm, robot = embodiment.arms[0], RobotPoses(embodiment)
    rests = _rests(episode.joints, arm.joint_names)
    places: list[tuple[int, int, Transform]] = []
    for start_ns, end_ns, row in rests:
        links = robot.place(episode.joints.names, episode.joints.q[row])
        T_base_ee = links[arm.base_frame].inverse() @ links[arm.ee_frame]
        if all(_is_elsewhere(T_base_ee, other) for *_, other in places):
            places.append((start_ns, end_ns, T_base_ee))
    if not places:
        raise RecordingError(f"bag {path}: the arm never stood still for {2e-9 * _STILL_NS:g} s; stop at every pose")
    return [image for camera in cameras for image in _images(path, episode, camera, places)]


def _images(
    path: Path, episode: EpisodeTrace, camera: CameraSpec, places: Sequence[tuple[int, int, Transform]]
) -> list[PosedImage]:
    """Return the image in the middle of every rest."""
    recording = BagImages(path, camera)
    track = next((track for track in episode.cameras if track.camera == camera.name), None)
    first_ns = track.first.stamp_ns if track else episode.start_ns
    stamps = np.array(recording.offsets_ns, dtype=np.int64) - recording.offsets_ns[0] + first_ns
    wanted: dict[int, Transform] = {}
    for start_ns, end_ns, T_base_ee in places:
        index = int(np.abs(stamps - (start_ns + end_ns) // 2).argmin())
        if start_ns <= stamps[index] <= end_ns:
            wanted[index] = T_base_ee
    images = []
    for index, decode in enumerate(recording.frames()):
        if index in wanted:
            rgb = decode()
            name = f"{camera.name}@{stamps[index]}"
            images.append(
                PosedImage(camera=camera.name, name=name, load=lambda rgb=rgb: rgb, T_base_ee=wanted[index])  # type: ignore[misc]
            )
    return images


def _rests(joints: JointTrack, names: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return (start_ns, end_ns, row in the middle) of every time the named joints did not move."""
    columns = [joints.names.index(name) for name in names if name in joints.names]
    if len(columns) < len(names):
        raise RecordingError(f"the bag's joint states have {list(joints.names)}; expected {list(names)}")
    q: NDArray[np.float64] = joints.q[:, columns]
    rests, start = [], 0
    for row in range(1, len(q) + 1):
        if row < len(q) and np.abs(q[row] - q[start]).max() <= _STILL_RAD:
            continue
        first_ns, last_ns = int(joints.stamps_ns[start]), int(joints.stamps_ns[row - 1])
        if last_ns - first_ns >= 2 * _STILL_NS:
            rests.append((first_ns + _STILL_NS, last_ns - _STILL_NS, (start + row - 1) // 2))
        start = row
    return rests


def _is_elsewhere(T: Transform, other: Transform) -> bool:
    distance_m, angle_rad = T.distance_to(other)
    return distance_m > _ELSEWHERE_M or angle_rad > _ELSEWHERE_RAD
