"""Turns streams of images and robot states into observations: the newest complete one wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vla3d_ros.datatypes import CameraImage, CameraModel, CameraMount, Observation, RobotState, View
from vla3d_ros.errors import FrameError, ShapeError
from vla3d_ros.state_history import RobotStateHistory

_STATE_MEMORY_NS = 2_000_000_000


@dataclass(slots=True)
class WindowCounters:
    """What became of the view sets: whole, with a view missing, lost for good, overtaken by a newer one."""

    complete: int = 0
    incomplete: int = 0
    lost: int = 0
    overtaken: int = 0


class ObservationWindow:
    """Assembles observations from images that share one stamp and the robot's state at that stamp.

    An incomplete set waits `grace_ns` of capture time for its last images; then it leaves with those views marked
    missing if at least `min_views` are there, else it is counted as lost.
    """

    def __init__(
        self, *, cameras: Sequence[str], base_frame: str, ee_frames: dict[str, str], grace_ns: int, min_views: int
    ) -> None:
        """Take names.

        Args:
            cameras: The views the policy wants, in its order.
            base_frame: Frame in which the policy thinks.
            ee_frames: End-effector frame per arm; wrist cameras are mounted on these.
            grace_ns: How long a late image is waited for.
            min_views: Fewest views that make an observation.
        """
        self._cameras = tuple(cameras)
        self._base_frame = base_frame
        self._arm_of_frame = {frame: arm for arm, frame in ee_frames.items()}
        self._grace_ns = grace_ns
        self._min_views = min_views
        self._models: dict[str, CameraModel] = {}
        self._mounts: dict[str, CameraMount] = {}
        self._histories = {arm: RobotStateHistory(memory_ns=_STATE_MEMORY_NS) for arm in ee_frames}
        self._pending: dict[int, dict[str, CameraImage]] = {}
        self._newest_taken_ns = -1
        self._newest_image_ns = -1
        self.counters = WindowCounters()

    def clear(self) -> None:
        """Forget images and states, e.g. after the clock was reset."""
        self._pending.clear()
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
        self._pending.setdefault(image.stamp_ns, {})[image.camera] = image
        self._newest_image_ns = max(self._newest_image_ns, image.stamp_ns)

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
        self._pending = {stamp: found for stamp, found in self._pending.items() if stamp > ready_ns}
        states = tuple(history.lookup(ready_ns) for history in self._histories.values())
        views = tuple(self._view(images[camera], states) for camera in self._cameras if camera in images)
        missing = tuple(camera for camera in self._cameras if camera not in images)
        return Observation(
            stamp_ns=ready_ns, views=views, robot_states=states, instruction=instruction, missing_views=missing
        )

    def _is_ready(self, stamp_ns: int) -> bool:
        if not all(history.covers(stamp_ns) for history in self._histories.values()):
            return False
        views = len(self._pending[stamp_ns])
        is_overdue = self._newest_image_ns - stamp_ns > self._grace_ns
        return views == len(self._cameras) or (is_overdue and views >= self._min_views)

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

    def _view(self, image: CameraImage, states: Sequence[RobotState]) -> View:
        model, mount = self._models[image.camera], self._mounts[image.camera]
        height, width, _ = image.rgb.shape
        if (width, height) != (model.width_px, model.height_px):
            raise ShapeError(
                f"image of camera '{image.camera}' is {width}x{height} px; its camera_info says "
                f"{model.width_px}x{model.height_px} px; fix the camera's profile or its calibration"
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
            depth_m=image.depth_m,
        )
