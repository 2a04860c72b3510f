"""Where every link of a robot is, fingers included, from what its drivers publish as joint states."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.adapter.urdf_chain import UrdfChain
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]


class RobotPoses:
    """Forward kinematics of the whole robot, all arms and grippers, in the root link of its URDF.

    `joint_names` are those which a joint state must have: of the arms, and what the grippers' drivers publish.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._grippers = [arm.gripper for arm in embodiment.arms if arm.gripper]
        arms = [name for arm in embodiment.arms for name in arm.joint_names]
        fingers = [name for gripper in self._grippers for name in gripper.finger_joints]
        drives = [name for gripper in self._grippers for name in gripper.joint_names]
        self._chain_joints = tuple(dict.fromkeys([*arms, *fingers]))
        self.joint_names = tuple(dict.fromkeys([*arms, *drives]))
        self.root_link = _root_link(embodiment)
        self._chain = UrdfChain(embodiment.urdf_path, self.root_link, self._chain_joints)

    def place(self, names: Sequence[str], positions: Float) -> dict[str, Transform]:
        """Place all links.

        Args:
            names: Joints of one joint state, in any order, others than the robot's are ignored.
            positions: Their positions, rad or m.

        Returns:
            Pose in the root link of every link, by name.

        Raises:
            StaleObservationError: If a joint of the robot is not among them.
        """
        known = dict(zip(names, positions, strict=True))
        missing = [name for name in self.joint_names if name not in known]
        if missing:
            raise StaleObservationError(f"the joint state lacks {missing}; expected {list(self.joint_names)}")
        for gripper in self._grippers:
            opening = gripper.opening(np.array([known[name] for name in gripper.joint_names]))
            each_m = opening * gripper.stroke_m / len(gripper.finger_joints)
            known |= dict.fromkeys(gripper.finger_joints, each_m)
        q = np.array([[known[name] for name in self._chain_joints]])
        return {link: Transform(stack[0]) for link, stack in self._chain.place_links(q).items()}


def _root_link(embodiment: Embodiment) -> str:
    root = ElementTree.parse(embodiment.urdf_path).getroot()
    children = {str(child.get("link")) for child in root.findall("joint/child")}
    return next(str(link.get("name")) for link in root.findall("link") if str(link.get("name")) not in children)
