"""What an episode looked like, as plain arrays: the input of metrics, reports and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraImage

Float = NDArray[np.float64]
Stamps = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTopics:
    """Which topic of a bag carries what; "" where the bag has none.

    `images` maps camera name to topic, `planned_paths` arm name to topic.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    planned_paths: Mapping[str, str] = field(default_factory=dict)
    joint_states: str = ""
    ee_state: str = ""
    chunk: str = ""
    policy_report: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CameraTrack:
    """First and last image of one camera, and how many there were."""

    camera: str
    first: CameraImage
    last: CameraImage
    count: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointTrack:
    """Joint states merged by name: stamps_ns (N,), q (N, J) rad or m, dq (N, J) per second; NaN until first seen."""

    names: tuple[str, ...]
    stamps_ns: Stamps
    q: Float
    dq: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PoseTrack:
    """Measured end-effector poses: stamps_ns (N,), p_base_ee (N, 3) m, xyzw (N, 4)."""

    stamps_ns: Stamps
    p_base_ee: Float
    xyzw: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PlannedPath:
    """One planned end-effector path of an arm: p_base_ee (T, 3) m from `start_ns` on, one pose a chunk step."""

    arm: str
    start_ns: int
    p_base_ee: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChunkTrack:
    """Which observations chunks answered and when they came: stamps_ns (N,) and receive_ns (N,), both ROS clock.

    `dt_ns` is the time between two steps of a chunk, 0 if unknown.
    """

    stamps_ns: Stamps
    receive_ns: Stamps
    dt_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEntry:
    """One DiagnosticStatus: level 0 ok, 1 warning, 2 error; message and named values as text."""

    stamp_ns: int
    name: str
    level: int
    message: str
    values: Mapping[str, str]

    def number(self, key: str) -> float:
        """Return a named value as a number; NaN where it is absent or not a number."""
        try:
            return float(self.values.get(key, "nan"))
        except ValueError:
            return float("nan")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EpisodeTrace:
    """One episode; `ee_paths` is by arm.

    Missing streams are None or empty; `notes` says in sentences what could not be read.
    """

    path: Path
    start_ns: int
    duration_ns: int
    cameras: tuple[CameraTrack, ...] = ()
    joints: JointTrack | None = None
    ee_paths: Mapping[str, PoseTrack] = field(default_factory=dict)
    planned_paths: tuple[PlannedPath, ...] = ()
    chunks: ChunkTrack | None = None
    policy_reports: tuple[StatusEntry, ...] = ()
    verdicts: tuple[StatusEntry, ...] = ()
    lost_sets: int | None = None
    notes: tuple[str, ...] = ()
