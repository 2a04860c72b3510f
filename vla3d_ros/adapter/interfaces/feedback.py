"""From the names a driver puts on the wire to the names of the URDF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.errors import ConfigError

JOINT_STATES = "joint_states"
"""Topic on which the rest of the graph expects every joint, under its name in the URDF."""


class FeedbackNames:
    """Translates joint names per topic; two arms may use the same names on two topics."""

    def __init__(self, arms: Iterable[ArmSpec]) -> None:
        """Take the arms' feedback interfaces.

        Raises:
            ConfigError: If a driver uses names of its own on the topic on which the graph expects those of the URDF.
        """
        self._names: dict[str, dict[str, str]] = {}
        for arm in arms:
            feedback, gripper = arm.feedback, arm.gripper.joint_names if arm.gripper else ()
            self._learn(arm.name, feedback.topic, feedback.wire_names, arm.joint_names)
            self._learn(arm.name, feedback.gripper_topic, feedback.gripper_wire_names, gripper)

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics to listen to."""
        return tuple(self._names)

    @property
    def needs_merging(self) -> bool:
        """Whether the graph has to be told the joints under `joint_states`, because the drivers do not."""
        return JOINT_STATES not in self._names

    def urdf_names(self, topic: str, names: Sequence[str]) -> tuple[str, ...]:
        """Return the URDF's names of the joints in a message; what is no joint of ours keeps its name."""
        known = self._names[topic]
        return tuple(known.get(name, name) for name in names)

    def _learn(self, arm: str, topic: str, wire: Sequence[str], urdf: Sequence[str]) -> None:
        if topic == JOINT_STATES and tuple(wire) != tuple(urdf):
            raise ConfigError(
                f"arm '{arm}': its driver names its joints {list(wire)} on '{topic}', where the graph expects "
                f"{list(urdf)}; remap the driver to another topic and name that as feedback.topic"
            )
        if wire:
            self._names.setdefault(topic, {}).update(zip(wire, urdf, strict=True))
