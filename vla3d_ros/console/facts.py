"""What the console has heard so far, and how long ago: everything the page shows is made from this."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla3d_ros.datatypes import Float

NEVER_S = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The newest word of somebody: its named values, its message, and seconds of wall time since it was heard."""

    values: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    silent_s: float = NEVER_S

    @property
    def is_known(self) -> bool:
        """Whether anything was heard at all."""
        return self.silent_s < NEVER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFacts:
    """One camera, in ROS time but for `silent_s`.

    `age_ms` is the time since capture, `skew_ms` to the anchor's nearest image; rates go by stamps; `size_px` (W, H).
    """

    name: str
    silent_s: float = NEVER_S
    age_ms: float | None = None
    skew_ms: float | None = None
    rate_hz: float | None = None
    expected_hz: float = 0.0
    max_skew_ms: float = 0.0
    size_px: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmFacts:
    """One arm: q (J,) rad between q_lower and q_upper, p_base_ee (3,) m, opening of the gripper in m."""

    name: str
    joint_names: tuple[str, ...]
    q: Float | None
    q_lower: Float
    q_upper: Float
    p_base_ee: Float | None = None
    opening_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWord:
    """What a node last said on /diagnostics; `level` is ok, warning or error."""

    name: str
    level: str
    message: str
    silent_s: float
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request was answered, for the log: wall time of day, who was asked for what."""

    at: str
    request: str
    is_granted: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it at one instant.

    `ee_silent_s` is the time since the adapter last published the arms' state: it does so all the time it lives, while
    `adapter` is what it latched. `stop_pressed_s` is the time since STOP was pressed, None if it never was.
    """

    deployment: str
    has_twin: bool
    is_simulated: bool
    ros_s: float = 0.0
    clock_silent_s: float = NEVER_S
    joints_silent_s: float = NEVER_S
    ee_silent_s: float = NEVER_S
    adapter: Said = field(default_factory=Said)
    policy: Said = field(default_factory=Said)
    verdict: Said = field(default_factory=Said)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    recorder: Said = field(default_factory=Said)
    cameras: tuple[CameraFacts, ...] = ()
    arms: tuple[ArmFacts, ...] = ()
    nodes: tuple[NodeWord, ...] = ()
    answers: tuple[Answer, ...] = ()
    instruction: str = ""
    scene: Mapping[str, Any] = field(default_factory=dict)
    stop_pressed_s: float | None = None
    desk: Mapping[str, Any] | None = None
    tabs: int = 0
