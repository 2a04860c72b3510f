"""What a URDF says about a robot nobody here has seen: its arms, where their grippers begin, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from vla3d_ros.errors import ConfigError

_LEAST_ARM_JOINTS = 4
_EE_WORDS = ("tcp", "tool0", "grasp", "ee_link", "end_effector", "tool", "flange")
_TURNING = ("revolute", "continuous")


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedJoint:
    """A joint of the URDF; lower, upper, velocity are None where the URDF does not say (rad or m, rad/s or m/s)."""

    name: str
    kind: str
    parent: str
    child: str
    is_mimic: bool
    lower: float | None
    upper: float | None
    velocity: float | None

    @property
    def moves(self) -> bool:
        """Whether it is anything but fixed."""
        return self.kind != "fixed"


@dataclass(slots=True, kw_only=True)
class SurveyedArm:
    """A serial chain of turning joints, the joints beyond its last link, and the link taken for the end effector."""

    joints: list[SurveyedJoint]
    fingers: list[SurveyedJoint] = field(default_factory=list)
    ee_frame: str = ""
    ee_is_named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UrdfSurvey:
    """A robot's name, root link and arms, and the links that lack what safety or the twin need."""

    name: str
    root: str
    arms: tuple[SurveyedArm, ...]
    mesh_only_links: tuple[str, ...]
    bare_links: tuple[str, ...]
    massless_links: tuple[str, ...]


def survey_urdf(path: Path) -> UrdfSurvey:
    """Read a URDF.

    Args:
        path: The file, xacro already expanded.

    Raises:
        ConfigError: If it is no URDF, has no single root, or no chain of at least four turning joints.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigError(f"{path} can not be read as a URDF: {error}; expand xacro files first") from error
    joints = [_joint(element) for element in root.findall("joint")]
    links = [str(link.get("name")) for link in root.findall("link")]
    roots = [link for link in links if link not in {joint.child for joint in joints}]
    if root.tag != "robot" or len(roots) != 1:
        raise ConfigError(f"{path} is <{root.tag}> with root links {roots}; expected <robot> with one root link")
    tree = _Tree(joints)
    arms = tuple(_arms(tree, roots[0]))
    if not arms:
        kinds = {joint.name: joint.kind for joint in joints if joint.moves}
        raise ConfigError(f"{path} has no chain of {_LEAST_ARM_JOINTS} or more turning joints; its joints: {kinds}")
    carried = {joint.child for joint in joints if tree.is_carried(joint)}
    elements = {str(link.get("name")): link for link in root.findall("link")}
    mesh_only = tuple(n for n in links if n in carried and elements[n].find("collision/geometry/mesh") is not None)
    moved = {joint.child for joint in joints if joint.moves}
    return UrdfSurvey(
        name=str(root.get("name") or path.stem),
        root=roots[0],
        arms=arms,
        mesh_only_links=mesh_only,
        bare_links=tuple(n for n in links if n in moved and elements[n].find("collision") is None),
        massless_links=tuple(n for n in links if n in moved and elements[n].find("inertial/mass") is None),
    )


class _Tree:
    def __init__(self, joints: list[SurveyedJoint]) -> None:
        self._below: dict[str, list[SurveyedJoint]] = {}
        self._by_child = {joint.child: joint for joint in joints}
        for joint in joints:
            self._below.setdefault(joint.parent, []).append(joint)

    def below(self, link: str) -> list[SurveyedJoint]:
        return self._below.get(link, [])

    def moving_below(self, link: str) -> list[SurveyedJoint]:
        """Return the nearest moving joints below a link, through fixed ones; mimics are not counted as branches."""
        found: list[SurveyedJoint] = []
        for joint in self.below(link):
            found += [joint] if joint.moves else self.moving_below(joint.child)
        return found

    def all_below(self, link: str) -> Iterator[SurveyedJoint]:
        for joint in self.below(link):
            yield joint
            yield from self.all_below(joint.child)

    def turns_in_a_row(self, joint: SurveyedJoint) -> int:
        """Return the length of the longest chain of turning joints that starts here."""
        if joint.kind not in _TURNING or joint.is_mimic:
            return 0
        return 1 + max((self.turns_in_a_row(below) for below in self.moving_below(joint.child)), default=0)

    def is_carried(self, joint: SurveyedJoint) -> bool:
        if joint.moves:
            return True
        above = self._by_child.get(joint.parent)
        return above is not None and self.is_carried(above)


def _arms(tree: _Tree, link: str) -> Iterator[SurveyedArm]:
    for start in tree.moving_below(link):
        if tree.turns_in_a_row(start) >= _LEAST_ARM_JOINTS:
            yield from _follow(tree, start)
        else:
            yield from _arms(tree, start.child)


def _follow(tree: _Tree, start: SurveyedJoint) -> Iterator[SurveyedArm]:
    chain = [start]
    while True:
        following = tree.moving_below(chain[-1].child)
        long = [joint for joint in following if tree.turns_in_a_row(joint) >= _LEAST_ARM_JOINTS]
        if len(long) > 1:  # a torso that carries the arms
            for joint in long:
                yield from _follow(tree, joint)
            return
        is_chain = len(following) == 1 and following[0].kind in _TURNING and not following[0].is_mimic
        if not is_chain:
            break
        chain.append(following[0])
    arm = SurveyedArm(joints=chain, fingers=[joint for joint in tree.all_below(chain[-1].child) if joint.moves])
    arm.ee_frame, arm.ee_is_named = _end_effector(tree, chain[-1].child)
    yield arm


def _end_effector(tree: _Tree, last_link: str) -> tuple[str, bool]:
    """Return the link rigidly behind the last joint whose name says that it is the tool's tip, or the farthest one."""
    rigid = [last_link]
    for link in rigid:
        rigid += [joint.child for joint in tree.below(link) if not joint.moves]
    for word in _EE_WORDS:
        named = [link for link in rigid if word in link.lower()]
        if named:
            return named[-1], True
    return rigid[-1], False


def _joint(element: ElementTree.Element) -> SurveyedJoint:
    parent, child, limit = element.find("parent"), element.find("child"), element.find("limit")
    if parent is None or child is None:
        raise ConfigError(f"URDF joint '{element.get('name')}' lacks <parent> or <child>")
    values = {key: limit.get(key) if limit is not None else None for key in ("lower", "upper", "velocity")}
    kind = str(element.get("type"))
    return SurveyedJoint(
        name=str(element.get("name")),
        kind=kind,
        parent=str(parent.get("link")),
        child=str(child.get("link")),
        is_mimic=element.find("mimic") is not None,
        lower=_number(values["lower"]),
        upper=_number(values["upper"]),
        velocity=_number(values["velocity"]) or None,
    )


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
