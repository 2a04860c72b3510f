"""One training sample, and how samples become a batch. NumPy only; a trainer turns the arrays into tensors.

V views, A arm slots, J joints at most, K chunk steps, I instance slots, S surface points, (H, W) the pictures' size and
(h, w) a quarter of it. Names are those of the policy graphs' inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError, ShapeError, join_problems
from vla3d_ros.policy.manifest import ACTION_WIDTH
from vla3d_ros.policy.tokenizer import HashedWords

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Batch = dict[str, NDArray[Any]]

MASK_SCALE = 4
"""Pixels of a picture per cell of an instance mask, per axis."""
OTHER, TARGET_CUBE, TARGET_PAD = 0, 1, 2
"""What an object is to the instruction: `object_roles`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLayout:
    """Which recorded camera and arm fill which of the policy's slots, and how large the arrays are.

    Attributes:
        cameras: Camera of each view; None leaves the view masked.
        arms: Arm of each slot; None leaves the slot masked.
        max_joints: J.
        instances: I; objects beyond it are an error.
        surface_points: S; at most as many as were recorded.
        embodiment: Index of the robot in the policy.
    """

    cameras: tuple[str | None, ...]
    arms: tuple[str | None, ...]
    max_joints: int = 8
    instances: int = 16
    surface_points: int = 64
    embodiment: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"'{name}' is {getattr(self, name)}; expected at least 1"
            for name in ("max_joints", "instances", "surface_points")
            if getattr(self, name) < 1
        ]
        problems += [
            f"'{name}' is {list(getattr(self, name))}; expected at least one name, each once"
            for name in ("cameras", "arms")
            if not _has_distinct_names(getattr(self, name))
        ]
        if problems:
            raise ConfigError(join_problems("sample layout", problems))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SceneTruth:
    """What the twin knows about the objects on the table; slots without an object are zero and masked.

    Attributes:
        masks: (V, I, h, w) bool, where an object is seen: it fills a quarter of the cell, or the cell holds most of it.
        boxes: (V, I, 4) float32 around what is seen: centre x, y, width, height in [0, 1] of the picture.
        object_points: (I, 3) float32 m, centroids in the robot's base frame.
        object_mask: (I,) bool, where there is an object.
        object_roles: (I,) int64: `OTHER`, `TARGET_CUBE` or `TARGET_PAD`.
        object_visible: (V, I) bool, whether enough of it is seen to be found.
        object_seen: (V, I) float32, share of the object's outline that is seen, 0 to 1; what is beyond the picture's
            border counts as not seen.
        surface_points: (I, S, 3) float32 m, the whole surface, seen or not, in the robot's base frame.
    """

    masks: Bool
    boxes: Float32
    object_points: Float32
    object_mask: Bool
    object_roles: NDArray[np.int64]
    object_visible: Bool
    object_seen: Float32
    surface_points: Float32


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingSample:
    """One observation and what the teacher would do.

    Attributes:
        images: (V, H, W, 3) uint8 RGB.
        view_mask: (V,) bool.
        K: (V, 3, 3) float32 px, of these pictures.
        T_base_camera: (V, 4, 4) float32 m.
        depth_m: (V, H, W) float32 m, 0.0 where there is none.
        state: (A, 10 + J) float32, raw: [p (3) m, rot6d (6), opening, q (J) rad].
        state_mask: (A,) bool.
        T_base_ee: (A, 4, 4) float32 m.
        arm_mask: (A,) bool.
        embodiment: Index of the robot.
        instruction: What was asked for.
        actions: (K, A*10) float32, raw: per arm [p (3) m of T_ee0_ei, rot6d (6), opening].
        truth: Of the scene; None where nobody knows it, as in a recording.
        episode: Number of the episode it is from.
        stamp_ns: When the pictures were taken.
    """

    images: NDArray[np.uint8]
    view_mask: Bool
    K: Float32
    T_base_camera: Float32
    depth_m: Float32
    state: Float32
    state_mask: Bool
    T_base_ee: Float32
    arm_mask: Bool
    embodiment: int
    instruction: str
    actions: Float32
    truth: SceneTruth | None = None
    episode: int = 0
    stamp_ns: int = 0


