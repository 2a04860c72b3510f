"""A gamepad through Linux evdev: sticks, triggers, buttons; the clutch is a button that is held."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, DependencyError, join_problems
from vla3d_ros.teleop.device import SILENT, DeviceState, HandState
from vla3d_ros.teleop.devices.axes import AxisMapping, read_presses

EV_SYN, EV_KEY, EV_ABS = 0, 1, 3
SYN_DROPPED = 3
_RETRY_S = 1.0
_PLACES = ("BTN_SOUTH", "BTN_EAST", "BTN_NORTH", "BTN_WEST")


@dataclass(frozen=True, slots=True)
class PadEvent:
    """One kernel event: type, the code's name (`ABS_X`, `BTN_TR`; empty for EV_SYN), code and value."""

    type: int
    name: str
    code: int
    value: int


class PadSource(Protocol):
    """An open gamepad. OSError means that it is gone."""

    def read(self) -> Iterable[PadEvent]:
        """Return the events since the last call."""
        ...

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Return lowest and highest value of every absolute axis."""
        ...

    def state(self) -> tuple[dict[str, int], set[str]]:
        """Return the value of every absolute axis, and which buttons are down."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class Gamepad:
    """Sticks as a twist. A pad that is unplugged is looked for again every second."""

    name = "gamepad"

    def __init__(self, options: Mapping[str, Any], open_source: Callable[[str], PadSource] | None = None) -> None:
        """Read the options.

        Args:
            options: `path`, `axes`, `deadband`, `exponent`, `clutch`, `buttons`, `opening` of a file in config/teleop.
            open_source: Opens a pad by path or part of its name; by default through evdev.
        """
        reader = ConfigReader(dict(options), where="options.")
        self._wanted = reader.text("path") if reader.has("path") else ""
        self._mapping = AxisMapping.read(reader)
        self._clutch = reader.text("clutch")
        self._opening = reader.text("opening") if reader.has("opening") else ""
        self._presses = read_presses(reader, options, "buttons")
        reader.finish(("path", "opening"))
        if reader.problems:
            raise ConfigError(join_problems("gamepad", reader.problems))
        self._open_source = open_source or open_evdev
        self._source: PadSource | None = None
        self._values: dict[str, int] = {}
        self._down: set[str] = set()
        self._retry_s = -math.inf
        self._trouble = ""

    def open(self) -> None:
        """Open the pad; where there is none, say so now rather than later."""
        self._source = self._open_source(self._wanted)
        self._ranges = self._source.ranges()
        self._values, self._down = self._source.state()
        self._trouble = ""

    def close(self) -> None:
        """Release the pad."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def poll(self, now_s: float) -> DeviceState:
        """Return sticks and presses; while the pad is gone, its absence."""
        if self._source is None and now_s >= self._retry_s:
            self._reopen(now_s)
        presses: tuple[str, ...] = ()
        if self._source is not None:
            try:
                presses = tuple(self._take(self._source))
            except OSError as error:
                self.close()
                self._trouble, self._retry_s = f"unplugged ({error.strerror or error})", now_s + _RETRY_S
        if self._source is None:
            return DeviceState(hands=(SILENT,), trouble=self._trouble)
        raw = {name: self._deflection(name) for name in self._mapping.raw_names}
        hand = HandState(
            age_s=0.0,
            clutch=self._clutch in self._down,
            twist=self._mapping.twist(raw),
            opening=1.0 - self._pressed(self._opening) if self._opening else None,
        )
        return DeviceState(hands=(hand,), presses=presses)

    def _reopen(self, now_s: float) -> None:
        self._retry_s = now_s + _RETRY_S
        try:
            self.open()
        except (ConfigError, OSError):
            self._source = None  # still away; `trouble` says so

    def _take(self, source: PadSource) -> Iterable[str]:
        for event in source.read():
            if event.type == EV_SYN and event.code == SYN_DROPPED:
                self._values, self._down = source.state()  # the kernel lost events of ours
            elif event.type == EV_ABS:
                self._values[event.name] = event.value
            elif event.type == EV_KEY and event.value == 0:
                self._down.discard(event.name)
            elif event.type == EV_KEY and event.value == 1:
                self._down.add(event.name)
                if event.name in self._presses:
                    yield self._presses[event.name]

    def _deflection(self, name: str) -> float:
        """Return where an axis is between its ends, -1 to 1; 0 for an axis this pad does not have."""
        if name not in self._ranges:
            return 0.0
        lowest, highest = self._ranges[name]
        middle = (lowest + highest) / 2
        return (self._values.get(name, middle) - middle) / max((highest - lowest) / 2, 1.0)

    def _pressed(self, name: str) -> float:
        """Return how far a trigger is pressed, 0 to 1."""
        lowest, highest = self._ranges.get(name, (0, 1))
        return (self._values.get(name, lowest) - lowest) / max(highest - lowest, 1)


class EvdevPad:
    """A gamepad in /dev/input."""

    def __init__(self, device: Any, ecodes: Any) -> None:
        """Take an evdev.InputDevice and evdev.ecodes."""
        self._device = device
        self._ecodes = ecodes

    def read(self) -> Iterable[PadEvent]:
        """Return the events since the last call."""
        try:
            events = list(self._device.read())
        except BlockingIOError:
            return []
        return [PadEvent(e.type, self._name(e.type, e.code), e.code, e.value) for e in events]

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Return lowest and highest value of every absolute axis."""
        return {self._name(EV_ABS, code): (info.min, info.max) for code, info in self._axes()}

    def state(self) -> tuple[dict[str, int], set[str]]:
        """Return the value of every absolute axis, and which buttons are down."""
        values = {self._name(EV_ABS, code): info.value for code, info in self._axes()}
        return values, {self._name(EV_KEY, code) for code in self._device.active_keys()}

    def close(self) -> None:
        """Release it."""
        self._device.close()

    def _axes(self) -> list[tuple[int, Any]]:
        return [(code, self._device.absinfo(code)) for code, _ in self._device.capabilities().get(EV_ABS, [])]

    def _name(self, kind: int, code: int) -> str:
        """Return the kernel's name of a code; of several (BTN_A, BTN_GAMEPAD and BTN_SOUTH are one), the place."""
        names = self._ecodes.bytype.get(kind, {}).get(code, "")
        if isinstance(names, str):
            return names
        places = [name for name in names if name in _PLACES]
        return str((places or sorted(names))[0])


