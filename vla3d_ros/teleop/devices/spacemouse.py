"""One or more 3Dconnexion SpaceMouse through pyspacemouse: six axes, two buttons."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, DependencyError, join_problems
from vla3d_ros.teleop.device import AXES, SILENT, DeviceState, HandState
from vla3d_ros.teleop.devices.axes import AxisMapping, EdgeDetector, read_presses

_RETRY_S = 1.0
_MOST_REPORTS = 64  # waiting in the kernel at one look
_GRIPPER = ("gripper", "open", "close")


class MouseState(Protocol):
    """What pyspacemouse shows: the time of the newest report, six axes in [-1, 1] and buttons."""

    t: float
    x: float
    y: float
    z: float
    roll: float
    pitch: float
    yaw: float
    buttons: list[int]


class Mouse(Protocol):
    """An open SpaceMouse; `read` takes at most one report and raises if the mouse is gone."""

    def read(self) -> MouseState:
        """Return the state after the next report, or the same one if there is none."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class SpaceMouse:
    """The cap's deflection as a twist; letting the cap go is the clutch, or a button if one is named.

    A cap that is held out of its middle reports many times a second. If those reports end, the mouse is out of range
    or its battery is empty: its age grows, and it counts as lost.
    """

    name = "spacemouse"

    def __init__(self, options: Mapping[str, Any], open_mouse: Callable[[int], Mouse] | None = None) -> None:
        """Read the options.

        Args:
            options: `count`, `axes`, `deadband`, `exponent`, `clutch`, `buttons` of a file in config/teleop.
            open_mouse: Opens the mouse of an index; by default through pyspacemouse.
        """
        reader = ConfigReader(dict(options), where="options.")
        count = int(reader.positive("count"))
        mapping = AxisMapping.read(reader)
        clutch = reader.text("clutch") if reader.has("clutch") else ""
        presses = read_presses(reader, options, "buttons")
        reader.finish(("clutch",))
        if reader.problems:
            raise ConfigError(join_problems("spacemouse", reader.problems))
        opener = open_mouse or open_pyspacemouse
        self._hands = [_Hand(index, mapping, clutch, presses, opener) for index in range(count)]

    def open(self) -> None:
        """Open every mouse; where one is missing, say so now rather than later."""
        for hand in self._hands:
            hand.open()

    def close(self) -> None:
        """Release every mouse."""
        for hand in self._hands:
            hand.close()

    def poll(self, now_s: float) -> DeviceState:
        """Return what each hand does."""
        looks = [hand.poll(now_s) for hand in self._hands]
        return DeviceState(
            hands=tuple(state for state, _ in looks),
            presses=tuple(press for _, presses in looks for press in presses),
            trouble="; ".join(hand.trouble for hand in self._hands if hand.trouble),
        )


class _Hand:
    def __init__(
        self, index: int, mapping: AxisMapping, clutch: str, presses: Mapping[str, str], opener: Callable[[int], Mouse]
    ) -> None:
        self.trouble = ""
        self._index, self._mapping, self._clutch, self._opener = index, mapping, clutch, opener
        self._edges = EdgeDetector(presses)
        self._mouse: Mouse | None = None
        self._retry_s = -math.inf
        self._report_t, self._heard_s = math.nan, -math.inf

    def open(self) -> None:
        self._mouse = self._opener(self._index)
        self.trouble = ""

    def close(self) -> None:
        if self._mouse is not None:
            with contextlib.suppress(Exception):  # it is gone: the library has nothing to release
                self._mouse.close()
            self._mouse = None

    def poll(self, now_s: float) -> tuple[HandState, tuple[str, ...]]:
        state = self._read(now_s)
        if state is None:
            return SILENT, ()
        raw = {axis: float(getattr(state, axis)) for axis in AXES}
        twist = self._mapping.twist(raw)
        down = [f"button_{number}" for number, is_down in enumerate(state.buttons) if is_down]
        fresh = self._edges.look(down)
        hand = HandState(
            age_s=now_s - self._heard_s if twist.any() else 0.0,
            clutch=self._clutch in down if self._clutch else bool(twist.any()),
            twist=twist,
            presses=tuple(press for press in fresh if press in _GRIPPER),
        )
        return hand, tuple(press for press in fresh if press not in _GRIPPER)

    def _read(self, now_s: float) -> MouseState | None:
        if self._mouse is None and now_s >= self._retry_s:
            self._retry_s = now_s + _RETRY_S
            with contextlib.suppress(ConfigError):  # still away; `trouble` says so
                self.open()
        if self._mouse is None:
            return None
        try:
            state = self._mouse.read()
            for _ in range(_MOST_REPORTS):
                if state.t == self._report_t:
                    break
                self._report_t, self._heard_s = state.t, now_s
                state = self._mouse.read()
        except Exception as error:  # easyhid raises a class of its own, hidapi an OSError
            self.close()
            self.trouble, self._retry_s = f"SpaceMouse {self._index} is gone ({error})", now_s + _RETRY_S
            return None
        return state


def open_pyspacemouse(index: int) -> Mouse:
    """Open the SpaceMouse of an index, counted from 0 in the order of their paths.

    Raises:
        DependencyError: If pyspacemouse or the system's hidapi is missing.
        ConfigError: If there is no such mouse, or it may not be read.
    """
    try:
        import pyspacemouse  # type: ignore[import-untyped]
    except Exception as error:  # without the system's library, easyhid raises what it likes
        remedy = "pip install pyspacemouse, and the system's hidapi (apt install libhidapi-hidraw0)"
        raise DependencyError(f"a SpaceMouse needs {remedy}: {error}") from error
    try:
        paths = sorted(pyspacemouse.get_connected_devices_by_path())
        if index >= len(paths):
            raise ConfigError(f"SpaceMouse {index} is not there; found {paths}: plug it in")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            convention = pyspacemouse.AxisConvention.ROS
            mouse: Mouse = pyspacemouse.open_by_path(paths[index], axis_convention=convention)
    except ConfigError:
        raise
    except Exception as error:
        remedy = "allow it with a udev rule for vendors 256f and 046d, see docs/how-to/teleoperation.md"
        raise ConfigError(f"SpaceMouse {index} can not be opened ({error}); {remedy}") from error
    return mouse
