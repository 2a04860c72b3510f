"""From raw axes and buttons to a twist and presses, as a file of `config/teleop` maps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.teleop.device import AXES, PRESSES

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisMapping:
    """Which raw axis moves which axis of the twist, and with which sign.

    Attributes:
        sources: Axis of `AXES` -> raw axis names with their signs; several add up.
        deadband: A smaller deflection is none; beyond it, the twist starts from 0.
        exponent: Above 1, small deflections are finer.
    """

    sources: Mapping[str, tuple[tuple[str, float], ...]]
    deadband: float
    exponent: float

    @classmethod
    def read(cls, reader: ConfigReader) -> AxisMapping:
        """Read `axes`, `deadband` and `exponent`; problems go to the reader."""
        section = reader.section("axes")
        sources = {}
        for axis in AXES:
            if section.has(axis):
                sources[axis] = tuple(_signed(text) for text in section.text(axis).split())
        section.finish(AXES)
        deadband, exponent = reader.number("deadband"), reader.positive("exponent")
        if not 0.0 <= deadband < 1.0:
            reader.problems.append(f"'options.deadband' is {deadband}; expected 0 or more and below 1")
        return cls(sources=sources, deadband=deadband, exponent=exponent)

    @property
    def raw_names(self) -> tuple[str, ...]:
        """Names of all raw axes that are used."""
        return tuple(dict.fromkeys(name for pairs in self.sources.values() for name, _ in pairs))

    def twist(self, raw: Mapping[str, float]) -> Float:
        """Return the twist (6,) for deflections in [-1, 1]."""
        twist = np.zeros(len(AXES))
        for index, axis in enumerate(AXES):
            deflection = sum(sign * raw.get(name, 0.0) for name, sign in self.sources.get(axis, ()))
            twist[index] = self._shaped(deflection)
        return twist

    def _shaped(self, deflection: float) -> float:
        beyond = (min(abs(deflection), 1.0) - self.deadband) / (1.0 - self.deadband)
        return float(np.sign(deflection) * max(beyond, 0.0) ** self.exponent)


def read_presses(reader: ConfigReader, options: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return what each button under a key means; problems go to the reader."""
    reader.section(key)
    given = options.get(key)
    presses = {str(button): str(press) for button, press in given.items()} if isinstance(given, dict) else {}
    for button, press in presses.items():
        if press not in PRESSES:
            reader.problems.append(f"'options.{key}.{button}' is {press!r}; expected one of {list(PRESSES)}")
    return presses


class EdgeDetector:
    """Presses from the states of buttons."""

    def __init__(self, presses: Mapping[str, str]) -> None:
        """Take what each button (by its raw name) means."""
        self._presses = dict(presses)
        self._down: set[str] = set()

    def look(self, down: Sequence[str]) -> tuple[str, ...]:
        """Return the presses of the buttons that have gone down since the last look."""
        fresh = [self._presses[name] for name in down if name in self._presses and name not in self._down]
        self._down = set(down)
        return tuple(fresh)


def _signed(text: str) -> tuple[str, float]:
    return (text[1:], -1.0) if text.startswith("-") else (text.lstrip("+"), 1.0)
