"""Two sets of chunks, stamp by stamp: in millimetres, degrees and millimetres of opening, for every step ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.replay.chunk_record import ArmSteps, ChunkRecord

Float = NDArray[np.float64]

QUANTITIES: Mapping[str, str] = {"position": "mm", "rotation": "deg", "gripper": "mm"}
_PERCENTILES = (50.0, 95.0, 100.0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChunkDifference:
    """One chunk against its reference: position_mm, rotation_deg, gripper_mm (T,), the worst of all arms a step.

    Positions are compared relative to the same end-effector pose, so they differ as they would in the base frame.
    """

    stamp_ns: int
    is_identical: bool
    position_mm: Float
    rotation_deg: Float
    gripper_mm: Float

    def worst(self, quantity: str) -> float:
        """Return the largest difference of all steps."""
        return float(self.of(quantity).max(initial=0.0))

    def of(self, quantity: str) -> Float:
        """Return (T,) differences of a quantity of `QUANTITIES`."""
        return {"position": self.position_mm, "rotation": self.rotation_deg, "gripper": self.gripper_mm}[quantity]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Comparison:
    """All chunks of a replay against a reference.

    missing: stamps only the reference has. extra: stamps only the replay has. incomparable: stamp -> why.
    """

    against: str
    differences: tuple[ChunkDifference, ...]
    missing: tuple[int, ...]
    extra: tuple[int, ...]
    incomparable: Mapping[int, str]

    @property
    def identical(self) -> int:
        """Chunks equal to the last bit."""
        return sum(difference.is_identical for difference in self.differences)

    def worst(self, quantity: str) -> float:
        """Return the largest difference of all chunks and steps; 0 without chunks."""
        return max((difference.worst(quantity) for difference in self.differences), default=0.0)

    def horizons(self, quantity: str) -> Float:
        """Return (3, T): median, 95th percentile and maximum over the chunks, for every step ahead."""
        steps = max((len(difference.of(quantity)) for difference in self.differences), default=0)
        table = np.full((len(self.differences), steps), np.nan)
        for row, difference in enumerate(self.differences):
            table[row, : len(difference.of(quantity))] = difference.of(quantity)
        if not table.size:
            return np.zeros((len(_PERCENTILES), steps))
        percentiles: Float = np.nanpercentile(table, _PERCENTILES, axis=0)
        return percentiles

    def worst_moments(self, count: int, apart_s: float = 0.0) -> tuple[ChunkDifference, ...]:
        """Return the chunks that differ most in position, then in rotation, and lie apart; none that is identical."""
        differing = [difference for difference in self.differences if not difference.is_identical]
        chosen: list[ChunkDifference] = []
        for one in sorted(differing, key=lambda d: (d.worst("position"), d.worst("rotation")), reverse=True):
            if len(chosen) < count and all(abs(one.stamp_ns - other.stamp_ns) >= apart_s * 1e9 for other in chosen):
                chosen.append(one)
        return tuple(chosen)


def compare(
    replayed: Sequence[ChunkRecord], reference: Mapping[int, ChunkRecord], against: str, digests: Mapping[int, str]
) -> Comparison:
    """Compare chunks of the same stamps.

    Args:
        replayed: What the replay made.
        reference: What it is measured by, by stamp.
        against: Name of the reference.
        digests: The reference's chunk digests by stamp, where it keeps fewer bits than they were made of; else empty.

    Returns:
        The comparison.
    """
    differences: list[ChunkDifference] = []
    incomparable: dict[int, str] = {}
    for record in replayed:
        known = reference.get(record.stamp_ns)
        if known is None:
            continue
        problem = _shape_problem(record, known)
        if problem:
            incomparable[record.stamp_ns] = problem
        else:
            differences.append(_difference(record, known, digests.get(record.stamp_ns, known.digest)))
    stamps = {record.stamp_ns for record in replayed}
    return Comparison(
        against=against,
        differences=tuple(differences),
        missing=tuple(sorted(set(reference) - stamps)),
        extra=tuple(sorted(stamps - set(reference))),
        incomparable=incomparable,
    )


def _shape_problem(record: ChunkRecord, known: ChunkRecord) -> str:
    shape = {arm: len(steps.opening_m) for arm, steps in record.arms.items()}
    expected = {arm: len(steps.opening_m) for arm, steps in known.arms.items()}
    if shape != expected:
        return f"has steps by arm {shape}; the reference has {expected}"
    if record.dt_ns != known.dt_ns:
        return f"has {record.dt_ns / 1e6:.3f} ms between steps; the reference has {known.dt_ns / 1e6:.3f} ms"
    return ""


def _difference(record: ChunkRecord, known: ChunkRecord, digest: str) -> ChunkDifference:
    if record.digest == digest:
        known = record  # the reference may keep fewer digits than it was made of
    pairs = [(steps, known.arms[arm]) for arm, steps in record.arms.items()]
    return ChunkDifference(
        stamp_ns=record.stamp_ns,
        is_identical=record.digest == digest,
        position_mm=np.max([1e3 * np.linalg.norm(a.p_ee0_ee - b.p_ee0_ee, axis=1) for a, b in pairs], axis=0),
        rotation_deg=np.max([_angles_deg(a, b) for a, b in pairs], axis=0),
        gripper_mm=np.max([1e3 * np.abs(a.opening_m - b.opening_m) for a, b in pairs], axis=0),
    )


def _angles_deg(a: ArmSteps, b: ArmSteps) -> Float:
    """(T,) angles between rotations; exactly 0 for equal quaternions."""
    angles: Float = np.degrees((Rotation.from_quat(a.xyzw).inv() * Rotation.from_quat(b.xyzw)).magnitude())
    angles[(a.xyzw == b.xyzw).all(axis=1)] = 0.0
    return angles
