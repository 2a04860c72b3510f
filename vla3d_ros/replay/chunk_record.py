"""Chunks as they are on the wire: what a recording holds and what a replay is compared by, to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk, read_only
from vla3d_ros.errors import ShapeError
from vla3d_ros.replay.bag_decoding import duration_ns

Float = NDArray[np.float64]

_EE, _FINGER = "_ee", "_finger"
_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmSteps:
    """One arm's T steps: p_ee0_ee (T, 3) m, xyzw (T, 4), opening_m (T,) metres between the fingers."""

    p_ee0_ee: Float
    xyzw: Float
    opening_m: Float

    def __post_init__(self) -> None:
        read_only(self.p_ee0_ee, (None, 3), "p_ee0_ee")
        read_only(self.xyzw, (len(self.p_ee0_ee), 4), "xyzw")
        read_only(self.opening_m, (len(self.p_ee0_ee),), "opening_m")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChunkRecord:
    """One chunk: the stamp of its observation, the time between steps, and the steps of every arm by name."""

    stamp_ns: int
    dt_ns: int
    arms: Mapping[str, ArmSteps]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over every bit of it: equal chunks have equal digests."""
        hashed = hashlib.blake2b(f"{self.stamp_ns}|{self.dt_ns}".encode(), digest_size=_BYTES)
        for arm, steps in sorted(self.arms.items()):
            hashed.update(arm.encode())
            for array in (steps.p_ee0_ee, steps.xyzw, steps.opening_m):
                hashed.update(np.ascontiguousarray(array + 0.0).tobytes())
        return hashed.hexdigest()


def record_of_chunk(chunk: ActionChunk, strokes_m: Mapping[str, float]) -> ChunkRecord:
    """Return what the policy node would put on the wire for a chunk."""
    arms = {
        part.arm: ArmSteps(
            p_ee0_ee=np.array(part.Ts_ee0_ee[:, :3, 3]),
            xyzw=Rotation.from_matrix(part.Ts_ee0_ee[:, :3, :3]).as_quat(),
            opening_m=np.array([float(opening) * strokes_m[part.arm] for opening in part.gripper_opening]),
        )
        for part in chunk.arms
    }
    return ChunkRecord(stamp_ns=chunk.stamp_ns, dt_ns=chunk.dt_ns, arms=arms)


def record_of_message(msg: Any) -> ChunkRecord:
    """Return the chunk of a recorded message.

    Raises:
        ShapeError: If it has no points, or a point is incomplete.
    """
    columns = {name: index for index, name in enumerate(msg.joint_names)}
    if not msg.points or any(len(point.transforms) != len(columns) for point in msg.points):
        raise ShapeError(
            f"a recorded chunk has {len(msg.points)} points; expected some, with {len(columns)} poses each"
        )
    arms = {}
    for name in (name.removesuffix(_EE) for name in columns if name.endswith(_EE)):
        poses = [point.transforms[columns[f"{name}{_EE}"]] for point in msg.points]
        fingers = [point.transforms[columns[f"{name}{_FINGER}"]] for point in msg.points]
        arms[name] = ArmSteps(
            p_ee0_ee=np.array([(p.translation.x, p.translation.y, p.translation.z) for p in poses]),
            xyzw=np.array([(p.rotation.x, p.rotation.y, p.rotation.z, p.rotation.w) for p in poses]),
            opening_m=np.array([finger.translation.x for finger in fingers]),
        )
    dt_ns = duration_ns(msg.points[0].time_from_start)
    return ChunkRecord(stamp_ns=duration_ns(msg.header.stamp), dt_ns=dt_ns, arms=arms)
