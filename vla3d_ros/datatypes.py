"""The nouns every room shares. Read this first.

All are frozen; arrays inside are read-only. Units are SI; stamps are integer nanoseconds of the ROS clock at
which photons or encoders were sampled. Grippers are 0.0 closed ... 1.0 open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
Rgb = NDArray[np.uint8]


def read_only(array: NDArray[Any], shape: tuple[int | None, ...], name: str) -> None:
    """Freeze an array after checking its shape.

    Args:
        array: The array, changed in place to read-only.
        shape: Expected shape, None where any size is right.
        name: What to call it in the error.

    Raises:
        ShapeError: If the shape differs.
    """
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits:
        expected = tuple("any" if want is None else want for want in shape)
        raise ShapeError(f"{name} has shape {array.shape}; expected {expected}")
    array.setflags(write=False)


# ------------------------------------------------------------------------------------------------ camera


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraModel:
    """Pinhole intrinsics of one image size: K (3, 3) px, distortion () or (5,) plumb_bob."""

    width_px: int
    height_px: int
    K: Float
    distortion: Float = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        read_only(self.K, (3, 3), "K")
        read_only(self.distortion, (None,), "distortion")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraMount:
    """Where a camera sits: fixed to the base, or riding on the end effector."""

    camera: str
    parent_frame: str
    optical_frame: str
    T_parent_camera: Transform


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraImage:
    """One capture of one camera: rgb (H, W, 3) uint8.

    depth_m (H, W) float32 is aligned to rgb, NaN where there is no return; None if the camera gives no depth.
    """

    camera: str
    rgb: Rgb
    stamp_ns: int
    receive_ns: int
    depth_m: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        read_only(self.rgb, (None, None, 3), f"image of camera '{self.camera}'")
        if self.depth_m is not None:
            read_only(self.depth_m, self.rgb.shape[:2], f"depth of camera '{self.camera}'")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ViewSet:
    """Images that belong together: one per camera, captures within the skew gate.

    `stamp_ns` is the anchor camera's capture; `missing` names cameras without an image in this set.
    """

    stamp_ns: int
    images: tuple[CameraImage, ...]
    missing: tuple[str, ...] = ()

    @property
    def skew_ns(self) -> int:
        """Largest difference between two captures of the set."""
        stamps = [image.stamp_ns for image in self.images]
        return max(stamps) - min(stamps) if stamps else 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """What one camera saw and from where, at the image's own capture time.

    rgb (H, W, 3) uint8; depth_m (H, W) float32 with NaN where there is no return, or None.
    """

    camera: str
    rgb: Rgb
    model: CameraModel
    T_base_camera: Transform
    stamp_ns: int
    depth_m: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        read_only(self.rgb, (self.model.height_px, self.model.width_px, 3), f"view of camera '{self.camera}'")


# ------------------------------------------------------------------------------------------------ policy


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RobotState:
    """One arm at one instant: q (J,) rad, dq (J,) rad/s, end-effector pose in the arm's base frame."""

    arm: str
    stamp_ns: int
    joint_names: tuple[str, ...]
    q: Float
    dq: Float
    T_base_ee: Transform
    gripper_opening: float

    def __post_init__(self) -> None:
        read_only(self.q, (len(self.joint_names),), f"q of arm '{self.arm}'")
        read_only(self.dq, (len(self.joint_names),), f"dq of arm '{self.arm}'")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedSteps:
    """Which steps of one chunk an arm was really told to do: `count` of them, from step `first` (from 0) on."""

    arm: str
    chunk_stamp_ns: int
    first: int
    count: int

    def values(self) -> dict[str, str]:
        """Return named values as text, for a status message."""
        return {
            f"{self.arm}_executed_stamp_ns": str(self.chunk_stamp_ns),
            f"{self.arm}_executed_first": str(self.first),
            f"{self.arm}_executed_steps": str(self.count),
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReferringPrompt:
    """The first image of a trial in grey, rgb (H, W, 3) uint8, with the target's mask laid over it in one colour.

    The instruction speaks of "the object with the <colour>-colored mask" (GEAR-VLA App. F).
    """

    camera: str
    rgb: Rgb
    colour: str

    def __post_init__(self) -> None:
        read_only(self.rgb, (None, None, 3), f"prompt image of camera '{self.camera}'")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Observation:
    """Everything the policy sees at one instant. `stamp_ns` is the capture time of the views' anchor.

    `executed_steps` says what the arms were told to do of the newest chunks, as the adapter counted it.
    """

    stamp_ns: int
    views: tuple[View, ...]
    robot_states: tuple[RobotState, ...]
    instruction: str
    missing_views: tuple[str, ...] = ()
    executed_steps: tuple[ExecutedSteps, ...] = ()
    prompt: ReferringPrompt | None = None

    @property
    def skew_ns(self) -> int:
        """Largest difference between two views' captures."""
        stamps = [view.stamp_ns for view in self.views]
        return max(stamps) - min(stamps) if stamps else 0

    def age_ns(self, now_ns: int) -> int:
        """Time since capture."""
        return now_ns - self.stamp_ns


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SpatialReport:
    """Where a policy believes things are, for people to look at. Points in the robot's base frame, metres.

    instance_points_base (I, 3) with instance_scores (I,) in [0, 1]; completion_points_base (P, 3): unseen surface that
    the policy supposes.
    """

    instance_points_base: Float
    instance_scores: Float
    completion_points_base: Float

    def __post_init__(self) -> None:
        read_only(self.instance_points_base, (None, 3), "instance_points_base")
        read_only(self.instance_scores, (len(self.instance_points_base),), "instance_scores")
        read_only(self.completion_points_base, (None, 3), "completion_points_base")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PolicyReport:
    """What the policy says about a chunk: compute time (wall) and named details for people and plots."""

    compute_ns: int
    details: Mapping[str, str] = field(default_factory=dict)
    spatial: SpatialReport | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmChunk:
    """One arm's part of a chunk of T steps.

    Ts_ee0_ee (T, 4, 4): pose of the end effector at step i relative to its pose **at the chunk's stamp**, never to
    the previous step. gripper_opening (T,) in [0, 1].
    """

    arm: str
    Ts_ee0_ee: Float
    gripper_opening: Float

    def __post_init__(self) -> None:
        read_only(self.Ts_ee0_ee, (None, 4, 4), f"Ts_ee0_ee of arm '{self.arm}'")
        read_only(self.gripper_opening, (len(self.Ts_ee0_ee),), f"gripper_opening of arm '{self.arm}'")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ActionChunk:
    """T future steps for every arm. Step i (from 0) is due at `stamp_ns + (i + 1) * dt_ns`.

    `stamp_ns` is the observation's stamp, however long the policy took. The policy conditioned the first
    `conditioned_steps` on steps of its chunk before that run meanwhile (real-time chunking): they repeat those.
    """

    stamp_ns: int
    dt_ns: int
    arms: tuple[ArmChunk, ...]
    conditioned_steps: int = 0
    report: PolicyReport | None = None

    def due_ns(self) -> NDArray[np.int64]:
        """(T,) int64 instants at which the steps are due."""
        steps = len(self.arms[0].Ts_ee0_ee)
        return self.stamp_ns + self.dt_ns * np.arange(1, steps + 1, dtype=np.int64)


# --------------------------------------------------------------------------------------------- the robot


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class VelocityEnvelope:
    """Velocity limits that shrink towards the position limits, as Franka publishes them for the FR3.

    Upper limit of joint i at q: `min(V, max(0, -offset + sqrt(max(0, gain * (q_stop_upper - q)))))`; the lower limit
    mirrors it with `gain * (q - q_stop_lower)`. All arrays (J,): rad/s, 1/s^2 rad, rad.
    """

    offset: Float
    gain: Float
    q_stop_lower: Float
    q_stop_upper: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointLimits:
    """What the joints of one arm may do: (J,) arrays in rad, rad/s, rad/s^2, rad/s^3."""

    joint_names: tuple[str, ...]
    q_lower: Float
    q_upper: Float
    velocity: Float
    acceleration: Float
    jerk: Float
    envelope: VelocityEnvelope | None = None

    def __post_init__(self) -> None:
        for name in ("q_lower", "q_upper", "velocity", "acceleration", "jerk"):
            read_only(getattr(self, name), (len(self.joint_names),), name)

    def velocity_bounds(self, q: Float) -> tuple[Float, Float]:
        """Return the (lowest, highest) allowed velocity at configurations q.

        Args:
            q: (..., J) rad.

        Returns:
            Two (..., J) arrays in rad/s; the first is <= 0, the second >= 0.
        """
        upper = np.broadcast_to(self.velocity, q.shape)
        if self.envelope is None:
            return -upper, upper
        e = self.envelope
        rising = np.sqrt(np.maximum(0.0, e.gain * (e.q_stop_upper - q))) - e.offset
        falling = np.sqrt(np.maximum(0.0, e.gain * (q - e.q_stop_lower))) - e.offset
        return -np.minimum(upper, np.maximum(0.0, falling)), np.minimum(upper, np.maximum(0.0, rising))


# ----------------------------------------------------------------------------------------------- adapter


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointTrajectory:
    """A stamped joint-space command: knots at absolute times, q (T, J) rad, dq (T, J) rad/s.

    times_ns (T,) int64 strictly increasing. The last dq is zero: if nothing follows, the arm rests.
    """

    arm: str
    joint_names: tuple[str, ...]
    times_ns: NDArray[np.int64]
    q: Float
    dq: Float

    def __post_init__(self) -> None:
        read_only(self.times_ns, (None,), "times_ns")
        read_only(self.q, (len(self.times_ns), len(self.joint_names)), f"q of trajectory for '{self.arm}'")
        read_only(self.dq, (len(self.times_ns), len(self.joint_names)), f"dq of trajectory for '{self.arm}'")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GripperTarget:
    """Where a gripper should go: opening 0.0 closed ... 1.0 open."""

    arm: str
    opening: float


# ------------------------------------------------------------------------------------------------ safety


class VerdictKind(Enum):
    """What the gate decided."""

    ALLOW = "allow"
    CLAMP = "clamp"
    STOP = "stop"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reason:
    """Why the gate clamped or stopped: the check's name and a sentence with value and limit."""

    check: str
    message: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Verdict:
    """The gate's answer to one command."""

    kind: VerdictKind
    stamp_ns: int
    reasons: tuple[Reason, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether the command (possibly clamped) may reach the arm."""
        return self.kind is not VerdictKind.STOP
