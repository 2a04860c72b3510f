"""What was measured of every arm, as tracks that can be asked at any instant between their first and last stamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment
from vla3d_ros.geometry import interpolate_transforms
from vla3d_ros.replay import bag_decoding as decoding
from vla3d_ros.replay.jump_guard import JumpGuard
from vla3d_ros.replay.recorded_run import RecordedRun

Float = NDArray[np.float64]
Stamps = NDArray[np.int64]

_EE, _FINGER = "_ee", "_finger"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArmTrack:
    """One arm: Ts_base_ee (N, 4, 4) and opening (N,) 0..1 at stamps_ns (N,); per joint its own (stamps_ns, q)."""

    spec: ArmSpec
    stamps_ns: Stamps
    Ts_base_ee: Float
    opening: Float
    joints: tuple[tuple[Stamps, Float], ...]

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last instant at which everything is known."""
        all_stamps = [self.stamps_ns, *(stamps for stamps, _ in self.joints)]
        return max(int(s[0]) for s in all_stamps), min(int(s[-1]) for s in all_stamps)

    def poses_at(self, times_ns: Stamps) -> Float:
        """Return (M, 4, 4) poses, along the screw between the neighbours; times within the span."""
        return interpolate_transforms(self.stamps_ns, self.Ts_base_ee, times_ns)

    def opening_at(self, times_ns: Stamps) -> Float:
        """Return (M,) openings, linear between the neighbours."""
        return _linear(self.stamps_ns, self.opening, times_ns)

    def q_at(self, times_ns: Stamps) -> Float:
        """Return (M, J) rad, linear between the neighbours."""
        return np.stack([_linear(stamps, q, times_ns) for stamps, q in self.joints], axis=1)

    def gaps(self, start_ns: int, end_ns: int) -> dict[str, tuple[int, int]]:
        """Return the longest gap (length_ns, start_ns) that touches a span, of the pose and of the worst joint."""
        joints = [
            (longest_gap(stamps, start_ns, end_ns), name)
            for name, (stamps, _) in zip(self.spec.joint_names, self.joints, strict=True)
        ]
        worst, name = max(joints)
        return {"the end effector": longest_gap(self.stamps_ns, start_ns, end_ns), f"joint '{name}'": worst}


def longest_gap(stamps_ns: Stamps, start_ns: int, end_ns: int) -> tuple[int, int]:
    """Return (length_ns, start_ns) of the longest interval between stamps that touches a span; (0, start) if none."""
    lengths = np.diff(stamps_ns)
    touches = (stamps_ns[1:] > start_ns) & (stamps_ns[:-1] < end_ns)
    if not touches.any():
        return 0, start_ns
    at = int(np.argmax(np.where(touches, lengths, -1)))
    return int(lengths[at]), int(stamps_ns[at])


def read_tracks(run: RecordedRun, robot: Embodiment, problems: list[str]) -> tuple[ArmTrack, ...]:
    """Return the tracks of all arms, in the robot's order.

    Args:
        run: The recording.
        robot: Which arms and joints there must be.
        problems: Is given a sentence for everything that is missing or that no arm does; then the tracks are useless.
    """
    if not run.joints:
        problems.append("no joint states on a topic 'joint_states' of type sensor_msgs/msg/JointState")
    if not run.ee_messages:
        problems.append("no end-effector states on a topic 'ee_state' of type sensor_msgs/msg/MultiDOFJointState")
    if problems:
        return ()
    speeds = dict(pair for arm in robot.arms for pair in zip(arm.joint_names, arm.limits.velocity, strict=True))
    guard = JumpGuard(run.layout.joint_states, {name: float(speed) for name, speed in speeds.items()})
    for reading in run.joints:
        guard.accepts(reading.names, reading.q, reading.stamp_ns)
    problems += guard.sentences()
    readings = _readings(run)
    heard = sorted({name for name, series in readings.items() if series})
    tracks = [_track(arm, run, readings, heard, problems) for arm in robot.arms]
    return tuple(track for track in tracks if track is not None)


def _track(
    arm: ArmSpec,
    run: RecordedRun,
    readings: Mapping[str, list[tuple[int, float]]],
    heard: list[str],
    problems: list[str],
) -> ArmTrack | None:
    unheard = [name for name in arm.joint_names if name not in heard]
    if unheard:
        problems.append(f"arm '{arm.name}': no states of joints {unheard}; the bag has {heard}")
    names = set(run.ee_messages[0][1].joint_names)
    wanted = [f"{arm.name}{_EE}", *([f"{arm.name}{_FINGER}"] if arm.gripper else [])]
    if absent := [name for name in wanted if name not in names]:
        problems.append(f"arm '{arm.name}': ee_state lacks {absent}; it names {sorted(names)}")
    if unheard or absent:
        return None
    stroke_m = arm.gripper.stroke_m if arm.gripper else 1.0
    poses = sorted({stamp: _ee(msg, arm, stroke_m) for stamp, msg in run.ee_messages}.items())
    if poses[0][0] <= 0:
        problems.append(f"'{run.layout.ee_state}' has messages with stamp zero")
        return None
    return ArmTrack(
        spec=arm,
        stamps_ns=np.array([stamp for stamp, _ in poses], dtype=np.int64),
        Ts_base_ee=np.stack([T for _, (T, _) in poses]),
        opening=np.array([opening for _, (_, opening) in poses]),
        joints=tuple(_series(readings[name]) for name in arm.joint_names),
    )


def _ee(msg: Any, arm: ArmSpec, stroke_m: float) -> tuple[Float, float]:
    by_name = dict(zip(msg.joint_names, msg.transforms, strict=True))
    finger = by_name.get(f"{arm.name}{_FINGER}")
    opening = float("nan") if finger is None else float(finger.translation.x) / stroke_m
    return decoding.transform(by_name[f"{arm.name}{_EE}"]).matrix, opening


def _readings(run: RecordedRun) -> dict[str, list[tuple[int, float]]]:
    """Every joint's own series: messages may be about some joints only."""
    found: dict[str, list[tuple[int, float]]] = {}
    for reading in run.joints:
        if len(reading.q) == len(reading.names):
            for name, q in zip(reading.names, reading.q, strict=True):
                if np.isfinite(q):
                    found.setdefault(name, []).append((reading.stamp_ns, float(q)))
    return found


def _series(readings: Sequence[tuple[int, float]]) -> tuple[Stamps, Float]:
    ordered = sorted(dict(readings).items())
    return np.array([s for s, _ in ordered], dtype=np.int64), np.array([q for _, q in ordered])


def _linear(stamps_ns: Stamps, values: Float, times_ns: Stamps) -> Float:
    """Interpolate with times counted from the first stamp, so that no precision is lost."""
    start_ns = stamps_ns[0]
    result: Float = np.interp((times_ns - start_ns).astype(float), (stamps_ns - start_ns).astype(float), values)
    return result
