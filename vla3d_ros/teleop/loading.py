"""The device that a file of `config/teleop` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.adapter.embodiment import load_embodiment
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.teleop.device import TeleopDevice
from vla3d_ros.teleop.devices.browser import BrowserPage
from vla3d_ros.teleop.devices.browser_server import PageServer
from vla3d_ros.teleop.devices.gamepad import Gamepad
from vla3d_ros.teleop.devices.keyboard import Keyboard
from vla3d_ros.teleop.devices.leader import LeaderArm
from vla3d_ros.teleop.devices.poses import TrackedHands
from vla3d_ros.teleop.devices.spacemouse import SpaceMouse
from vla3d_ros.teleop.keys import KeyStream
from vla3d_ros.teleop.settings import TeleopSettings

_TERMINAL_KEYS = {"c": "clutch", "tab": "next_arm", "+": "faster", "-": "slower", "g": "gripper"}
_HOLD_S = 0.15


def load_keys(settings: TeleopSettings) -> KeyStream:
    """Return the keys of a terminal: those of the file for a keyboard, and a few for every device.

    Raises:
        ConfigError: If a key is bound to nothing that exists.
    """
    if settings.device != "keyboard":
        return KeyStream(_TERMINAL_KEYS, _HOLD_S)
    reader = ConfigReader(dict(settings.options), where="options.")
    reader.section("keys")
    hold_s = reader.positive("hold_s")
    reader.finish()
    if reader.problems:
        raise ConfigError(join_problems("keyboard", reader.problems))
    keys: Mapping[Any, Any] = settings.options["keys"]
    return KeyStream({**_TERMINAL_KEYS, **{str(key): str(action) for key, action in keys.items()}}, hold_s)


def load_device(
    settings: TeleopSettings, keys: KeyStream, robot_file: Path, token: str, clock_s: Callable[[], float]
) -> TeleopDevice:
    """Create the device, closed.

    Args:
        settings: A file of `config/teleop`.
        keys: The terminal's keys.
        robot_file: The robot that follows; the other robots lie beside it.
        token: For a page that is served to the network.
        clock_s: Steady time in seconds.

    Raises:
        ConfigError: If an option is missing, unknown or wrong.
    """
    options = settings.options
    device: TeleopDevice
    if settings.device == "keyboard":
        device = Keyboard(keys)
    elif settings.device == "gamepad":
        device = Gamepad(options)
    elif settings.device == "spacemouse":
        device = SpaceMouse(options)
    elif settings.device == "leader":
        device = _leader(options, robot_file)
    elif settings.device == "poses":
        device = TrackedHands(options)
    else:
        device = _browser(options, token, clock_s)
    has_clutch = not isinstance(device, LeaderArm) and not (isinstance(device, TrackedHands) and not device.has_clutch)
    if settings.clutch == "device" and not has_clutch:
        raise ConfigError(f"device '{settings.device}' has no clutch of its own here; set 'clutch: terminal'")
    return device


def _leader(options: Mapping[str, Any], robot_file: Path) -> LeaderArm:
    reader = ConfigReader(dict(options), where="options.")
    reader.text("namespace")
    robot = reader.text("robot") if reader.has("robot") else ""
    reader.finish(("robot",))
    if reader.problems:
        raise ConfigError(join_problems("leader", reader.problems))
    return LeaderArm(load_embodiment(robot_file.parent / f"{robot}.yaml" if robot else robot_file))


def _browser(options: Mapping[str, Any], token: str, clock_s: Callable[[], float]) -> BrowserPage:
    reader = ConfigReader(dict(options), where="options.")
    host, port = reader.text("host"), int(reader.number("port"))
    reader.finish()
    if reader.problems:
        raise ConfigError(join_problems("browser", reader.problems))
    return BrowserPage(PageServer(host, port, token), clock_s)
