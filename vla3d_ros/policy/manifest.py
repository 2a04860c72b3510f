"""The nouns of a policy package's `manifest.yaml`: what the policy sees, knows and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

SCHEMA = "vla3d-policy-package/1"
ROUTES = ("trunk", "vla3d", "gear", "vipa", "think3d")
CUSTOM_ROUTE = "custom"
REPRESENTATION = "relative_se3_rot6d_gripper"
ACTION_WIDTH = 10
"""Numbers per arm and step: position of T_ee0_ee (3, m), first two columns of its rotation (6), gripper opening."""
FITS = ("letterbox", "stretch")
DISTORTIONS = ("undistort", "refuse")
DEPTHS = ("unused", "optional", "required")
SEED_POLICIES = ("per_observation", "fixed")
RTC_KINDS = ("none", "guidance", "prefix")
TEXT_KINDS = ("none", "hashed_words")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSpec:
    """One picture the policy wants.

    Attributes:
        name: What the package calls it; the deployment says which camera that is.
        width_px: Width of the picture in the graph.
        height_px: Height of the picture in the graph.
        fit: `letterbox` keeps the aspect and pads with black; `stretch` does not keep it.
        distortion: What happens to a camera with lens distortion: `undistort` or `refuse`.
        depth: `unused`, `optional` or `required`: aligned depth.
        uses_intrinsics: Whether K matters to the policy: the camera must be calibrated.
        uses_extrinsics: Whether T_base_camera matters to the policy.
        is_required: Whether the policy can not do without this view.
    """

    name: str
    width_px: int
    height_px: int
    fit: str = "letterbox"
    distortion: str = "undistort"
    depth: str = "unused"
    uses_intrinsics: bool = True
    uses_extrinsics: bool = True
    is_required: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EmbodimentSpec:
    """A robot the policy was trained on.

    joints: number of joints of the arm in each slot, 0 where there is none. state_mean, state_std (A, 10 + J):
    normalisation of [p (3) m, rot6d (6), gripper opening, q (J) rad].
    """

    name: str
    index: int
    joints: tuple[int, ...]
    state_mean: Float
    state_std: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ActionSpec:
    """The chunk: `steps` of `dt_ns`; mean, std (A, 10) of [p (3) m, rot6d (6), gripper opening] per arm slot."""

    steps: int
    dt_ns: int
    mean: Float
    std: Float
    representation: str = REPRESENTATION


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec:
    """How the instruction enters: `hashed_words` with so many buckets and at most so many words, or `none`."""

    kind: str = "none"
    buckets: int = 1
    length: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSpec:
    """Where the flow's noise comes from: `value` with the observation's stamp, or `fixed`: the same every time."""

    policy: str = "per_observation"
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RtcSpec:
    """Real-time chunking the graphs support.

    `none`; `guidance`: any flow policy, bounded by beta; `prefix`: trained with up to max_prefix_steps fixed steps.
    """

    kind: str = "guidance"
    beta: float = 5.0
    max_prefix_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far an engine's chunk may be from the golden one: mm, degrees, share of the gripper's stroke.

    `instances` is the smallest share of instances that must be found again, 0 to 1.
    """

    position_mm: float
    rotation_deg: float
    gripper: float
    instances: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of the package, relative to its folder."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Manifest:
    """Everything about a policy that is not a tensor.

    Attributes:
        name: Name of the package, that of its folder.
        title: One line for people; that of an untrained policy says so.
        is_trained: Whether it learned anything.
        route: One of this program's networks, or `custom` for anybody else's graphs.
        config: Settings of that network.
        views: Pictures, in the graph's order, all of one size.
        arm_slots: Names of the arm slots, in the graph's order.
        max_joints: Joint values in the state of one slot, padded with zeros.
        embodiments: Robots.
        actions: The chunk.
        text: The instruction.
        uses_prompt: Whether a first picture with the target's mask is looked at.
        requires_prompt: Whether the policy can not do without that picture.
        flow_steps: Euler steps the policy is meant to run with.
        seed: Noise.
        rtc: Real-time chunking.
        tolerances: By precision; one for fp32 at least.
        licence: Of the weights.
        provenance: Where the weights come from, in words.
        files: All files but the manifest itself.
    """

    name: str
    title: str
    is_trained: bool
    route: str
    config: Mapping[str, Any]
    views: tuple[ViewSpec, ...]
    arm_slots: tuple[str, ...]
    max_joints: int
    embodiments: tuple[EmbodimentSpec, ...]
    actions: ActionSpec
    text: TextSpec
    uses_prompt: bool
    flow_steps: int
    seed: SeedSpec
    rtc: RtcSpec
    tolerances: Mapping[str, Tolerance]
    licence: str
    provenance: Mapping[str, str]
    files: tuple[FileEntry, ...] = ()
    requires_prompt: bool = False

    @property
    def chunk_width(self) -> int:
        """Numbers of one chunk step: arm slots times 10."""
        return len(self.arm_slots) * ACTION_WIDTH

    @property
    def state_width(self) -> int:
        """Numbers of one arm's state: 10 and the joints."""
        return ACTION_WIDTH + self.max_joints

    def embodiment(self, name: str) -> EmbodimentSpec | None:
        """Return a robot by name, None if the policy does not know it."""
        return next((spec for spec in self.embodiments if spec.name == name), None)
