"""A sheet of samples with their truth drawn over them: wrong labels are seen at a glance."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import RecordingError
from vla3d_ros.geometry import project
from vla3d_ros.training.demonstrations.episode_file import Episode, read_episode
from vla3d_ros.training.demonstrations.manifest import read_manifest
from vla3d_ros.training.sample_reader import sample_of
from vla3d_ros.training.samples import MASK_SCALE, TARGET_CUBE, TARGET_PAD, SampleLayout, SceneTruth, TrainingSample

Rgb = NDArray[np.uint8]

_ZOOM = 3
_COLOURS = {TARGET_CUBE: (255, 255, 255), TARGET_PAD: (255, 255, 0)}
_OTHER_COLOUR = (160, 160, 160)
_PATH_COLOUR = (255, 0, 255)
_NEAR_M = 0.02


def draw_sheet(folder: Path, *, episodes: int = 4, samples: int = 3) -> bytes:
    """Draw some samples of a folder of demonstrations.

    Boxes and cell masks of what is seen, points on the whole surface of targets, and the path that the teacher wants
    the end effector to take; each sample is a row, colours on the left and masks on the right.

    Returns:
        A PNG file.

    Raises:
        RecordingError: If there are no samples.
    """
    kept = read_manifest(folder).kept
    if not kept:
        raise RecordingError(f"no samples in {folder}; nothing to draw")
    chosen = [kept[index] for index in np.unique(np.linspace(0, len(kept) - 1, episodes).astype(int))]
    rows = []
    for entry in chosen:
        episode = read_episode(folder / entry.file)
        for row in np.linspace(0, len(episode) - 1, samples + 2).astype(int)[1:-1]:
            title = f"{entry.episode} {entry.variation}: {episode.phases[row]}"
            rows.append(_row(episode, int(row), title))
    _, content = cv2.imencode(".png", np.vstack(rows)[:, :, ::-1])
    return bytes(content.tobytes())


def _row(episode: Episode, row: int, title: str) -> Rgb:
    most = max(len(episode.objects), 1)
    points = max(episode.surfaces.shape[1], 1)
    layout = SampleLayout(
        cameras=episode.cameras,
        arms=episode.arms,
        max_joints=episode.q.shape[-1],
        instances=most,
        surface_points=points,
    )
    sample = sample_of(episode, row, layout)
    pictures = [_picture(sample, view) for view in range(len(episode.cameras))]
    cv2.putText(pictures[0], title, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(pictures[0], episode.instruction, (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return np.hstack(pictures)


def _picture(sample: TrainingSample, view: int) -> Rgb:
    picture = sample.images[view]
    height, width = picture.shape[:2]
    large = cv2.resize(picture, (width * _ZOOM, height * _ZOOM), interpolation=cv2.INTER_NEAREST)
    drawn = np.ascontiguousarray(large, np.uint8)
    masks = drawn.copy()
    if sample.truth is not None:
        for index in np.flatnonzero(sample.truth.object_mask):
            _draw_object(drawn, masks, sample, sample.truth, view, int(index))
    _draw_path(drawn, sample, view)
    return np.hstack([drawn, masks])


def _draw_object(drawn: Rgb, masks: Rgb, sample: TrainingSample, truth: SceneTruth, view: int, index: int) -> None:
    role = int(truth.object_roles[index])
    colour = _COLOURS.get(role, _OTHER_COLOUR)
    cells = np.kron(truth.masks[view, index], np.ones((MASK_SCALE * _ZOOM,) * 2)).astype(bool)
    area = masks[: cells.shape[0], : cells.shape[1]]
    area[cells] = (area[cells] // 2 + np.array(colour, np.uint8) // 2).astype(np.uint8)
    if truth.object_visible[view, index]:
        size = np.array([drawn.shape[1], drawn.shape[0]])
        x, y, width, height = truth.boxes[view, index]
        low, high = (
            (np.array([x - width / 2, y - height / 2]) * size),
            (np.array([x + width / 2, y + height / 2]) * size),
        )
        cv2.rectangle(drawn, tuple(low.astype(int).tolist()), tuple(high.astype(int).tolist()), colour, 1)
        seen = f"{truth.object_seen[view, index]:.2f}"
        cv2.putText(masks, seen, tuple(low.astype(int).tolist()), cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, 1)
    if role in _COLOURS:
        for x, y in _pixels(truth.surface_points[index], sample, view):
            cv2.circle(drawn, (x, y), 1, colour, -1)


def _draw_path(drawn: Rgb, sample: TrainingSample, view: int) -> None:
    for slot in np.flatnonzero(sample.arm_mask & sample.state_mask):
        steps = sample.actions.reshape(len(sample.actions), -1, 10)[:, slot, :3]
        T = sample.T_base_ee[slot]
        path = _pixels(steps @ T[:3, :3].T + T[:3, 3], sample, view)
        for start, end in pairwise(path):
            cv2.line(drawn, start, end, _PATH_COLOUR, 1, cv2.LINE_AA)


def _pixels(points_base: NDArray[np.float32], sample: TrainingSample, view: int) -> list[tuple[int, int]]:
    """Project what is in front of the camera into the enlarged picture."""
    T_camera_base = np.linalg.inv(sample.T_base_camera[view].astype(np.float64))
    points = points_base @ T_camera_base[:3, :3].T + T_camera_base[:3, 3]
    points = points[points[:, 2] > _NEAR_M]
    if not len(points):
        return []
    pixels = (project(points, sample.K[view]) + 0.5) * _ZOOM
    return [(int(x), int(y)) for x, y in np.clip(pixels, -1e4, 1e4)]
