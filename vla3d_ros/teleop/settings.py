"""One file of `config/teleop`: which device, how fast, in whose axes, and when it counts as lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.teleop.device import AXES

FRAMES = ("base", "tool")
CLUTCHES = ("device", "terminal")
DEVICES = ("browser", "gamepad", "keyboard", "leader", "poses", "spacemouse")
POSE_DEVICES = ("leader", "poses")

_LIMITS = ("linear_m_s", "angular_rad_s", "linear_m_s2", "angular_rad_s2", "gripper_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionLimits:
    """How fast teleoperation moves an arm at most; adapter and safety have limits of their own below and above."""

    linear_m_s: float
    angular_rad_s: float
    linear_m_s2: float
    angular_rad_s2: float
    gripper_per_s: float

    @property
    def braking_s(self) -> float:
        """Longest time to rest from full speed."""
        return max(self.linear_m_s / self.linear_m_s2, self.angular_rad_s / self.angular_rad_s2)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeleopSettings:
    """How a person drives.

    Attributes:
        device: One of `DEVICES`.
        clutch: Who says when to follow: the device, or a key in the terminal for a device without a button.
        frames: Per axis of `AXES`, in whose axes it moves: the robot's base, or the tool.
        limits: Highest speeds and accelerations.
        scales: Shares of full speed to choose from; for poses, shares of the hand's translation.
        stale_s: A device silent for longer is lost: the arm brakes and holds.
        lost_hold_s: While the device is lost, chunks that hold are sent for so long; then none, and the adapter's
            watchdog latches its stop.
        drive_s: A chunk goes on as asked for so long, and then brakes to rest.
        leash_m, leash_rad: How far the commanded pose may be ahead of the arm.
        jump_m, jump_rad: A hand that moves further between two looks was lost sight of, not moved.
        steps, dt_s: Shape of a chunk.
        options: What concerns the device alone.
    """

    device: str
    clutch: str
    frames: tuple[str, ...]
    limits: MotionLimits
    scales: tuple[float, ...]
    stale_s: float = 0.25
    lost_hold_s: float = 1.0
    drive_s: float = 0.2
    leash_m: float = 0.1
    leash_rad: float = 0.6
    jump_m: float = 0.1
    jump_rad: float = 0.6
    steps: int = 30
    dt_s: float = 1.0 / 30.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return what contradicts itself, one sentence each."""
        found = []
        chunk_s, needed_s = self.steps * self.dt_s, self.drive_s + self.limits.braking_s + 2.0 * self.dt_s
        if needed_s > chunk_s:
            text = f"driving {self.drive_s:g} s and braking takes {needed_s:.2f} s, a chunk is {chunk_s:.2f} s long"
            found.append(f"{text}: lower the speeds or raise the accelerations under 'limits'")
        bad = [frame for frame in self.frames if frame not in FRAMES]
        if bad or len(self.frames) != len(AXES):
            found.append(f"'frames' is {list(self.frames)}; expected {len(AXES)} of {list(FRAMES)}, for {list(AXES)}")
        elif self.device in POSE_DEVICES and (len(set(self.frames[:3])) > 1 or len(set(self.frames[3:])) > 1):
            text = "a device of poses has one frame for x, y, z and one for roll, pitch, yaw"
            found.append(f"'frames' is {list(self.frames)}; {text}")
        if not self.scales or any(not 0.0 < scale <= 1.0 for scale in self.scales):
            found.append(f"'scales' is {list(self.scales)}; expected shares above 0 and at most 1")
        return found


def list_teleop_configs(config_dir: Path) -> list[str]:
    """Return the names of the files in `config/teleop`."""
    return sorted(file.stem for file in (config_dir / "teleop").glob("*.yaml"))


def load_teleop_settings(path: Path) -> TeleopSettings:
    """Read a file of `config/teleop`.

    Raises:
        ConfigError: Lists everything that is missing, unknown or contradicting.
    """
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"teleoperation file {path} does not exist; available: {known}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    reader = ConfigReader(content, where="")
    limits = reader.section("limits")
    settings = TeleopSettings(
        device=reader.choice("device", DEVICES),
        clutch=reader.choice("clutch", CLUTCHES),
        frames=tuple(content.get("frames") or ()) if isinstance(content, dict) else (),
        limits=MotionLimits(**{name: limits.positive(name) for name in _LIMITS}),
        scales=tuple(float(scale) for scale in reader.numbers("scales")),
        options=content.get("options") or {} if isinstance(content, dict) else {},
    )
    chosen: dict[str, Any] = {name: reader.positive(name) for name in _OPTIONAL if reader.has(name)}
    settings = replace(settings, **chosen)
    limits.finish()
    problems = reader.problems or settings.problems()
    problems += _unknown(content)
    if problems:
        raise ConfigError(join_problems(f"teleoperation file {path}", problems))
    return settings


_OPTIONAL = ("stale_s", "lost_hold_s", "drive_s", "leash_m", "leash_rad", "jump_m", "jump_rad")
_KNOWN = {"device", "clutch", "frames", "limits", "scales", "options", *_OPTIONAL}


def _unknown(content: Mapping[str, Any]) -> list[str]:
    return [f"unknown key '{key}'; expected one of {sorted(_KNOWN)}" for key in content if key not in _KNOWN]
