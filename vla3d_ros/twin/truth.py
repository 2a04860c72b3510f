"""What a world lets others know: joints to everybody, the truth about objects to judges only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JointSample:
    """Joints of all arms and grippers at one instant: (N,) rad or m, rad/s or m/s, Nm or N, by name."""

    stamp_ns: int
    names: tuple[str, ...]
    q: Float
    dq: Float
    effort: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ObjectTruth:
    """A cube or pad: its pose in the world (the root link of the URDF) and its speed in m/s."""

    T_world_object: Transform
    speed_m_s: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Truth:
    """What only a judge may know: objects of the trial by colour, each arm's gripper opening and end effector (3,)."""

    stamp_ns: int
    cubes: Mapping[str, ObjectTruth]
    pads: Mapping[str, ObjectTruth]
    gripper_opening: Mapping[str, float]
    p_world_ee: Mapping[str, Float]
