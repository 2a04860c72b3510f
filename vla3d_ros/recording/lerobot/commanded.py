"""Where an arm was told to be at an instant: the newest chunk received by then, between its steps along the screw.

Policies and teleoperation emit the same chunks, so this is the action of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.geometry import interpolate_transforms
from vla3d_ros.recording.lerobot.arm_tracks import ArmTrack
from vla3d_ros.replay.recorded_run import AnsweredChunk

Float = NDArray[np.float64]
Stamps = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Anchored:
    """A chunk in absolute poses: times_ns (T + 1,), the first at its stamp, Ts (T + 1, 4, 4), opening (T + 1,)."""

    times_ns: Stamps
    Ts_base_ee: Float
    opening: Float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Commands:
    """The chunks of one arm by reception. `unanchored` were stamped where the end effector's pose is not known."""

    receive_ns: Stamps
    chunks: tuple[_Anchored, ...]
    unanchored: int

    def at(self, times_ns: Stamps) -> tuple[Float, Float]:
        """Return Ts_base_ee (M, 4, 4) and opening (M,) that were commanded for instants (M,).

        Of the chunks received by an instant the newest counts; behind its last step, that step is held.

        Args:
            times_ns: Not before the first reception.
        """
        index = np.searchsorted(self.receive_ns, times_ns, side="right") - 1
        Ts_base_ee, opening = np.empty((len(times_ns), 4, 4)), np.empty(len(times_ns))
        for one in np.unique(index):
            chunk, rows = self.chunks[one], np.flatnonzero(index == one)
            inside = np.clip(times_ns[rows], chunk.times_ns[0], chunk.times_ns[-1])
            Ts_base_ee[rows] = interpolate_transforms(chunk.times_ns, chunk.Ts_base_ee, inside)
            after = (inside - chunk.times_ns[0]).astype(float)
            opening[rows] = np.interp(after, (chunk.times_ns - chunk.times_ns[0]).astype(float), chunk.opening)
        return Ts_base_ee, opening


def commands_of(track: ArmTrack, answered: Iterable[AnsweredChunk]) -> Commands:
    """Anchor the chunks of one arm at where it was at their stamps.

    Args:
        track: The arm as it was measured.
        answered: The recorded chunks; those without this arm are left aside.
    """
    spec, first_ns, last_ns = track.spec, int(track.stamps_ns[0]), int(track.stamps_ns[-1])
    stroke_m = spec.gripper.stroke_m if spec.gripper else 1.0
    of_arm = sorted((c for c in answered if spec.name in c.record.arms), key=lambda c: c.receive_ns)
    known = [c for c in of_arm if first_ns <= c.record.stamp_ns <= last_ns]
    Ts_base_ee0 = track.poses_at(np.array([c.record.stamp_ns for c in known], dtype=np.int64))
    chunks = []
    for one, T_base_ee0 in zip(known, Ts_base_ee0, strict=True):
        steps, record = one.record.arms[spec.name], one.record
        Ts_ee0_ee = np.tile(np.eye(4), (len(steps.opening_m) + 1, 1, 1))
        Ts_ee0_ee[1:, :3, :3] = Rotation.from_quat(steps.xyzw).as_matrix()
        Ts_ee0_ee[1:, :3, 3] = steps.p_ee0_ee
        opening = steps.opening_m / stroke_m
        chunks.append(
            _Anchored(
                times_ns=record.stamp_ns + record.dt_ns * np.arange(len(Ts_ee0_ee), dtype=np.int64),
                Ts_base_ee=T_base_ee0 @ Ts_ee0_ee,
                opening=np.concatenate([opening[:1], opening]),
            )
        )
    received = np.array([c.receive_ns for c in known], dtype=np.int64)
    return Commands(receive_ns=received, chunks=tuple(chunks), unanchored=len(of_arm) - len(known))
