"""Tracked hands or VR controllers: a PoseStamped topic per hand, and a Joy topic for their buttons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.device import DeviceState, HandState


@dataclass(slots=True)
class _Hand:
    T_device_hand: Transform | None = None
    pose_s: float = -math.inf
    axes: tuple[float, ...] = ()
    buttons: tuple[int, ...] = ()
    joy_s: float = -math.inf
    presses: list[str] = field(default_factory=list)


class TrackedHands:
    """Poses in the tracker's own frame, which a file of `config/teleop` turns into the robot's axes.

    If a topic of buttons is named, the clutch is one of them, and buttons that are not heard any more are not pressed:
    poses alone do not move the arm.
    """

    name = "poses"

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Read the options.

        Args:
            options: `poses` (a topic per hand), and optionally `joys` (a topic per hand), `clutch_button`,
                `gripper_button`, `opening_axis`, `stale_joy_s`, `rpy_base_device` of a file in config/teleop.
        """
        reader = ConfigReader(dict(options), where="options.")
        self.pose_topics = reader.names("poses")
        self.joy_topics = reader.names("joys", len(self.pose_topics)) if reader.has("joys") else ()
        self._clutch = _index(reader, "clutch_button")
        self._gripper = _index(reader, "gripper_button")
        self._opening = _index(reader, "opening_axis")
        self._stale_joy_s = reader.positive("stale_joy_s") if reader.has("stale_joy_s") else 0.25
        rpy = reader.vector("rpy_base_device", 3) if reader.has("rpy_base_device") else np.zeros(3)
        self.T_base_device = Transform.from_rpy(np.zeros(3), rpy)
        reader.finish(("joys", "clutch_button", "gripper_button", "opening_axis", "stale_joy_s", "rpy_base_device"))
        if not self.joy_topics and any(index is not None for index in (self._clutch, self._gripper, self._opening)):
            reader.problems.append("buttons are named, but no topic for them; add 'joys', one topic per hand")
        if reader.problems:
            raise ConfigError(join_problems("poses", reader.problems))
        self._hands = [_Hand() for _ in self.pose_topics]

    @property
    def has_clutch(self) -> bool:
        """Whether a button is its clutch; otherwise there has to be one elsewhere."""
        return self._clutch is not None

    def open(self) -> None:
        """Nothing to take: the tracker publishes."""

    def close(self) -> None:
        """Nothing to release."""

    def hear_pose(self, index: int, T_device_hand: Transform, now_s: float) -> None:
        """Take the pose of one hand."""
        self._hands[index].T_device_hand, self._hands[index].pose_s = T_device_hand, now_s

    def hear_joy(self, index: int, axes: Sequence[float], buttons: Sequence[int], now_s: float) -> None:
        """Take the axes and buttons of one hand."""
        hand = self._hands[index]
        if _at(buttons, self._gripper) and not _at(hand.buttons, self._gripper):
            hand.presses.append("gripper")
        hand.axes, hand.buttons, hand.joy_s = tuple(axes), tuple(buttons), now_s

    def poll(self, now_s: float) -> DeviceState:
        """Return pose, clutch and opening of each hand."""
        return DeviceState(hands=tuple(self._state(hand, now_s) for hand in self._hands))

    def _state(self, hand: _Hand, now_s: float) -> HandState:
        presses, hand.presses = tuple(hand.presses), []
        has_buttons = now_s - hand.joy_s <= self._stale_joy_s
        return HandState(
            age_s=now_s - hand.pose_s,
            clutch=self._clutch is None or (has_buttons and bool(_at(hand.buttons, self._clutch))),
            T_device_hand=hand.T_device_hand,
            opening=1.0 - _at(hand.axes, self._opening) if self._opening is not None and has_buttons else None,
            presses=presses,
        )


def _index(reader: ConfigReader, key: str) -> int | None:
    return int(reader.number(key)) if reader.has(key) else None


def _at(values: Sequence[float], index: int | None) -> float:
    """Return a value of a message; 0 if the message is shorter, or nobody asked."""
    return float(values[index]) if index is not None and index < len(values) else 0.0
