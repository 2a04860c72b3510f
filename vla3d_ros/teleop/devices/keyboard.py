"""A keyboard behind a terminal: no hardware beyond what is there already, and over ssh, too."""

from __future__ import annotations

from vla3d_ros.teleop.device import DeviceState, HandState
from vla3d_ros.teleop.keys import KeyStream


class Keyboard:
    """Moves while a key repeats: letting go is the clutch."""

    name = "keyboard"

    def __init__(self, keys: KeyStream) -> None:
        """Take the keys, which somebody else hears."""
        self._keys = keys

    def open(self) -> None:
        """Nothing to take: the terminal speaks by itself."""

    def close(self) -> None:
        """Nothing to release."""

    def poll(self, now_s: float) -> DeviceState:
        """Return the twist of the keys that are held."""
        twist = self._keys.twist(now_s)
        hand = HandState(age_s=self._keys.age_s(now_s), clutch=bool(twist.any()), twist=twist)
        return DeviceState(hands=(hand,))
