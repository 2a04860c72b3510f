"""What a person's hands ask for, whatever device they hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import read_only
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

AXES = ("x", "y", "z", "roll", "pitch", "yaw")
"""Order of a twist: forward, left and up as in REP-103, then turns about them."""

MOTION_PRESSES = ("gripper", "open", "close", "next_arm", "faster", "slower", "clutch")
"""Presses that teleoperation acts on itself."""

REQUESTS = (
    "arm", "disarm", "stop", "reset", "home",
    "record_start", "record_stop", "record_success", "record_failure", "record_discard",
)  # fmt: skip
"""Presses that are handed on to adapter and recorder."""

PRESSES = (*MOTION_PRESSES, *REQUESTS)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HandState:
    """What one hand asks for: a twist, or the pose of what it holds.

    Attributes:
        age_s: Time since the device was last heard; infinite if it never was, or is gone.
        clutch: Whether the hand asks to be followed (always, for a device without a clutch of its own).
        twist: (6,) shares of full speed in [-1, 1], in the order of `AXES`; None for a device of poses.
        T_device_hand: Pose in the device's own fixed frame; None for a device of twists.
        opening: Wanted opening of the gripper, 0 closed ... 1 open; None if the hand does not say.
        presses: Buttons (gripper, open, close) for this hand's gripper, pressed since the last look.
    """

    age_s: float
    clutch: bool = False
    twist: Float | None = None
    T_device_hand: Transform | None = None
    opening: float | None = None
    presses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.twist is not None:
            read_only(self.twist, (len(AXES),), "twist")

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are; a pose always is."""
        opening = 0.0 if self.opening is None else self.opening
        return math.isfinite(opening) and (self.twist is None or bool(np.isfinite(self.twist).all()))


SILENT = HandState(age_s=math.inf)
"""A hand that was never heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """One look at a device.

    Attributes:
        hands: One entry per hand; the first drives the first arm, or the selected one if there are fewer hands.
        presses: Buttons (of `PRESSES`) pressed since the last look, in order; a gripper's are for the selected arm.
        trouble: What is wrong with the device, for people; empty if nothing is.
    """

    hands: tuple[HandState, ...] = (SILENT,)
    presses: tuple[str, ...] = ()
    trouble: str = ""


class TeleopDevice(Protocol):
    """A source of `DeviceState`. Times are seconds of a steady clock: people live in wall time."""

    name: str

    def open(self) -> None:
        """Take what the device needs.

        Raises:
            DependencyError: If a package or a system library is missing.
            ConfigError: If the device is not there, or may not be read.
        """
        ...

    def poll(self, now_s: float) -> DeviceState:
        """Return the state now; never waits, never raises because the device is gone."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...