def open_evdev(wanted: str) -> PadSource:
    """Open a gamepad.

    Args:
        wanted: A path in /dev/input, a part of the pad's name, or empty for the first gamepad.

    Raises:
        DependencyError: If evdev is not installed.
        ConfigError: If there is none; names what is there, and what may not be read.
    """
    try:
        import evdev
    except ImportError as error:
        raise DependencyError("gamepads need evdev, Linux only: pip install evdev") from error
    paths = sorted(str(path) for path in Path("/dev/input").glob("event*"))
    readable = evdev.list_devices()
    seen = []
    for path in [wanted] if wanted.startswith("/") else readable:
        if wanted.startswith("/") and path not in readable:
            break
        device: Any = evdev.InputDevice(path)
        seen.append(f"{path} '{device.name}'")
        has_stick = evdev.ecodes.ABS_X in [code for code, _ in device.capabilities().get(EV_ABS, [])]
        is_pad = has_stick and evdev.ecodes.BTN_GAMEPAD in device.capabilities().get(EV_KEY, [])
        if is_pad and (wanted in (path, "") or wanted.lower() in device.name.lower()):
            return EvdevPad(device, evdev.ecodes)
        device.close()
    hidden = [path for path in paths if path not in readable]
    hint = f"; no permission for {hidden}: join the group 'input' and log in again" if hidden else "; plug it in"
    raise ConfigError(f"no gamepad{f' {wanted!r}' if wanted else ''} in /dev/input, which has {seen}{hint}")
