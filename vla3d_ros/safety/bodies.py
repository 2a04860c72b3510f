"""What the bodies of a robot may come close to: its other links, its other arm, boxes it must keep out of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import Reason
from vla3d_ros.geometry.segments import box_distances, segment_distances

Float = NDArray[np.float64]
Index = NDArray[np.int64]

_TOLERANCE_M = 5e-4


class RobotBodies(Protocol):
    """What the gate must know of a robot's shape; handed in, so that safety depends on no kinematics.

    Capsules c have `radii[c]`, boxes b have corners `boxes[b]` (2, 3) and do not move; `pairs` are two capsules,
    `box_pairs` a capsule and a box, which must stay apart. All in metres in the base frame.
    """

    links: tuple[str, ...]
    radii: Float
    arm_of: tuple[str, ...]
    pairs: Index
    boxes: Float
    box_links: tuple[str, ...]
    box_pairs: Index

    def place(self, q: Mapping[str, Float]) -> Float:
        """Return (T, C, 2, 3) m, the ends of the capsules' cores, for q (T, J) of every arm."""
        ...


def check_bodies(q: Mapping[str, Float], bodies: RobotBodies, keep_out: Float, clearance_m: float) -> list[Reason]:
    """Check the distances between bodies, and from bodies to boxes, at a row of configurations.

    What is too close already at the first configuration may stay so or come apart, but not get closer: otherwise an arm
    that was left there could never be moved.

    Args:
        q: Arm name -> (T, J) rad at common instants, every arm of the robot.
        bodies: Shape of the robot.
        keep_out: (B, 2, 3) lowest and highest corners of boxes no moving body may enter, m.
        clearance_m: Least distance.

    Returns:
        At most one reason each for the robot itself, two arms, and keep-out boxes: the worst.
    """
    ends = bodies.place(q)
    return [
        *_check_pairs(ends, bodies, clearance_m),
        *_check_own_boxes(ends, bodies, clearance_m),
        *_check_keep_out(ends, bodies, keep_out, clearance_m),
    ]


def _check_pairs(ends: Float, bodies: RobotBodies, clearance_m: float) -> list[Reason]:
    first, second = _close_pairs(ends, bodies, clearance_m).T
    if not len(first):
        return []
    gap = segment_distances(ends[:, first], ends[:, second]) - bodies.radii[first] - bodies.radii[second]
    is_across = np.array([_arms_differ(bodies, a, b) for a, b in zip(first, second, strict=True)])
    reasons = []
    for check, chosen in (("self_collision", ~is_across), ("arm_collision", is_across)):
        found = _worst(gap[:, chosen], clearance_m)
        if found is None:
            continue
        pair, gap_m, least_m = found
        a, b = bodies.links[first[chosen][pair]], bodies.links[second[chosen][pair]]
        reasons.append(_reason(check, a, f"link '{b}'", gap_m, least_m))
    return reasons


def _close_pairs(ends: Float, bodies: RobotBodies, clearance_m: float) -> Index:
    """Leave out the pairs whose enclosing spheres stay apart: most of them."""
    centres = ends.mean(axis=2)
    reach = np.linalg.norm(ends[0, :, 1] - ends[0, :, 0], axis=-1) / 2 + bodies.radii
    first, second = bodies.pairs.T
    between = np.linalg.norm(centres[:, first] - centres[:, second], axis=-1).min(axis=0)
    close: Index = bodies.pairs[between - reach[first] - reach[second] < clearance_m]
    return close


def _check_own_boxes(ends: Float, bodies: RobotBodies, clearance_m: float) -> list[Reason]:
    reasons = []
    for box, (lower, upper) in enumerate(bodies.boxes):
        capsules = bodies.box_pairs[bodies.box_pairs[:, 1] == box, 0]
        obstacle = f"link '{bodies.box_links[box]}'"
        reasons += _check_box(ends, capsules, bodies, (lower, upper, clearance_m), ("self_collision", obstacle))
    return reasons


def _check_keep_out(ends: Float, bodies: RobotBodies, keep_out: Float, clearance_m: float) -> list[Reason]:
    moving = np.flatnonzero(np.array([bool(arm) for arm in bodies.arm_of]))
    reasons = []
    for box, (lower, upper) in enumerate(keep_out):
        reasons += _check_box(ends, moving, bodies, (lower, upper, clearance_m), ("keep_out", f"keep-out box {box}"))
    return reasons


def _check_box(
    ends: Float, capsules: Index, bodies: RobotBodies, box: tuple[Float, Float, float], naming: tuple[str, str]
) -> list[Reason]:
    lower, upper, clearance_m = box
    centres = ends[:, capsules].mean(axis=2)
    reach = np.linalg.norm(ends[0, capsules, 1] - ends[0, capsules, 0], axis=-1) / 2 + bodies.radii[capsules]
    outside = np.linalg.norm(np.maximum(np.maximum(lower - centres, centres - upper), 0.0), axis=-1).min(axis=0)
    capsules = capsules[outside - reach < clearance_m]
    if not len(capsules):
        return []
    found = _worst(box_distances(ends[:, capsules], lower, upper) - bodies.radii[capsules], clearance_m)
    if found is None:
        return []
    capsule, gap_m, least_m = found
    return [_reason(naming[0], bodies.links[capsules[capsule]], naming[1], gap_m, least_m)]


def _worst(gap: Float, clearance_m: float) -> tuple[int, float, float] | None:
    """Return column, gap and least gap of the largest violation in (T, N) gaps, None if there is none."""
    if not gap.size:
        return None
    least = np.minimum(clearance_m, gap[0])
    shortfall = least - gap
    at, column = np.unravel_index(int(shortfall.argmax()), gap.shape)
    if shortfall[at, column] <= _TOLERANCE_M:
        return None
    return int(column), float(gap[at, column]), float(least[column])


def _arms_differ(bodies: RobotBodies, first: int, second: int) -> bool:
    arms = {bodies.arm_of[first], bodies.arm_of[second]}
    return len(arms) > 1 and "" not in arms


def _reason(check: str, link: str, obstacle: str, gap_m: float, least_m: float) -> Reason:
    text = f"link '{link}' would come to {1e3 * gap_m:.1f} mm from {obstacle}, allowed {1e3 * least_m:.1f} mm"
    return Reason(check=check, message=text)
