"""Settings of a remote policy: which server, what it is sent, and how to read what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.manifest_reader import MappingReader

FITS = ("pad", "stretch")
LAYOUTS = ("hwc", "chw")
MISSING = ("refuse", "black")
# Kind of rotation: how many columns it takes.
ROTATIONS = {"rot6d": 6, "quat_xyzw": 4, "quat_wxyz": 4, "rpy": 3, "rotvec": 3}
QUANTITIES = ("joint_positions", "joint_velocities", "gripper", "ee_position", *(f"ee_{kind}" for kind in ROTATIONS))
REPRESENTATIONS = ("ee_pose_in_base", "ee_pose_relative")
_JOINTS = "it needs the arm's kinematics, which a policy does not know; let the server answer end-effector poses"
_REFUSED = {
    "joint_positions": _JOINTS,
    "joint_deltas": _JOINTS,
    "joint_velocities": _JOINTS,
    "ee_deltas": "each step would hang on the one before; let the server add the steps up to poses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the server is, and how long what may take.

    Attributes:
        url: `ws://host:port` or `wss://...`.
        timeout_s: A reply later than this is stale; the robot gets nothing.
        first_reply_s: The first reply on a connection may take this long before the connection is given up: servers
            compile then. It is stale all the same.
        silence_s: A later reply may take this long before the connection is given up.
        connect_s: Connecting, until the server has sent its metadata.
        retry_s: First and longest pause between two attempts to connect.
        api_key_env: Environment variable that holds the key, or empty.
        expect_metadata: What the server must say of itself on connecting.
        largest_reply_mb: Longer replies are refused.
    """

    url: str
    timeout_s: float
    first_reply_s: float
    silence_s: float
    connect_s: float
    retry_s: tuple[float, float]
    api_key_env: str
    expect_metadata: Mapping[str, Any]
    largest_reply_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """One image of the request: which camera's, how large, padded or stretched, and what if the view is missing."""

    key: str
    camera: str
    width_px: int
    height_px: int
    fit: str
    layout: str
    when_missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePart:
    """One piece of a state vector; grippers are sent as `closed` ... `open`."""

    arm: str
    quantity: str
    closed: float
    open: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """One state vector of the request: its pieces, one after the other, float32."""

    key: str
    parts: tuple[StatePart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmColumns:
    """Where one arm is in a row of actions: x, y, z in metres, the rotation, the gripper; from `first` on."""

    arm: str
    first: int
    rotation: str
    closed: float
    open: float

    @property
    def width(self) -> int:
        """Number of columns."""
        return 3 + ROTATIONS[self.rotation] + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSettings:
    """How to read the reply: array `key` (steps, columns); row i is due (i + 1) / rate_hz after the observation.

    An opening beyond closed ... open by up to `gripper_overshoot` of the stroke counts as closed or open.
    """

    key: str
    steps: int
    rate_hz: float
    representation: str
    gripper_overshoot: float
    arms: tuple[ArmColumns, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteConfig:
    """Everything a remote policy is told."""

    server: ServerSettings
    images: tuple[ImageSettings, ...]
    states: tuple[StateSettings, ...]
    prompt_key: str
    actions: ActionSettings


def read_remote_config(mapping: Mapping[str, Any]) -> RemoteConfig:
    """Check and freeze the settings of a remote policy.

    Args:
        mapping: Contents of a policy YAML, e.g. `config/policies/openpi_remote.yaml`.

    Raises:
        ConfigError: Naming every missing, unknown or malformed key.
    """
    problems: list[str] = []
    reader = MappingReader(mapping, "", problems)
    reader.text("backend", ("remote",), default="remote")
    server, observation = reader.section("server"), reader.section("observation")
    config = RemoteConfig(
        server=_server(server),
        images=tuple(_image(key, entry) for key, entry in observation.named_sections("images").items()),
        states=tuple(_state(key, observation.section("states")) for key in observation.mapping("states", {})),
        prompt_key=observation.text("prompt"),
        actions=_actions(reader.section("actions")),
    )
    observation.finish()
    reader.finish()
    if not config.images:
        problems.append("observation.images: no image; expected at least one")
    if problems:
        raise ConfigError(join_problems("remote policy settings", problems))
    return config


def _server(reader: MappingReader) -> ServerSettings:
    url = reader.text("url")
    if url and not url.startswith(("ws://", "wss://")):
        reader.complain(f"'url' is {url}; expected 'ws://host:port' or 'wss://host:port'")
    shortest, longest = reader.array("retry_s", (2,), above=0.0).tolist()
    if shortest > longest:
        reader.complain(f"'retry_s' is [{shortest:g}, {longest:g}]; expected the shorter pause first")
    settings = ServerSettings(
        url=url,
        timeout_s=_duration(reader, "timeout_s"),
        first_reply_s=_duration(reader, "first_reply_s"),
        silence_s=_duration(reader, "silence_s"),
        connect_s=_duration(reader, "connect_s"),
        retry_s=(shortest, longest),
        api_key_env=reader.text("api_key_env") if reader.has("api_key_env") else "",
        expect_metadata=reader.mapping("expect_metadata", {}),
        largest_reply_mb=_duration(reader, "largest_reply_mb", 16.0),
    )
    reader.finish()
    return settings


def _duration(reader: MappingReader, key: str, default: float | None = None) -> float:
    value = reader.number(key, 0.0) if default is None else reader.number(key, 0.0, default)
    if value == 0.0:
        reader.complain(f"'{key}' must be more than 0")
    return value


def _image(key: str, reader: MappingReader) -> ImageSettings:
    settings = ImageSettings(
        key=key,
        camera=reader.text("camera"),
        width_px=reader.whole("width_px", 1),
        height_px=reader.whole("height_px", 1),
        fit=reader.text("fit", FITS),
        layout=reader.text("layout", LAYOUTS, default="hwc"),
        when_missing=reader.text("when_missing", MISSING, default="refuse"),
    )
    reader.finish()
    return settings


def _state(key: str, reader: MappingReader) -> StateSettings:
    parts = []
    for part in reader.sections(key):
        quantity = part.text("quantity", QUANTITIES)
        closed, opened = _stroke(part) if quantity == "gripper" else (0.0, 1.0)
        parts.append(StatePart(arm=part.text("arm"), quantity=quantity, closed=closed, open=opened))
        part.finish()
    return StateSettings(key=key, parts=tuple(parts))


def _actions(reader: MappingReader) -> ActionSettings:
    representation = reader.text("representation", (*REPRESENTATIONS, *_REFUSED))
    if representation in _REFUSED:
        reader.complain(f"'representation' {representation} is refused: {_REFUSED[representation]}")
    settings = ActionSettings(
        key=reader.text("key"),
        steps=reader.whole("steps", 1),
        rate_hz=_duration(reader, "rate_hz"),
        representation=representation,
        gripper_overshoot=reader.number("gripper_overshoot", 0.0),
        arms=tuple(_columns(arm, entry) for arm, entry in reader.named_sections("arms").items()),
    )
    if not settings.arms:
        reader.complain("'arms' is empty; expected the columns of at least one arm")
    _complain_about_shared_columns(reader, settings.arms)
    reader.finish()
    return settings


def _columns(arm: str, reader: MappingReader) -> ArmColumns:
    closed, opened = _stroke(reader)
    columns = ArmColumns(
        arm=arm,
        first=reader.whole("first_column", 0),
        rotation=reader.text("rotation", tuple(ROTATIONS)) or "rot6d",  # "" only beside a problem
        closed=closed,
        open=opened,
    )
    reader.finish()
    return columns


def _stroke(reader: MappingReader) -> tuple[float, float]:
    closed, opened = reader.array("gripper", (2,)).tolist()
    if closed == opened and reader.has("gripper"):
        reader.complain(f"'gripper' is [{closed:g}, {opened:g}]; expected what is sent for closed, and for open")
    return closed, opened


def _complain_about_shared_columns(reader: MappingReader, arms: tuple[ArmColumns, ...]) -> None:
    ordered = sorted(arms, key=lambda arm: arm.first)
    for lower, upper in pairwise(ordered):
        if upper.first < lower.first + lower.width:
            reader.complain(f"arms '{lower.arm}' and '{upper.arm}' share columns from {upper.first} on")
