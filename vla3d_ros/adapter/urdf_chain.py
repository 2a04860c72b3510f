"""The moving bodies of one arm, read from its URDF, with forward kinematics for many configurations at once.

Collision geometry follows the convention of this package's URDFs: a `<cylinder>` is the core of a capsule (half spheres
at both ends), a `<box>` is a box, a `<sphere>` a sphere. Each becomes points with a radius, which is exact for the
distance to a plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

_BOX_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChainJoint:
    """One joint: its fixed placement in the parent link and how it moves.

    column is the index into q, or None for a joint which is fixed or not part of the arm (then `T_parent_child` already
    holds its constant displacement). axis (3,) is in the child's frame.
    """

    name: str
    parent: str
    child: str
    T_parent_child: Float
    axis: Float
    is_prismatic: bool
    column: int | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BodyPoints:
    """Collision geometry: points_link (P, 3) m in the frame of links[p], each with radii (P,) m."""

    links: tuple[str, ...]
    points_link: Float
    radii: Float


class UrdfChain:
    """The part of a URDF tree that hangs below one base frame."""

    def __init__(self, urdf_path: Path, base_frame: str, joint_names: tuple[str, ...]) -> None:
        """Parse the tree.

        Joints that are not in joint_names (fingers, other arms) stay where they take the most room: a prismatic joint
        at its upper limit, a revolute one at zero.

        Args:
            urdf_path: The robot's URDF.
            base_frame: Link in which all results are expressed.
            joint_names: (J,) joints in the order of q.

        Raises:
            ConfigError: If a joint is not below the base frame.
        """
        root = ElementTree.parse(urdf_path).getroot()
        self.base_frame = base_frame
        self.joints = _joints_below(root, base_frame, joint_names)
        found = {joint.name for joint in self.joints if joint.column is not None}
        missing = [name for name in joint_names if name not in found]
        if missing:
            raise ConfigError(f"{urdf_path.name}: joints {missing} do not hang below base frame '{base_frame}'")
        self._links = {str(link.get("name")): link for link in root.findall("link")}

    def place_links(self, q: Float) -> dict[str, Float]:
        """Place every link below the base.

        Args:
            q: (T, J) rad or m.

        Returns:
            Link name -> (T, 4, 4) poses in the base frame.
        """
        placed: dict[str, Float] = {self.base_frame: np.broadcast_to(np.eye(4), (len(q), 4, 4))}
        for joint in self.joints:
            placed[joint.child] = placed[joint.parent] @ joint.T_parent_child
            if joint.column is not None:
                placed[joint.child] = placed[joint.child] @ joint_motion(joint, q[:, joint.column])
        return placed

    def moving_bodies(self) -> BodyPoints:
        """Return the collision points of all links that move with the arm."""
        moving: list[str] = []
        for joint in self.joints:
            if joint.column is not None or joint.parent in moving:
                moving.append(joint.child)
        shapes = [(name, *shape) for name in moving for shape in _shapes(self._links[name])]
        return BodyPoints(
            links=tuple(name for name, points, _ in shapes for _ in points),
            points_link=np.concatenate([points for _, points, _ in shapes] or [np.zeros((0, 3))]),
            radii=np.concatenate([np.full(len(points), radius) for _, points, radius in shapes] or [np.zeros(0)]),
        )

    def shapes_of(self, link: str) -> list[tuple[Float, float]]:
        """Return a link's collision shapes as (points in its frame, radius m): sphere 1, capsule 2, box 8 points."""
        return _shapes(self._links[link])

    def children_of(self, joint_names: tuple[str, ...]) -> frozenset[str]:
        """Return the links carried by the named joints."""
        return frozenset(joint.child for joint in self.joints if joint.name in joint_names)


