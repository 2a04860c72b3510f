"""Recorded demonstrations as training samples, by number: the same number, the same sample."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.manifest import ACTION_WIDTH
from vla3d_ros.policy.preprocess import pose_numbers, stand_in_intrinsics
from vla3d_ros.training.demonstrations.episode_file import (
    Episode,
    read_episode,
    unpack_depth,
    unpack_numbers,
    unpack_picture,
)
from vla3d_ros.training.demonstrations.manifest import DemonstrationManifest, read_manifest
from vla3d_ros.training.samples import MASK_SCALE, SampleLayout, SceneTruth, TrainingSample

_MEGABYTE = 1 << 20
_FEWEST_PIXELS = 4  # of an object in a picture that can be found there
_CELL_SHARE = 0.25


class SampleReader:
    """All samples of a folder; episodes stay packed in memory once they were read."""

    def __init__(
        self,
        folder: Path,
        layout: SampleLayout,
        *,
        episodes: Collection[int] | None = None,
        has_pictures: bool = True,
        cache_mb: float = 4096.0,
    ) -> None:
        """Read the manifest; episodes are read when they are asked for.

        Args:
            folder: Of demonstrations.
            layout: How recordings fill the policy's slots.
            episodes: Which to read; None = all that were kept.
            has_pictures: False leaves pictures, depth and truth out: quick, for statistics of states and actions.
            cache_mb: Packed episodes beyond this are read again when they are needed again.

        Raises:
            RecordingError: If there are no demonstrations.
            ConfigError: If the layout names cameras or arms that were not recorded.
        """
        self.manifest: DemonstrationManifest = read_manifest(folder)
        self._folder, self._layout, self._has_pictures = folder, layout, has_pictures
        self._entries = [e for e in self.manifest.kept if episodes is None or e.episode in episodes]
        counts = [entry.samples for entry in self._entries]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.episodes: NDArray[np.int64] = np.repeat([entry.episode for entry in self._entries], counts).astype(
            np.int64
        )
        """(n,) which episode each sample is from."""
        self._cache: OrderedDict[int, Episode] = OrderedDict()
        self._cache_bytes = int(cache_mb * _MEGABYTE)
        if self._entries:
            _require_fit(self._episode(0), layout)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> TrainingSample:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[place])
        number = self._entries[place].episode
        return sample_of(self._episode(place), row, self._layout, number=number, has_pictures=self._has_pictures)

    def phase(self, index: int) -> str:
        """Return what the teacher was doing at a sample."""
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._episode(place).phases[index - int(self._starts[place])]

    def _episode(self, place: int) -> Episode:
        if place in self._cache:
            self._cache.move_to_end(place)
            return self._cache[place]
        episode = read_episode(self._folder / self._entries[place].file)
        self._cache[place] = episode
        while len(self._cache) > 1 and sum(kept.size_bytes for kept in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return episode


def sample_of(
    episode: Episode, row: int, layout: SampleLayout, *, number: int = 0, has_pictures: bool = True
) -> TrainingSample:
    """Return one sample of an episode.

    Args:
        episode: The episode.
        row: Which of its samples.
        layout: How it fills the policy's slots.
        number: Of the episode, for the sample.
        has_pictures: False: pictures and depth are (V, 1, 1), black, and there is no truth.
    """
    views = [_view(episode, row, camera, has_pictures=has_pictures) for camera in layout.cameras]
    shape = next((view["picture"].shape for view in views if view is not None), (1, 1, 3))
    filled = [view or _missing_view(shape) for view in views]
    truth = _truth(episode, row, layout, filled) if has_pictures and episode.objects else None
    return TrainingSample(
        images=np.stack([view["picture"] for view in filled]),
        view_mask=np.array([view is not None for view in views]),
        K=np.stack([view["K"] for view in filled]).astype(np.float32),
        T_base_camera=np.stack([view["T_base_camera"] for view in filled]).astype(np.float32),
        depth_m=np.stack([view["depth"] for view in filled]),
        **_arms(episode, row, layout),
        embodiment=layout.embodiment,
        instruction=episode.instruction,
        truth=truth,
        episode=number,
        stamp_ns=int(episode.stamps_ns[row]),
    )


def _view(episode: Episode, row: int, camera: str | None, *, has_pictures: bool) -> dict[str, Any] | None:
    if camera is None:
        return None
    place = episode.cameras.index(camera)
    file = row * len(episode.cameras) + place
    if not episode.pictures[file]:
        return None
    picture = unpack_picture(episode.pictures[file]) if has_pictures else np.zeros((1, 1, 3), np.uint8)
    has_depth = has_pictures and bool(episode.depths[file])
    depth = unpack_depth(episode.depths[file]) if has_depth else np.zeros(picture.shape[:2], np.float32)
    has_truth = has_pictures and bool(episode.numbers[file])
    return {
        "picture": picture,
        "depth": depth,
        "numbers": unpack_numbers(episode.numbers[file]) if has_truth else np.zeros(picture.shape[:2], np.uint8),
        "K": episode.K[row, place],
        "T_base_camera": episode.T_base_camera[row, place],
        "seen": episode.seen[row, place],
    }


def _missing_view(shape: tuple[int, ...]) -> dict[str, Any]:
    height, width, _ = shape
    return {
        "picture": np.zeros(shape, np.uint8),
        "depth": np.zeros((height, width), np.float32),
        "numbers": np.zeros((height, width), np.uint8),
        "K": stand_in_intrinsics(width, height),
        "T_base_camera": np.eye(4),
        "seen": None,
    }


def _arms(episode: Episode, row: int, layout: SampleLayout) -> dict[str, NDArray[Any]]:
    slots, joints = len(layout.arms), episode.q.shape[-1]
    steps = episode.actions.shape[1]
    state = np.zeros((slots, ACTION_WIDTH + layout.max_joints), np.float32)
    state_mask, arm_mask = np.zeros(slots, np.bool_), np.zeros(slots, np.bool_)
    T_base_ee = np.tile(np.eye(4, dtype=np.float32), (slots, 1, 1))
    actions = np.zeros((steps, slots, ACTION_WIDTH), np.float32)
    for slot, arm in enumerate(layout.arms):
        if arm is None:
            continue
        place = episode.arms.index(arm)
        arm_mask[slot] = True
        actions[:, slot] = episode.actions[row, :, place]
        opening = episode.openings[row, place]
        state_mask[slot] = bool(np.isfinite(opening))
        if state_mask[slot]:
            T_base_ee[slot] = episode.T_base_ee[row, place]
            pose = pose_numbers(T_base_ee[slot].astype(np.float64))
            q = np.nan_to_num(episode.q[row, place])
            state[slot, : ACTION_WIDTH + joints] = np.concatenate([pose, [opening], q])
    return {
        "state": state,
        "state_mask": state_mask,
        "T_base_ee": T_base_ee,
        "arm_mask": arm_mask,
        "actions": actions.reshape(steps, -1),
    }


def _truth(episode: Episode, row: int, layout: SampleLayout, views: list[dict[str, Any]]) -> SceneTruth:
    count, slots = len(episode.objects), layout.instances
    numbers = np.stack([view["numbers"] for view in views])
    seen = np.zeros((len(views), slots), np.float32)
    for index, view in enumerate(views):
        if view["seen"] is not None:
            seen[index, :count] = view["seen"]
    masks = np.zeros((len(views), slots, *_quarter(numbers.shape[1:])), np.bool_)
    boxes = np.zeros((len(views), slots, 4), np.float32)
    pixels = np.zeros((len(views), slots), np.int64)
    for index in range(count):
        is_object = numbers == index + 1
        pixels[:, index] = is_object.sum(axis=(1, 2))
        for place in np.flatnonzero(pixels[:, index]):
            masks[place, index] = quarter_mask(is_object[place])
            boxes[place, index] = box_around(is_object[place])
    points = np.zeros((slots, 3), np.float32)
    surfaces = np.zeros((slots, layout.surface_points, 3), np.float32)
    T = episode.T_base_object[row]
    points[:count] = T[:, :3, 3]
    local = episode.surfaces[:, : layout.surface_points]
    surfaces[:count] = np.einsum("oij,osj->osi", T[:, :3, :3], local) + T[:, None, :3, 3]
    roles = np.zeros(slots, np.int64)
    roles[:count] = episode.object_roles
    return SceneTruth(
        masks=masks,
        boxes=boxes,
        object_points=points,
        object_mask=np.arange(slots) < count,
        object_roles=roles,
        object_visible=pixels >= _FEWEST_PIXELS,
        object_seen=seen,
        surface_points=surfaces,
    )


def quarter_mask(is_object: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (H/4, W/4) of a mask (H, W): cells it fills by a quarter, and the one it fills most if it fills any."""
    rows, columns = _quarter(is_object.shape)
    cells = is_object[: rows * MASK_SCALE, : columns * MASK_SCALE].reshape(rows, MASK_SCALE, columns, MASK_SCALE)
    share = cells.mean(axis=(1, 3))
    mask: NDArray[np.bool_] = (share >= _CELL_SHARE) | ((share == share.max()) & (share > 0.0))
    return mask


