"""Collects the samples of one episode, whoever shows them: the twin's loop or a recording of the live graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, Observation, View
from vla3d_ros.errors import ShapeError
from vla3d_ros.policy.image_fit import ImageFit
from vla3d_ros.policy.manifest import ACTION_WIDTH
from vla3d_ros.policy.preprocess import pose_numbers
from vla3d_ros.training.demonstrations.config import PictureSettings
from vla3d_ros.training.demonstrations.episode_file import (
    Episode,
    pack_depth,
    pack_numbers,
    pack_picture,
)

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KnownObjects:
    """The objects of an episode: names, roles (O,), and surfaces (O, S, 3) m, each in its object's own frame."""

    names: tuple[str, ...] = ()
    roles: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    surfaces: Float = field(default_factory=lambda: np.zeros((0, 0, 3)))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KnownMoment:
    """What is true of the objects at one instant.

    numbers: (h, w) uint8 by camera, 0 or object i + 1, in any size; T_base_object (O, 4, 4); seen (O,) by camera.
    """

    numbers: dict[str, NDArray[np.uint8]]
    T_base_object: Float
    seen: dict[str, Float]


class EpisodeRecorder:
    """Makes observations fit the policy, and packs them."""

    def __init__(
        self,
        settings: PictureSettings,
        cameras: Sequence[str],
        arms: Sequence[str],
        objects: KnownObjects | None = None,
    ) -> None:
        """Take what is to be kept.

        Args:
            settings: Size and fit of the pictures.
            cameras: Names, in order; an observation may lack some.
            arms: Names, in order; an observation may lack their states.
            objects: What is on the table; None where nobody knows.
        """
        self._settings, self._cameras, self._arms = settings, tuple(cameras), tuple(arms)
        self._objects = objects or KnownObjects()
        self._fits = {camera: self._fit(camera) for camera in cameras}
        self._rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        observation: Observation,
        chunk: ActionChunk,
        truth: KnownMoment | None = None,
        *,
        phase: str = "",
        is_disturbed: bool = False,
    ) -> None:
        """Keep one sample.

        Args:
            observation: What was seen.
            chunk: What should be done, with the observation's stamp.
            truth: What there was; None if the recorder was told of no objects.
            phase: What the teacher was doing.
            is_disturbed: Whether the arm was pushed.

        Raises:
            ShapeError: If the chunk answers another observation.
        """
        if chunk.stamp_ns != observation.stamp_ns:
            raise ShapeError(f"a chunk of {chunk.stamp_ns} ns for an observation of {observation.stamp_ns} ns")
        views = {view.camera: view for view in observation.views}
        row = self._states(observation) | self._actions(chunk)
        packed = [self._packed(camera, views.get(camera), truth) for camera in self._cameras]
        row |= {key: [view[key] for view in packed] for key in packed[0]}
        row["stamp_ns"], row["phase"], row["disturbed"] = observation.stamp_ns, phase, is_disturbed
        nothing = np.zeros((len(self._objects.names), 4, 4))
        row["T_base_object"] = nothing if truth is None else truth.T_base_object
        row["seen"] = [
            np.zeros(len(self._objects.names)) if truth is None else truth.seen[camera] for camera in self._cameras
        ]
        self._rows.append(row)

    def episode(self, instruction: str) -> Episode:
        """Return everything that was kept.

        Raises:
            ShapeError: If nothing was.
        """
        if not self._rows:
            raise ShapeError("an episode without samples; expected at least one")
        rows = self._rows

        def stacked(key: str) -> NDArray[np.float32]:
            return np.array([row[key] for row in rows], np.float32)

        def joined(key: str) -> tuple[bytes, ...]:
            return tuple(png for row in rows for png in row[key])

        return Episode(
            instruction=instruction,
            cameras=self._cameras,
            arms=self._arms,
            objects=self._objects.names,
            object_roles=self._objects.roles,
            surfaces=self._objects.surfaces.astype(np.float32),
            stamps_ns=np.array([row["stamp_ns"] for row in rows], np.int64),
            phases=tuple(row["phase"] for row in rows),
            disturbed=np.array([row["disturbed"] for row in rows], np.bool_),
            pictures=joined("picture"),
            depths=joined("depth"),
            numbers=joined("numbers"),
            K=stacked("K"),
            T_base_camera=stacked("T_base_camera"),
            q=stacked("q"),
            openings=stacked("opening"),
            T_base_ee=stacked("T_base_ee"),
            actions=stacked("actions"),
            T_base_object=stacked("T_base_object"),
            seen=stacked("seen"),
        )

    def _fit(self, camera: str) -> ImageFit:
        settings = self._settings
        return ImageFit(camera, (settings.width_px, settings.height_px), settings.fit, "undistort")

    def _packed(self, camera: str, view: View | None, truth: KnownMoment | None) -> dict[str, Any]:
        if view is None:
            return {"picture": b"", "depth": b"", "numbers": b"", "K": np.eye(3), "T_base_camera": np.eye(4)}
        settings, fit = self._settings, self._fits[camera]
        fit.prepare(view.model)
        picture = np.zeros((settings.height_px, settings.width_px, 3), np.uint8)
        fit.place_rgb(view.rgb, picture)
        depth = b""
        if settings.has_depth and view.depth_m is not None:
            depth_m = np.zeros(picture.shape[:2], np.float32)
            fit.place_depth(view.depth_m, depth_m)
            depth = pack_depth(depth_m)
        numbers = b"" if truth is None else pack_numbers(self._placed(camera, truth.numbers[camera]))
        matrices = {"K": fit.K, "T_base_camera": view.T_base_camera.matrix}
        return {"picture": pack_picture(picture), "depth": depth, "numbers": numbers, **matrices}

    def _placed(self, camera: str, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return object numbers where the picture's pixels are, whatever size they were rendered in."""
        place, settings = self._fits[camera].placement, self._settings
        placed = np.zeros((settings.height_px, settings.width_px), np.uint8)
        size = (place.width_px, place.height_px)
        placed[place.top_px : place.top_px + place.height_px, place.left_px : place.left_px + place.width_px] = (
            cv2.resize(numbers, size, interpolation=cv2.INTER_NEAREST_EXACT)
        )
        return placed

    def _states(self, observation: Observation) -> dict[str, Any]:
        states = {state.arm: state for state in observation.robot_states}
        joints = max((len(state.q) for state in observation.robot_states), default=0)
        q = np.full((len(self._arms), joints), np.nan)
        for index, arm in enumerate(self._arms):
            if arm in states:
                q[index, : len(states[arm].q)] = states[arm].q
        present = [states.get(arm) for arm in self._arms]
        return {
            "q": q,
            "opening": [np.nan if state is None else state.gripper_opening for state in present],
            "T_base_ee": [np.eye(4) if state is None else state.T_base_ee.matrix for state in present],
        }

    def _actions(self, chunk: ActionChunk) -> dict[str, Any]:
        arms = {part.arm: part for part in chunk.arms}
        missing = [arm for arm in self._arms if arm not in arms]
        if missing:
            raise ShapeError(f"the chunk has no arms {missing}; it has {list(arms)}")
        actions = np.zeros((len(chunk.due_ns()), len(self._arms), ACTION_WIDTH))
        for index, arm in enumerate(self._arms):
            actions[:, index, :9] = pose_numbers(arms[arm].Ts_ee0_ee)
            actions[:, index, 9] = arms[arm].gripper_opening
        return {"actions": actions}