def _joints_below(root: ElementTree.Element, base_frame: str, joint_names: tuple[str, ...]) -> tuple[ChainJoint, ...]:
    by_parent: dict[str, list[ElementTree.Element]] = {}
    for element in root.findall("joint"):
        by_parent.setdefault(_link(element, "parent"), []).append(element)
    joints: list[ChainJoint] = []
    frontier = [base_frame]
    while frontier:
        for element in by_parent.get(frontier.pop(0), []):
            joints.append(_chain_joint(element, joint_names))
            frontier.append(joints[-1].child)
    return tuple(joints)


def _chain_joint(element: ElementTree.Element, joint_names: tuple[str, ...]) -> ChainJoint:
    name, kind = str(element.get("name")), str(element.get("type"))
    axis_element = element.find("axis")
    axis = _numbers(axis_element.get("xyz") if axis_element is not None else None, (1.0, 0.0, 0.0))
    T_parent_child = _origin(element)
    limit = element.find("limit")
    column = joint_names.index(name) if name in joint_names else None
    if column is None and kind == "prismatic" and limit is not None:
        T_parent_child = (
            T_parent_child @ Transform.from_rotation(np.eye(3), axis * float(limit.get("upper", 0.0))).matrix
        )
    return ChainJoint(
        name=name,
        parent=_link(element, "parent"),
        child=_link(element, "child"),
        T_parent_child=T_parent_child,
        axis=axis,
        is_prismatic=kind == "prismatic",
        column=column,
    )


def _link(element: ElementTree.Element, role: str) -> str:
    link = element.find(role)
    if link is None or not link.get("link"):
        raise ConfigError(f"URDF joint '{element.get('name')}' has no <{role} link=...>; add it")
    return str(link.get("link"))


def _origin(element: ElementTree.Element) -> Float:
    origin = element.find("origin")
    if origin is None:
        return np.eye(4)
    zeros = (0.0, 0.0, 0.0)
    T: Float = Transform.from_rpy(_numbers(origin.get("xyz"), zeros), _numbers(origin.get("rpy"), zeros)).matrix
    return T


def _numbers(text: str | None, otherwise: tuple[float, ...]) -> Float:
    return np.array([float(word) for word in text.split()] if text else otherwise, dtype=np.float64)


def joint_motion(joint: ChainJoint, values: Float) -> Float:
    """Return the (T, 4, 4) displacements of a joint for (T,) positions, rad or m."""
    motion: Float = np.broadcast_to(np.eye(4), (len(values), 4, 4)).copy()
    if joint.is_prismatic:
        motion[:, :3, 3] = values[:, None] * joint.axis
        return motion
    x, y, z = joint.axis
    S = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = np.sin(values)[:, None, None], np.cos(values)[:, None, None]
    motion[:, :3, :3] += sine * S + (1.0 - cosine) * (S @ S)
    return motion


def _shapes(link: ElementTree.Element) -> list[tuple[Float, float]]:
    """Collision shapes of a link as ((P, 3) points in the link's frame, radius)."""
    shapes = []
    for collision in link.findall("collision"):
        T_link_shape = _origin(collision)
        points, radius = _primitive(collision)
        shapes.append((points @ T_link_shape[:3, :3].T + T_link_shape[:3, 3], radius))
    return shapes


def _primitive(collision: ElementTree.Element) -> tuple[Float, float]:
    cylinder, box = collision.find("geometry/cylinder"), collision.find("geometry/box")
    sphere = collision.find("geometry/sphere")
    if cylinder is not None:
        half_length = 0.5 * float(cylinder.get("length", "nan"))
        return np.array([[0.0, 0.0, -half_length], [0.0, 0.0, half_length]]), float(cylinder.get("radius", "nan"))
    if box is not None:
        return _BOX_CORNERS * _numbers(box.get("size"), (np.nan, np.nan, np.nan)), 0.0
    if sphere is not None:
        return np.zeros((1, 3)), float(sphere.get("radius", "nan"))
    raise ConfigError("a collision of the URDF is neither cylinder, box nor sphere; meshes are not used for safety")
