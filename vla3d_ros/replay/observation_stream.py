"""From a bag to the observations a policy would have had, through the synchronizer and the window of the live nodes.

The order is that of capture times: robot states up to an image come before it, however late they were received. So the
observations of a recording are a function of what was sampled, not of how the machine was loaded that day.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.synchronizer import Synchronizer
from vla3d_ros.datatypes import CameraImage, Observation, RobotState
from vla3d_ros.errors import ShapeError
from vla3d_ros.execution import ExecutionPipeline
from vla3d_ros.policy.observation_window import ObservationWindow, WindowCounters
from vla3d_ros.policy.robot_state_pairing import RobotStatePairing
from vla3d_ros.recording.bag_reader import BagMessage, BagReader
from vla3d_ros.replay import bag_decoding as decoding
from vla3d_ros.replay.bag_layout import BagLayout
from vla3d_ros.replay.recorded_run import RecordedRun
from vla3d_ros.replay.replay_setup import ReplaySetup

_STAMP = slice(4, 12)  # of a serialized message that starts with a header


def robot_states(run: RecordedRun, setup: ReplaySetup) -> list[RobotState]:
    """Return the robot's states by increasing stamp.

    They are those which the policy node would have had: joints from `joint_states`, poses and openings from `ee_state`.
    In a bag without `ee_state`, poses are computed as the adapter does.
    """
    if not run.ee_messages:
        pipeline = ExecutionPipeline(setup.embodiment, setup.execution, dry_run=True)
        return [
            state
            for reading in run.joints
            for state in pipeline.on_joint_state(reading.names, reading.q, reading.dq, reading.stamp_ns)
        ]
    pairing = RobotStatePairing(setup.joint_names)
    states: list[RobotState] = []
    waiting = iter(sorted(run.ee_messages, key=lambda entry: entry[0]))
    following = next(waiting, None)
    for reading in run.joints:
        while following is not None and following[0] <= reading.stamp_ns:
            states += pairing.add_ee_state(following[0], decoding.ee_state(following[1], setup.strokes_m))
            following = next(waiting, None)
        states += pairing.add_joint_state(reading.names, reading.q, reading.dq, reading.stamp_ns)
    return sorted(states, key=lambda state: state.stamp_ns)


@dataclass(frozen=True, slots=True, eq=False)
class _Depth:
    """(H, W) metres aligned to the image with the same stamp."""

    camera: str
    stamp_ns: int
    depth_m: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Footage:
    """Where the observations of a replay come from, but for the bag itself: plain values that may be sent elsewhere.

    states: of the robot, by increasing stamp. cameras: the views the policy wants, in its order. depth_cameras: those
    whose depth it looks at.
    """

    layout: BagLayout
    setup: ReplaySetup
    states: Sequence[RobotState]
    cameras: tuple[str, ...]
    depth_cameras: tuple[str, ...] = ()


class ObservationStream:
    """The observations of one bag, in the order of their stamps; may be iterated again."""

    def __init__(
        self, run: RecordedRun, setup: ReplaySetup, cameras: Sequence[str], depth_cameras: Sequence[str] = ()
    ) -> None:
        """Prepare the robot's states.

        Args:
            run: The recording.
            setup: Robot and calibration.
            cameras: The views the policy wants, in its order.
            depth_cameras: Those whose depth it looks at.
        """
        states = robot_states(run, setup)
        self.footage = Footage(
            layout=run.layout, setup=setup, states=states, cameras=tuple(cameras), depth_cameras=tuple(depth_cameras)
        )
        self._bag = run.bag
        self.counters = WindowCounters()

    @classmethod
    def of(cls, footage: Footage, bag: BagReader) -> ObservationStream:
        """Return a stream of footage that was prepared elsewhere, from a bag opened here."""
        stream = cls.__new__(cls)
        stream.footage, stream._bag, stream.counters = footage, bag, WindowCounters()
        return stream

    @property
    def states(self) -> Sequence[RobotState]:
        """The robot's states by increasing stamp."""
        return self.footage.states

    def __call__(self) -> Iterator[Observation]:
        """Iterate over all observations, without instruction."""
        window, synchronizer = self._window(), self._synchronizer()
        self.counters = window.counters
        pending = deque(self.states)
        newest_ns = {arm.name: -1 for arm in self.footage.setup.embodiment.arms}
        for picture in self._pictures(window):
            if isinstance(picture, _Depth):
                window.add_depth(picture.camera, picture.stamp_ns, picture.depth_m)
            for view_set in () if isinstance(picture, _Depth) else synchronizer.add(picture):
                while pending and min(newest_ns.values()) < view_set.stamp_ns:
                    state = pending.popleft()
                    window.add_robot_state(state)
                    newest_ns[state.arm] = state.stamp_ns
                for one in view_set.images:
                    window.add_image(replace(one, stamp_ns=view_set.stamp_ns))
                observation = window.take("")
                if observation is not None:
                    yield observation
            if isinstance(picture, _Depth) and (observation := window.take("")) is not None:
                yield observation

    def _window(self) -> ObservationWindow:
        setup, cameras = self.footage.setup, self.footage.cameras
        window = ObservationWindow(
            cameras=cameras,
            base_frame=setup.embodiment.arms[0].base_frame,
            ee_frames={arm.name: arm.ee_frame for arm in setup.embodiment.arms},
            grace_ns=setup.grace_ns,
            min_views=setup.min_views,
            depth_cameras=self.footage.depth_cameras,
        )
        for camera in cameras:
            if camera in self.footage.layout.depths and self._bag.counts[self.footage.layout.depths[camera]]:
                window.expect_depth(camera)
            if camera in setup.models and camera in setup.mounts:
                window.add_model(camera, setup.models[camera])
                window.add_mount(setup.mounts[camera])
        return window

    def _synchronizer(self) -> Synchronizer:
        setup = self.footage.setup
        present = [camera for camera in self.footage.cameras if camera in self.footage.layout.images]
        anchor = setup.anchor if setup.anchor in present else present[0]
        return Synchronizer(present, anchor=anchor, max_skew_ns=setup.max_skew_ns, grace_ns=setup.set_grace_ns)

    def _pictures(self, window: ObservationWindow) -> Iterator[CameraImage | _Depth]:
        """Decode images and depth in order of reception; capture time stands for the time of reception."""
        layout, wanted, bag = self.footage.layout, self.footage.cameras, self._bag
        cameras = {topic: camera for camera, topic in layout.images.items() if camera in wanted}
        infos = {topic: camera for camera, topic in layout.infos.items() if camera in wanted}
        mounts = {topic: camera for camera, topic in layout.mounts.items() if camera in wanted}
        depths = {topic: camera for camera, topic in layout.depths.items() if camera in self.footage.depth_cameras}
        calibration = {**infos, **mounts} if self.footage.setup.is_calibration_recorded else {}
        seen: dict[str, bytes] = {}
        for message in bag.messages([*cameras, *depths, *calibration], shares_memory=True):
            if message.topic in cameras:
                image = _decoded(bag, message, cameras[message.topic])
                yield replace(image, receive_ns=image.stamp_ns)
            elif message.topic in depths:
                msg, camera = bag.decode(message), depths[message.topic]
                yield _Depth(camera, decoding.duration_ns(msg.header.stamp), decoding.depth(camera, msg))
            elif seen.get(message.topic) != message.cdr[_STAMP.stop :]:
                seen[message.topic] = message.cdr[_STAMP.stop :]
                decoded = bag.decode(message)
                if message.topic in infos:
                    camera = infos[message.topic]
                    window.add_model(camera, decoding.camera_model(camera, decoded))
                else:
                    window.add_mount(decoding.camera_mount(mounts[message.topic], decoded))


def _decoded(bag: BagReader, message: BagMessage, camera: str) -> CameraImage:
    if message.msgtype == "sensor_msgs/msg/Image":
        return decoding.image_of_cdr(camera, message.cdr, message.stamp_ns)
    return decoding.image(camera, bag.decode(message), message.stamp_ns)


def require_observations(count: int, run: RecordedRun, counters: WindowCounters) -> None:
    """Refuse a replay in which the policy never saw anything.

    Raises:
        ShapeError: Says what became of the view sets.
    """
    if count == 0:
        raise ShapeError(
            f"bag {run.path} gives no observation: {counters.lost} view sets lost, {counters.incomplete} incomplete; "
            "are stamps of cameras and joint states on one clock, and was there an instruction (--instruction)?"
        )
