"""What a set of demonstrations is made of: `config/training/demonstrations*.yaml`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.policy.manifest import FITS

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSettings:
    """Pictures as the policy gets them, and how wide (px) colours and truth are rendered before they are made to fit.

    Colours rendered as wide as the camera's own pictures are exactly what the policy would get of the live camera.
    """

    width_px: int
    height_px: int
    fit: str
    rendered_width_px: int
    truth_width_px: int
    has_depth: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DisturbanceSettings:
    """Bursts in which the arm is pushed off what the teacher wants: how often, how long, how fast.

    Below `low_m` above the table the arm is not pushed down.
    """

    per_s: float
    duration_s: Range
    speed_m_s: Range
    turn_rad_s: Range
    low_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstrationSettings:
    """A set of demonstrations.

    Attributes:
        deployment: Robot, rig, scene, bounds, and the scripted policy whose planner is the teacher.
        seed: Of everything that is drawn.
        episodes: How many are tried; those that fail are counted, and kept only if `keeps_failures`.
        samples_hz: Samples kept per second; divides the rig's rate.
        surface_points: Of every object.
        latency_ms: From capture to chunk, before what a variation adds.
        nudge_share: Of episodes in which the named cube is pushed aside.
        timeout_s: Of world time, after which an episode has failed.
        keeps_failures: Whether samples of failed episodes are kept, too.
        variations: Share of each, by name, from `config/variations`.
        pictures: What is seen.
        disturbances: What makes recoveries necessary.
    """

    deployment: str
    seed: int
    episodes: int
    samples_hz: float
    surface_points: int
    latency_ms: float
    nudge_share: float
    timeout_s: float
    keeps_failures: bool
    variations: dict[str, float]
    pictures: PictureSettings
    disturbances: DisturbanceSettings

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over every setting but the number of episodes: a set may be made longer later."""
        content = {key: value for key, value in asdict(self).items() if key != "episodes"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_settings(path: Path) -> DemonstrationSettings:
    """Read a settings file.

    Raises:
        ConfigError: If it is missing or wrong; lists every problem.
    """
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("demonstrations*.yaml"))
        raise ConfigError(f"no demonstration settings {path}; available: {available}")
    return read_settings(yaml.safe_load(path.read_text(encoding="utf-8")), where=f"demonstration settings {path}")


def read_settings(content: Any, *, where: str) -> DemonstrationSettings:
    """Read a settings file's content.

    Raises:
        ConfigError: Lists every problem.
    """
    reader = ConfigReader(content, where="")
    values: dict[str, Any] = {
        "deployment": reader.text("deployment"),
        "seed": _whole(reader, "seed", 0),
        "episodes": _whole(reader, "episodes", 1),
        "samples_hz": reader.positive("samples_hz"),
        "surface_points": _whole(reader, "surface_points", 1),
        "latency_ms": _least(reader, "latency_ms", 0.0),
        "nudge_share": _least(reader, "nudge_share", 0.0, 1.0),
        "timeout_s": reader.positive("timeout_s"),
        "keeps_failures": reader.flag("keeps_failures"),
        "variations": _shares(reader, content),
        "pictures": _pictures(reader.section("pictures")),
        "disturbances": _disturbances(reader.section("disturbances")),
    }
    reader.finish()
    if reader.problems:
        raise ConfigError(join_problems(where, reader.problems))
    return DemonstrationSettings(**values)


def _pictures(reader: ConfigReader) -> PictureSettings:
    sizes = {key: _whole(reader, key, 1) for key in ("width_px", "height_px", "rendered_width_px", "truth_width_px")}
    pictures = PictureSettings(**sizes, fit=reader.choice("fit", FITS), has_depth=reader.flag("has_depth"))
    reader.finish()
    return pictures


def _disturbances(reader: ConfigReader) -> DisturbanceSettings:
    ranges = {key: _range(reader, key) for key in ("duration_s", "speed_m_s", "turn_rad_s")}
    per_s, low_m = _least(reader, "per_s", 0.0), _least(reader, "low_m", 0.0)
    reader.finish()
    return DisturbanceSettings(per_s=per_s, low_m=low_m, **ranges)


def _shares(reader: ConfigReader, content: Any) -> dict[str, float]:
    """The variations' names are the user's choice, so they are read from the raw mapping."""
    given = content.get("variations") if isinstance(content, dict) else None
    section = reader.section("variations")
    shares = {str(name): section.positive(str(name)) for name in given} if isinstance(given, dict) else {}
    section.finish()
    if isinstance(given, dict) and not shares:
        reader.problems.append("'variations' is empty; expected at least one name with its share")
    return shares


def _whole(reader: ConfigReader, key: str, least: int) -> int:
    value = reader.number(key)
    if value % 1 or value < least:
        reader.problems.append(f"'{key}' is {value:g}; expected a whole number from {least} on")
        return max(least, 1)
    return int(value)


def _least(reader: ConfigReader, key: str, least: float, most: float = float("inf")) -> float:
    value = reader.number(key)
    if not least <= value <= most:
        upper = f" to {most:g}" if most < float("inf") else " on"
        reader.problems.append(f"'{key}' is {value:g}; expected a number from {least:g}{upper}")
    return value


def _range(reader: ConfigReader, key: str) -> Range:
    low, high = reader.vector(key, 2)
    if not 0.0 <= low <= high:
        reader.problems.append(f"'{key}' is [{low:g}, {high:g}]; expected [lowest, highest] from 0 on")
    return float(low), float(high)
