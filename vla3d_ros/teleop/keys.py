"""What a terminal sends while keys are held: presses, and motion that lasts as long as the key repeats."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError
from vla3d_ros.teleop.device import AXES, PRESSES

Float = NDArray[np.float64]

_ESCAPED = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1b[Z": "backtab"}
_NAMED = {"\t": "tab", "\r": "enter", "\n": "enter", " ": "space", "\x7f": "backspace", "\x1b": "escape"}
_TOKENS = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)


def split_keys(text: str) -> list[str]:
    """Return the keys in what a terminal sent: characters, and names for those that have none to show."""
    tokens = _TOKENS.findall(text)
    return [_ESCAPED.get(token, _NAMED.get(token, token)) for token in tokens]


class KeyStream:
    """Keys with the times at which they came. An empty text says that the terminal is still there.

    A terminal tells no releases; it repeats the key that is held, the last one only. A motion key therefore counts for
    `hold_s`, a little longer than the pause between two repeats.
    """

    def __init__(self, bindings: Mapping[str, str], hold_s: float) -> None:
        """Take the bindings.

        Args:
            bindings: Key -> a press, or an axis with its sign, as in `+x` or `-yaw`.
            hold_s: How long a motion key counts.

        Raises:
            ConfigError: Names every key that is bound to nothing that exists.
        """
        axes = {
            f"{sign}{axis}": (index, 1.0 if sign == "+" else -1.0) for index, axis in enumerate(AXES) for sign in "+-"
        }
        unknown = {key: action for key, action in bindings.items() if action not in axes and action not in PRESSES}
        if unknown:
            raise ConfigError(
                f"keys {unknown} are bound to nothing that exists; expected +x ... -yaw or {list(PRESSES)}"
            )
        self._motions = {key: axes[action] for key, action in bindings.items() if action in axes}
        self._buttons = {key: action for key, action in bindings.items() if action not in axes}
        self._hold_s = hold_s
        self._heard_s = -math.inf
        self._held: dict[int, tuple[float, float]] = {}
        self._presses: list[str] = []

    def hear(self, text: str, now_s: float) -> None:
        """Take what a terminal sent, or an empty text as its heartbeat."""
        self._heard_s = now_s
        for key in split_keys(text):
            if key in self._motions:
                axis, sign = self._motions[key]
                self._held[axis] = (sign, now_s)
            elif key in self._buttons:
                self._presses.append(self._buttons[key])

    def age_s(self, now_s: float) -> float:
        """Return how long ago the terminal was heard; infinite if it never was."""
        return now_s - self._heard_s

    def take_presses(self) -> tuple[str, ...]:
        """Return the presses since the last call."""
        taken, self._presses = tuple(self._presses), []
        return taken

    def twist(self, now_s: float) -> Float:
        """Return the twist (6,) of the keys that are held, -1, 0 or 1 an axis."""
        twist = np.zeros(len(AXES))
        for axis, (sign, since_s) in self._held.items():
            if now_s - since_s <= self._hold_s:
                twist[axis] = sign
        return twist