class SampleSource(Protocol):
    """Samples by number; a `SampleReader`, or a list of samples."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, index: int, /) -> TrainingSample:
        """Return one; the same number always gives the same sample."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Normalisation:
    """Mean and standard deviation: state (A, 10 + J), action (A, 10); those a package's manifest carries."""

    state_mean: NDArray[np.float64]
    state_std: NDArray[np.float64]
    action_mean: NDArray[np.float64]
    action_std: NDArray[np.float64]

    def state(self, raw: NDArray[Any], mask: NDArray[Any]) -> Float32:
        """Return normalised states (..., A, 10 + J), 0 where masked."""
        values = (raw - self.state_mean) / self.state_std
        return np.where(mask[..., None], values, 0.0).astype(np.float32)

    def actions(self, raw: NDArray[Any], arm_mask: NDArray[Any]) -> Float32:
        """Return normalised actions (..., K, A*10), 0 in slots without an arm."""
        slots = raw.reshape(*raw.shape[:-1], -1, ACTION_WIDTH)
        values = (slots - self.action_mean) / self.action_std
        masked = np.where(arm_mask[..., None, :, None], values, 0.0)
        return masked.reshape(raw.shape).astype(np.float32)


def collate(
    samples: Sequence[TrainingSample], words: HashedWords | None = None, normalisation: Normalisation | None = None
) -> Batch:
    """Stack samples.

    Args:
        samples: At least one, all of one layout.
        words: Adds `text_tokens` (B, L) int64 and `text_mask` (B, L) bool.
        normalisation: Normalises `state` and `actions`, which are raw without it.

    Returns:
        Arrays by the names of `TrainingSample` and `SceneTruth`, batch axis first; `truth_mask` (B,) bool says for
        which samples the truth is known, and is absent together with the truth if it is known for none.

    Raises:
        ShapeError: If there are no samples, or they differ in shape.
    """
    if not samples:
        raise ShapeError("a batch of no samples; expected at least one")
    batch: Batch = {name: _stack(name, [getattr(sample, name) for sample in samples]) for name in _ARRAYS}
    batch["embodiment"] = np.array([sample.embodiment for sample in samples], np.int64)
    if normalisation is not None:
        batch["state"] = normalisation.state(batch["state"], batch["state_mask"])
        batch["actions"] = normalisation.actions(batch["actions"], batch["arm_mask"])
    if words is not None:
        encoded = [words.encode(sample.instruction) for sample in samples]
        batch["text_tokens"] = np.stack([tokens for tokens, _ in encoded])
        batch["text_mask"] = np.stack([mask for _, mask in encoded])
    return batch | _collated_truth([sample.truth for sample in samples])


def _collated_truth(truths: Sequence[SceneTruth | None]) -> Batch:
    known = next((truth for truth in truths if truth is not None), None)
    if known is None:
        return {}
    batch: Batch = {"truth_mask": np.array([truth is not None for truth in truths])}
    for name in _TRUTHS:
        nothing = np.zeros_like(getattr(known, name))
        batch[name] = _stack(name, [nothing if truth is None else getattr(truth, name) for truth in truths])
    return batch


def _stack(name: str, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ShapeError(f"samples of one batch differ in '{name}': {shapes}; read them with one layout")
    return np.stack(arrays)


def _has_distinct_names(names: Sequence[str | None]) -> bool:
    given = [name for name in names if name is not None]
    return bool(given) and len(set(given)) == len(given)


_TRUTHS = tuple(entry.name for entry in fields(SceneTruth))
_OTHERS = {"embodiment", "instruction", "truth", "episode", "stamp_ns"}
_ARRAYS = tuple(entry.name for entry in fields(TrainingSample) if entry.name not in _OTHERS)
