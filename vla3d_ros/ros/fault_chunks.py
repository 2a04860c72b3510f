"""Chunks no sound policy would send: one flaw each, and courses that head for trouble."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.ros.conversions import duration_from_ns, stamp_from_ns, stamp_to_ns

Float = NDArray[np.float64]

_STEPS, _DT_NS = 30, 33_333_333
_HUGE = 2000
_MS = 1_000_000
_LATER_NS = {"stale": -2000 * _MS, "future": 1000 * _MS, "old": -100 * _MS}

# Velocities of the end effector in the base frame: x, y, z in m/s, then about its own z axis in rad/s.
_COURSES: Mapping[str, tuple[float, float, float, float]] = {
    "seek_table": (0.0, 0.0, -0.15, 0.0),
    "seek_edge": (0.0, -0.2, 0.0, 0.0),
    "seek_body": (-0.2, 0.05, -0.1, 0.0),
    "seek_keep_out": (0.0, 0.2, 0.0, 0.0),
    "seek_limit": (0.0, 0.0, 0.0, 1.0),
    "seek_singularity": (0.2, 0.0, 0.1, 0.0),
}
_RANDOM_SPEED = np.array([0.4, 0.4, 0.4, 1.5])  # standard deviations, of the same four


def flawed(template: MultiDOFJointTrajectory, flaw: str) -> MultiDOFJointTrajectory:
    """Return a copy of a sound chunk with one flaw, a millisecond newer.

    Args:
        template: A chunk the policy has just sent.
        flaw: What to spoil.
    """
    chunk = copy.deepcopy(template)
    later_ns = _LATER_NS.get(flaw, _MS)
    chunk.header.stamp = stamp_from_ns(max(stamp_to_ns(template.header.stamp) + later_ns, 0))
    if flaw not in _LATER_NS:
        _SPOIL[flaw](chunk)
    return chunk


def heading(course: str, poses: Mapping[str, Transform], stamp_ns: int, generator: np.random.Generator) -> ActionChunk:
    """Return a chunk of one second that heads for trouble.

    Args:
        course: One of the seekers, or `random`.
        poses: Arm name -> T_base_ee at the stamp.
        stamp_ns: Stamp of the robot state.
        generator: For `random`.
    """
    velocity = generator.normal(size=4) * _RANDOM_SPEED if course == "random" else np.array(_COURSES[course])
    opening = float(generator.uniform()) if course == "random" else 1.0
    seconds = np.arange(1, _STEPS + 1) * _DT_NS * 1e-9
    arms = []
    for arm, T_base_ee in poses.items():
        twists = np.zeros((_STEPS, 6))
        twists[:, :3] = seconds[:, None] * (T_base_ee.rotation.T @ velocity[:3])
        turns = np.zeros((_STEPS, 6))
        turns[:, 5] = seconds * velocity[3]
        Ts_ee0_ee = exp_se3(twists) @ exp_se3(turns)
        arms.append(ArmChunk(arm=arm, Ts_ee0_ee=Ts_ee0_ee, gripper_opening=np.full(_STEPS, opening)))
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=_DT_NS, arms=tuple(arms))


def _set_times(chunk: MultiDOFJointTrajectory, dt_ns: int) -> None:
    for step, point in enumerate(chunk.points, start=1):
        point.time_from_start = duration_from_ns(step * dt_ns)


def _nan(chunk: MultiDOFJointTrajectory) -> None:
    chunk.points[3].transforms[0].translation.x = math.nan


def _inf(chunk: MultiDOFJointTrajectory) -> None:
    chunk.points[3].transforms[1].translation.x = math.inf


def _wide(chunk: MultiDOFJointTrajectory) -> None:
    for point in chunk.points:
        point.transforms[1].translation.x = 1.0  # a metre: wider than any gripper opens


def _quaternion(chunk: MultiDOFJointTrajectory) -> None:
    chunk.points[0].transforms[0].rotation.w = 2.0


def _arm(chunk: MultiDOFJointTrajectory) -> None:
    chunk.joint_names = [f"other_{name}" for name in chunk.joint_names]


def _names(chunk: MultiDOFJointTrajectory) -> None:
    chunk.joint_names = chunk.joint_names[:1]
    for point in chunk.points:
        point.transforms = point.transforms[:1]


def _empty(chunk: MultiDOFJointTrajectory) -> None:
    chunk.points = []


def _ragged(chunk: MultiDOFJointTrajectory) -> None:
    chunk.points[-1].time_from_start = duration_from_ns(_DT_NS)


def _huge(chunk: MultiDOFJointTrajectory) -> None:
    last = chunk.points[-1]
    chunk.points = [
        type(last)(transforms=last.transforms, time_from_start=duration_from_ns(step * _DT_NS))
        for step in range(1, _HUGE + 1)
    ]


def _tiny_dt(chunk: MultiDOFJointTrajectory) -> None:
    _set_times(chunk, 10_000)


def _jump(chunk: MultiDOFJointTrajectory) -> None:
    for point in chunk.points:
        point.transforms[0].translation.x += 0.5


_SPOIL: Mapping[str, Callable[[MultiDOFJointTrajectory], None]] = {
    "nan": _nan,
    "inf": _inf,
    "wide": _wide,
    "quaternion": _quaternion,
    "arm": _arm,
    "names": _names,
    "empty": _empty,
    "ragged": _ragged,
    "huge": _huge,
    "tiny_dt": _tiny_dt,
    "jump": _jump,
}