def box_around(is_object: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the box (4,) around a mask that is not empty: centre x, y, width, height in [0, 1] of the picture."""
    height, width = is_object.shape
    rows, columns = np.flatnonzero(is_object.any(axis=1)), np.flatnonzero(is_object.any(axis=0))
    top, bottom = rows[0] / height, (rows[-1] + 1) / height
    left, right = columns[0] / width, (columns[-1] + 1) / width
    return np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], np.float32)


def _quarter(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0] // MASK_SCALE, shape[1] // MASK_SCALE


def _require_fit(episode: Episode, layout: SampleLayout) -> None:
    problems = [
        f"{kind} '{name}' was not recorded; available: {list(known)}"
        for kind, names, known in (("camera", layout.cameras, episode.cameras), ("arm", layout.arms, episode.arms))
        for name in names
        if name is not None and name not in known
    ]
    if episode.q.shape[-1] > layout.max_joints:
        problems.append(f"arms have up to {episode.q.shape[-1]} joints; 'max_joints' is {layout.max_joints}")
    if len(episode.objects) > layout.instances:
        problems.append(f"there are {len(episode.objects)} objects; 'instances' is {layout.instances}")
    if episode.objects and episode.surfaces.shape[1] < layout.surface_points:
        problems.append(
            f"'surface_points' is {layout.surface_points}; {episode.surfaces.shape[1]} were recorded of each object"
        )
    if problems:
        raise ConfigError(join_problems("sample layout", problems))
