"""The bodies of a whole robot, all arms together, as capsules: what may touch what, and where everything is.

Pairs that are ignored are derived, not configured. Capsules are larger than the metal inside them, so besides bodies on
the same rigid part and bodies joined by one joint, these are ignored: bodies that (almost) overlap while the robot
rests in its home configuration, and bodies two joints apart that overlap only slightly over the whole range of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.urdf_chain import ChainJoint, UrdfChain, joint_motion
from vla3d_ros.geometry.segments import box_distances, segment_distances

Float = NDArray[np.float64]
Index = NDArray[np.int64]

_TOUCHING_M = 0.01  # closer than this at home: neighbours
_SLIGHT_SHARE = 0.5  # of the thinner capsule's radius
_SAMPLES = 13  # per joint, over its range
_X, _Y, _Z = 4, 2, 1  # corners of a box that lie beside corner 0 along each axis


class RobotCapsules:
    """Capsules of all arms of one robot and of what does not move, in the base frame.

    Attributes:
        links: (C,) the link of each capsule.
        radii: (C,) metres.
        arm_of: (C,) the arm that carries it, empty for what does not move.
        pairs: (P, 2) capsules that must stay apart.
        boxes: (B, 2, 3) lowest and highest corners of boxes that do not move, such as pedestals.
        box_links: (B,) their links.
        box_pairs: (Q, 2) capsules and boxes that must stay apart.
    """

    def __init__(self, urdf_path: Path, arms: Sequence[ArmSpec]) -> None:
        """Read the URDF.

        Args:
            urdf_path: The robot's URDF.
            arms: All arms; they share one base frame.

        Raises:
            ConfigError: If a joint is not below the base frame.
        """
        self._arms = tuple(arms)
        names = tuple(name for arm in arms for name in arm.joint_names)
        self._chain = UrdfChain(urdf_path, arms[0].base_frame, names)
        owners = tuple(arm.name for arm in arms for _ in arm.joint_names)
        self._collapse_fixed_joints()
        self._collect_shapes(owners)
        self.pairs = self._find_pairs()
        self.box_pairs = self._find_box_pairs()

    def place(self, q: Mapping[str, Float]) -> Float:
        """Place all capsules.

        Args:
            q: Arm name -> (T, J) rad, the same T for all arms, every arm of the robot.

        Returns:
            (T, C, 2, 3) m: the ends of every capsule's core.
        """
        columns = np.concatenate([q[arm.name] for arm in self._arms], axis=1)
        Ts_base_part = np.empty((len(self._joints) + 1, len(columns), 4, 4))
        Ts_base_part[0] = np.eye(4)
        for part, (joint, parent, T_parent_joint) in enumerate(self._joints, start=1):
            moved = joint_motion(joint, columns[:, self._columns[part - 1]])
            Ts_base_part[part] = Ts_base_part[parent] @ (T_parent_joint @ moved)
        R, p = Ts_base_part[self._part_of, :, :3, :3], Ts_base_part[self._part_of, :, :3, 3]
        placed = self._ends_part[:, None] @ R.transpose(0, 1, 3, 2) + p[:, :, None]
        return np.asarray(placed.transpose(1, 0, 2, 3), dtype=np.float64)

    def _collapse_fixed_joints(self) -> None:
        """Keep one rigid part per moving joint; part 0 does not move."""
        self._joints: list[tuple[ChainJoint, int, Float]] = []
        self._columns: list[int] = []
        placed: dict[str, tuple[int, Float]] = {self._chain.base_frame: (0, np.eye(4))}
        for joint in self._chain.joints:
            part, T_part_parent = placed[joint.parent]
            T_part_child = T_part_parent @ joint.T_parent_child
            if joint.column is None:
                placed[joint.child] = (part, T_part_child)
            else:
                self._joints.append((joint, part, T_part_child))
                self._columns.append(joint.column)
                placed[joint.child] = (len(self._joints), np.eye(4))
        self._placed = placed

    def _collect_shapes(self, owners: tuple[str, ...]) -> None:
        links, radii, parts, ends = [], [], [], []
        box_links, boxes = [], []
        for link, (part, T_part_link) in self._placed.items():
            for points, radius in self._chain.shapes_of(link):
                placed = points @ T_part_link[:3, :3].T + T_part_link[:3, 3]
                if part == 0 and len(points) > 2:
                    box_links.append(link)
                    boxes.append([placed.min(axis=0), placed.max(axis=0)])
                    continue
                core, core_radius = _capsule(placed, radius)
                links.append(link)
                radii.append(core_radius)
                parts.append(part)
                ends.append(core)
        self.links, self.box_links = tuple(links), tuple(box_links)
        self.radii: Float = np.array(radii, dtype=np.float64)
        self.boxes: Float = np.array(boxes, dtype=np.float64).reshape(-1, 2, 3)
        self._part_of: Index = np.array(parts, dtype=np.int64)
        self._ends_part: Float = np.array(ends, dtype=np.float64).reshape(-1, 2, 3)
        of_part = ["", *(owners[column] for column in self._columns)]
        self.arm_of = tuple(of_part[part] for part in parts)

    def _find_pairs(self) -> Index:
        above = np.array([0, *(parent for _, parent, _ in self._joints)])
        first, second = np.triu_indices(len(self.links), k=1)
        a, b = self._part_of[first], self._part_of[second]
        is_joined = (a == b) | (above[a] == b) | (above[b] == a)
        gap = self._gaps({arm.name: arm.q_home[None] for arm in self._arms}, first, second)[0]
        keep = ~is_joined & (gap > _TOUCHING_M)
        first, second = first[keep], second[keep]
        a, b = self._part_of[first], self._part_of[second]
        is_near = (above[above[b]] == a) | (above[above[a]] == b)
        is_harmless = is_near.copy()
        for i in np.flatnonzero(is_near):
            is_harmless[i] = self._overlaps_slightly(int(first[i]), int(second[i]))
        return np.stack([first[~is_harmless], second[~is_harmless]], axis=1)

    def _overlaps_slightly(self, first: int, second: int) -> bool:
        """Whether two capsules, two joints apart, overlap little over the whole range of these joints."""
        part = max(int(self._part_of[first]), int(self._part_of[second]))
        parent = self._joints[part - 1][1]
        columns = (self._columns[part - 1], self._columns[parent - 1])
        lower = np.concatenate([arm.limits.q_lower for arm in self._arms])
        upper = np.concatenate([arm.limits.q_upper for arm in self._arms])
        q = np.tile(np.concatenate([arm.q_home for arm in self._arms]), (_SAMPLES**2, 1))
        grid = np.meshgrid(*(np.linspace(lower[column], upper[column], _SAMPLES) for column in columns))
        for column, values in zip(columns, grid, strict=True):
            q[:, column] = values.ravel()
        edges = np.cumsum([len(arm.joint_names) for arm in self._arms])[:-1]
        by_arm = dict(zip((arm.name for arm in self._arms), np.split(q, edges, axis=1), strict=True))
        gap = self._gaps(by_arm, np.array([first]), np.array([second]))
        return bool(gap.min() > -_SLIGHT_SHARE * min(self.radii[first], self.radii[second]))

    def _gaps(self, q: Mapping[str, Float], first: Index, second: Index) -> Float:
        ends = self.place(q)
        gaps: Float = segment_distances(ends[:, first], ends[:, second]) - self.radii[first] - self.radii[second]
        return gaps

    def _find_box_pairs(self) -> Index:
        ends = self.place({arm.name: arm.q_home[None] for arm in self._arms})[0]
        above = np.array([0, *(parent for _, parent, _ in self._joints)])
        pairs = [
            (capsule, box)
            for box, (lower, upper) in enumerate(self.boxes)
            for capsule in range(len(self.links))
            if above[self._part_of[capsule]] > 0
            and box_distances(ends[capsule], lower, upper) > self.radii[capsule] + _TOUCHING_M
        ]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _capsule(points: Float, radius: float) -> tuple[Float, float]:
    """Return core (2, 3) and radius that enclose one shape: sphere, capsule or the corners of a box."""
    if len(points) <= 2:
        return points[[0, -1]], radius
    edges = points[[_X, _Y, _Z]] - points[0]
    lengths = np.linalg.norm(edges, axis=1)
    longest = int(lengths.argmax())
    centre, half = points.mean(axis=0), edges[longest] / 2
    return np.stack([centre - half, centre + half]), float(np.linalg.norm(np.delete(lengths, longest)) / 2)
