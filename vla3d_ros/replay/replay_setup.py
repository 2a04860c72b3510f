"""Which robot, rig and bounds a bag is replayed with: what the recording says of itself, or a deployment instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.datatypes import CameraModel, CameraMount
from vla3d_ros.errors import RecordingError, join_problems
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.replay.jump_guard import JumpGuard
from vla3d_ros.replay.recorded_run import RecordedRun

_MIN_VIEWS, _GRACE_NS = 2, 50_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReplaySetup:
    """What stays the same for every policy that is replayed.

    models and mounts are the calibration in force by camera; `is_calibration_recorded` says that they are the
    recording's own, so that a change in mid-recording is followed. set_grace_ns is the camera node's patience with late
    images, grace_ns the policy node's; a chunk that was not recorded arrives latency_ns after its observation.
    """

    embodiment: Embodiment
    execution: ExecutionConfig
    models: Mapping[str, CameraModel]
    mounts: Mapping[str, CameraMount]
    anchor: str
    max_skew_ns: int
    is_calibration_recorded: bool
    min_views: int = _MIN_VIEWS
    grace_ns: int = _GRACE_NS
    set_grace_ns: int = _GRACE_NS
    latency_ns: int = 40_000_000

    @property
    def strokes_m(self) -> dict[str, float]:
        """Opening of each fully open gripper, by arm; 1 where an arm has none, as on the wire."""
        return {arm.name: arm.gripper.stroke_m if arm.gripper else 1.0 for arm in self.embodiment.arms}

    @property
    def joint_names(self) -> dict[str, tuple[str, ...]]:
        """Joints by arm."""
        return {arm.name: arm.joint_names for arm in self.embodiment.arms}


def calibration(
    run: RecordedRun, rig: CameraRig | None, cameras: Sequence[str]
) -> tuple[dict[str, CameraModel], dict[str, CameraMount]]:
    """Return intrinsics and mounts of the cameras a policy looks through: the bag's, completed or replaced by a rig's.

    Args:
        run: The recording.
        rig: Takes the place of what was recorded; None: only the recording counts.
        cameras: Names.
    """
    models = {camera: run.models[camera] for camera in cameras if camera in run.models}
    mounts = {camera: run.mounts[camera] for camera in cameras if camera in run.mounts}
    for spec in rig.cameras if rig is not None else ():
        if spec.name in cameras:
            models[spec.name], mounts[spec.name] = spec.model, spec.mount
    return models, mounts


def require_replayable(run: RecordedRun, setup: ReplaySetup | None, cameras: Sequence[str]) -> None:
    """Refuse a bag that holds too little, or what no arm could do; every reason at once.

    Args:
        run: The recording.
        setup: How it would be replayed; None if nobody says which robot it is.
        cameras: The views the policy wants.

    Raises:
        RecordingError: With all reasons and remedies.
    """
    problems = []
    if setup is None:
        problems.append("it does not say which robot it is of (no 'session' topic): name one with --deployment")
    absent = [camera for camera in cameras if camera not in run.layout.images]
    if len(absent) == len(cameras) or (setup and len(cameras) - len(absent) < min(setup.min_views, len(cameras))):
        have = sorted(run.layout.images) or "none"
        problems.append(f"the policy looks through {list(cameras)}; cameras with images in the bag: {have}")
    problems += _calibration_problems(run, setup, cameras)
    problems += _state_problems(run, setup)
    if problems:
        kinds = sorted(set(run.topics.values()))
        problems.append(f"(the bag holds {len(run.topics)} topics of types {kinds})")
        raise RecordingError(join_problems(f"bag {run.path} can not be replayed through a policy", problems))


def _calibration_problems(run: RecordedRun, setup: ReplaySetup | None, cameras: Sequence[str]) -> list[str]:
    if setup is None:
        return []
    present = [camera for camera in cameras if camera in run.layout.images]
    problems = []
    for known, what in ((setup.models, "camera_info"), (setup.mounts, "extrinsics")):
        if without := [camera for camera in present if camera not in known]:
            problems.append(f"no {what} of cameras {without}: record it, or give a rig file with --rig")
    return problems


def _state_problems(run: RecordedRun, setup: ReplaySetup | None) -> list[str]:
    if not run.joints:
        others = sorted(topic for topic, msgtype in run.topics.items() if msgtype == "sensor_msgs/msg/JointState")
        told = f"; it is not clear which of {others} are: name one with --joint-states" if len(others) > 1 else ""
        return [f"it has no joint states on a topic 'joint_states' of type sensor_msgs/msg/JointState{told}"]
    arms = setup.embodiment.arms if setup else ()
    speeds = {
        name: float(speed) for arm in arms for name, speed in zip(arm.joint_names, arm.limits.velocity, strict=True)
    }
    guard = JumpGuard(run.layout.joint_states, speeds)
    for reading in run.joints:
        guard.accepts(reading.names, reading.q, reading.stamp_ns)
    problems = guard.sentences()
    heard = {name for reading in run.joints for name in reading.names}
    for arm in arms:
        if unheard := [name for name in arm.joint_names if name not in heard]:
            problems.append(f"arm '{arm.name}': no states of joints {unheard}; the bag has {sorted(heard)}")
    return problems
