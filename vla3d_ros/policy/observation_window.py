"""Turns streams of images and robot states into observations: the newest complete one wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraImage, CameraModel, CameraMount, Observation, RobotState, View
from vla3d_ros.errors import FrameError, ShapeError
from vla3d_ros.state_history import RobotStateHistory

_STATE_MEMORY_NS = 2_000_000_000


@dataclass(slots=True)
class WindowCounters:
    """What became of the view sets: whole, with a view missing, lost for good, overtaken by a newer one.

    `views_without_depth`: views of observations whose camera gives depth, and did not for them.
    """

    complete: int = 0
    incomplete: int = 0
    lost: int = 0
    overtaken: int = 0
    views_without_depth: int = 0


class ObservationWindow:
    """Assembles observations from images that share one stamp and the robot's state at that stamp.

    An incomplete set waits `grace_ns` of capture time for its last images; then it leaves with those views marked
    missing if at least `min_views` are there, else it is counted as lost. Depth belongs to the image with its stamp and
    is waited for alike, once a camera has given any; a view whose depth does not come has none.
    """

    def __init__(
        self,
        *,
        cameras: Sequence[str],
        base_frame: str,
        ee_frames: dict[str, str],
        grace_ns: int,
        min_views: int,
        depth_cameras: Sequence[str] = (),
    ) -> None:
        """Take names.

        Args:
            cameras: The views the policy wants, in its order.
            base_frame: Frame in which the policy thinks.
            ee_frames: End-effector frame per arm; wrist cameras are mounted on these.
            grace_ns: How long a late image is waited for.
            min_views: Fewest views that make an observation.
            depth_cameras: Those of the cameras whose depth the policy looks at; depth of others is left out.
        """
        self._cameras = tuple(cameras)
        self._base_frame = base_frame
        self._arm_of_frame = {frame: arm for arm, frame in ee_frames.items()}
        self._grace_ns = grace_ns
        self._min_views = min_views
        self._models: dict[str, CameraModel] = {}
        self._mounts: dict[str, CameraMount] = {}
        self._histories = {arm: RobotStateHistory(memory_ns=_STATE_MEMORY_NS) for arm in ee_frames}
        self.depth_cameras = frozenset(depth_cameras)
        self._pending: dict[int, dict[str, CameraImage]] = {}
        self._depths: dict[int, dict[str, NDArray[np.float32]]] = {}
        self._gives_depth: set[str] = set()
        self._newest_taken_ns = -1
        self._newest_image_ns = -1
        self.counters = WindowCounters()

    def clear(self) -> None:
        """Forget images and states, e.g. after the clock was reset."""
        self._pending.clear()
        self._depths.clear()
        self._newest_taken_ns = self._newest_image_ns = -1
        for history in self._histories.values():
            history.clear()

    def add_model(self, camera: str, model: CameraModel) -> None:
        """Take a camera's intrinsics; the newest are in force."""
        self._models[camera] = model

    def add_mount(self, mount: CameraMount) -> None:
        """Take a camera's extrinsics; the newest are in force.

        Raises:
            FrameError: If the camera sits on a frame that is neither the base nor an end effector.
        """
        if mount.parent_frame != self._base_frame and mount.parent_frame not in self._arm_of_frame:
            known = [self._base_frame, *self._arm_of_frame]
            raise FrameError(
                f"camera '{mount.camera}' is mounted on frame '{mount.parent_frame}'; expected one of {known}; "
                "fix 'parent_frame' in the rig file"
            )
        self._mounts[mount.camera] = mount

    def add_robot_state(self, state: RobotState) -> None:
        """Take one arm's state."""
        self._histories[state.arm].add(state)

    def add_image(self, image: CameraImage) -> None:
        """Take one image; images older than the last observation are of no use any more."""
        if image.camera not in self._cameras or image.stamp_ns <= self._newest_taken_ns:
            return
        if image.depth_m is not None:
            self.add_depth(image.camera, image.stamp_ns, image.depth_m)
        self._pending.setdefault(image.stamp_ns, {})[image.camera] = replace(image, depth_m=None)
        self._newest_image_ns = max(self._newest_image_ns, image.stamp_ns)

    def add_depth(self, camera: str, stamp_ns: int, depth_m: NDArray[np.float32]) -> None:
        """Take the depth of one image, before or after it.

        Args:
            camera: Its camera.
            stamp_ns: The image's stamp.
            depth_m: (H, W) metres, aligned to the image, NaN where there is no return.
        """
        if camera not in self.depth_cameras or stamp_ns <= self._newest_taken_ns:
            return
        self._gives_depth.add(camera)
        self._depths.setdefault(stamp_ns, {})[camera] = depth_m

    def expect_depth(self, camera: str) -> None:
        """Wait for a camera's depth from the first image on: it is known that there will be some."""
        if camera in self.depth_cameras:
            self._gives_depth.add(camera)

    @property
    def camera_of_frame(self) -> dict[str, str]:
        """The camera of every optical frame whose mount is known."""
        return {mount.optical_frame: camera for camera, mount in self._mounts.items()}

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What has not come at all yet, in words."""
        missing = [f"camera_info of '{camera}'" for camera in self._cameras if camera not in self._models]
        missing += [f"extrinsics of '{camera}'" for camera in self._cameras if camera not in self._mounts]
        missing += [f"state of arm '{arm}'" for arm, history in self._histories.items() if history.newest is None]
        if self._newest_image_ns < 0:
            missing.append("images")
        return tuple(missing)

    def take(self, instruction: str) -> Observation | None:
        """Return the newest observation that is ready, or None; older ready ones are counted as overtaken."""
        if self.waiting_for:
            return None
        ready_ns = max((stamp for stamp in self._pending if self._is_ready(stamp)), default=None)
        if ready_ns is None:
            return None
        images = self._pending[ready_ns]
        self._count(ready_ns)
        self._newest_taken_ns = ready_ns
        depths = self._depths.get(ready_ns, {})
        self._pending = {stamp: found for stamp, found in self._pending.items() if stamp > ready_ns}
        self._depths = {stamp: found for stamp, found in self._depths.items() if stamp > ready_ns}
        states = tuple(history.lookup(ready_ns) for history in self._histories.values())
        views = tuple(
            self._view(images[camera], depths.get(camera), states) for camera in self._cameras if camera in images
        )
        missing = tuple(camera for camera in self._cameras if camera not in images)
        return Observation(
            stamp_ns=ready_ns, views=views, robot_states=states, instruction=instruction, missing_views=missing
        )

    def _is_ready(self, stamp_ns: int) -> bool:
        if not all(history.covers(stamp_ns) for history in self._histories.values()):
            return False
        views = len(self._pending[stamp_ns])
        is_overdue = self._newest_image_ns - stamp_ns > self._grace_ns
        is_whole = views == len(self._cameras) and not self._lacks_depth(stamp_ns)
        return is_whole or (is_overdue and views >= self._min_views)

    def _lacks_depth(self, stamp_ns: int) -> set[str]:
        """Cameras with an image of this stamp, whose depth should have come with it and has not."""
        return (self._gives_depth & set(self._pending[stamp_ns])) - set(self._depths.get(stamp_ns, {}))

    def _count(self, ready_ns: int) -> None:
        for stamp_ns, images in self._pending.items():
            if stamp_ns < ready_ns:
                is_whole = len(images) == len(self._cameras)
                self.counters.overtaken += is_whole
                self.counters.lost += not is_whole
            elif stamp_ns == ready_ns:
                is_whole = len(images) == len(self._cameras)
                self.counters.complete += is_whole
                self.counters.incomplete += not is_whole
                self.counters.views_without_depth += len(self._lacks_depth(stamp_ns))

    def _view(self, image: CameraImage, depth_m: NDArray[np.float32] | None, states: Sequence[RobotState]) -> View:
        model, mount = self._models[image.camera], self._mounts[image.camera]
        height, width, _ = image.rgb.shape
        if (width, height) != (model.width_px, model.height_px):
            raise ShapeError(
                f"image of camera '{image.camera}' is {width}x{height} px; its camera_info says "
                f"{model.width_px}x{model.height_px} px; fix the camera's profile or its calibration"
            )
        if depth_m is not None and depth_m.shape != (height, width):
            raise ShapeError(
                f"depth of camera '{image.camera}' is {depth_m.shape[1]}x{depth_m.shape[0]} px and its image "
                f"{width}x{height} px; expected depth aligned to the image: set it in the camera's driver"
            )
        T_base_camera = mount.T_parent_camera
        if mount.parent_frame != self._base_frame:
            arm = self._arm_of_frame[mount.parent_frame]
            T_base_ee = next(state.T_base_ee for state in states if state.arm == arm)
            T_base_camera = T_base_ee @ mount.T_parent_camera
        return View(
            camera=image.camera,
            rgb=image.rgb,
            model=model,
            T_base_camera=T_base_camera,
            stamp_ns=image.stamp_ns,
            depth_m=depth_m,
        )
