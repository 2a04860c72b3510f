"""Draws the camera tiles and the 3D view from what is heard; knows neither ROS nor the page."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.adapter.robot_poses import RobotPoses
from vla3d_ros.camera.rig import CameraRig, CameraSpec
from vla3d_ros.console.facts import ArmFacts
from vla3d_ros.console.scene import SceneView
from vla3d_ros.console.tiles import Overlay, draw_tile, encode_jpeg
from vla3d_ros.datatypes import CameraImage, SpatialReport
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

_PATH_POINTS = 240
_STEP_M = 0.004
_FRUSTUM_S = 0.5
START_IMAGE = "start image"
"""Name of the tile with the reference start image over the live one."""


class Heard(Protocol):
    """What is heard of the graph, as far as it can be drawn."""

    def joints(self) -> dict[str, float]:
        """Return joint positions by name, rad or m."""
        ...

    def arms(self) -> tuple[ArmFacts, ...]:
        """Return the arms as they are."""
        ...

    def plan(self, arm: str) -> Float:
        """Return the plan of an arm, (T, 3) m in the base frame."""
        ...

    def spatial(self) -> SpatialReport | None:
        """Return what the policy believes."""
        ...

    def images_seen(self, camera: str) -> int:
        """Return how many images of a camera have come."""
        ...

    def image(self, camera: str, now_ns: int) -> tuple[int, CameraImage] | None:
        """Return number and content of a camera's newest image."""
        ...


class Show:
    """Keeps the executed path, and draws what is new."""

    def __init__(
        self,
        embodiment: Embodiment,
        rig: CameraRig,
        heard: Heard,
        scene: SceneView | None,
        show: Callable[[str, bytes], None],
        start_overlay: Callable[[], bytes | None],
    ) -> None:
        """Take where things come from and go to.

        Args:
            embodiment: The robot.
            rig: Its cameras.
            heard: What is heard of the graph.
            scene: The 3D view; None without one.
            show: Takes a tile's name and its picture.
            start_overlay: Gives the picture of the reference start image over the live one, None where there is none.
        """
        self._poses = RobotPoses(embodiment)
        self._embodiment, self._rig, self._heard, self._scene = embodiment, rig, heard, scene
        self._show, self._start_overlay = show, start_overlay
        self._paths: dict[str, deque[Float]] = {arm.name: deque(maxlen=_PATH_POINTS) for arm in embodiment.arms}
        self._drawn: dict[str, int] = {}
        self._framed: dict[str, float] = {}
        self._shown_start: bytes | None = None

    # ------------------------------------------------------------------------------------------- tiles

    def draw_tiles(self, now_ns: int) -> None:
        """Draw the pictures of cameras that have sent a new image since, and the start image.

        Args:
            now_ns: ROS time.
        """
        fresh = [spec for spec in self._rig.cameras if self._heard.images_seen(spec.name) != self._drawn.get(spec.name)]
        if fresh:
            poses, overlay = self._place_links(), self._overlay()
            for spec in fresh:
                self._draw_tile(spec, poses, overlay, now_ns)
        start = self._start_overlay()
        if start is not None and start is not self._shown_start:
            self._show(START_IMAGE, start)
        self._shown_start = start

    def _draw_tile(self, spec: CameraSpec, poses: dict[str, Transform], overlay: Overlay, now_ns: int) -> None:
        found = self._heard.image(spec.name, now_ns)
        if found is None:
            return
        self._drawn[spec.name], image = found
        is_as_expected = image.rgb.shape[:2] == (spec.model.height_px, spec.model.width_px)
        T_base_camera = self._camera_in_base(spec, poses) if is_as_expected else None
        self._show(spec.name, encode_jpeg(draw_tile(image.rgb, spec.model, T_base_camera, overlay)))

    def _overlay(self) -> Overlay:
        arms = [arm.name for arm in self._embodiment.arms]
        return Overlay(
            plans=[self._heard.plan(arm) for arm in arms],
            paths=[self.path(arm) for arm in arms],
            spatial=self._heard.spatial(),
        )

    def _camera_in_base(self, spec: CameraSpec, poses: dict[str, Transform]) -> Transform | None:
        base, parent = poses.get(self._embodiment.base_frame), poses.get(spec.mount.parent_frame)
        if base is None or parent is None:
            return None
        return base.inverse() @ parent @ spec.mount.T_parent_camera

    # ------------------------------------------------------------------------------------------- scene

    def draw_scene(self, now_s: float) -> None:
        """Bring the 3D view up to date, and note where the arms are.

        Args:
            now_s: Steady time in seconds.
        """
        arms = self._heard.arms()
        for arm in arms:
            self._note_path(arm)
        if self._scene is None:
            return
        poses = self._place_links()
        if poses:
            self._scene.show_robot(poses)
        for spec in self._rig.cameras:
            self._draw_camera(spec, poses, now_s)
        for arm in arms:
            self._scene.show_plan(arm.name, self._heard.plan(arm.name))
            self._scene.show_path(arm.name, self.path(arm.name))
        self._scene.show_spatial(self._heard.spatial())

    def _draw_camera(self, spec: CameraSpec, poses: dict[str, Transform], now_s: float) -> None:
        assert self._scene is not None
        parent = poses.get(spec.mount.parent_frame)
        if parent is None:
            return
        image = None
        if now_s - self._framed.get(spec.name, -math.inf) >= _FRUSTUM_S:
            found = self._heard.image(spec.name, 0)
            image = found[1].rgb if found else None
            self._framed[spec.name] = now_s
        self._scene.show_camera(spec.name, spec.model, parent @ spec.mount.T_parent_camera, image)

    def _place_links(self) -> dict[str, Transform]:
        """Return where all links are; nothing before all joints were heard."""
        known = self._heard.joints()
        try:
            return self._poses.place(tuple(known), np.array(list(known.values())))
        except StaleObservationError:
            return {}

    def _note_path(self, arm: ArmFacts) -> None:
        path = self._paths[arm.name]
        p = arm.p_base_ee
        if p is not None and (not path or float(np.linalg.norm(p - path[-1])) > _STEP_M):
            path.append(p)

    def path(self, arm: str) -> Float:
        """Return where an arm's end effector has been, (T, 3) m in the base frame."""
        return np.array(list(self._paths[arm])).reshape(-1, 3)
