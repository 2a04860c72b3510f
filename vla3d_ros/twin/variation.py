"""How worlds may differ from trial to trial: what is drawn, and between which bounds. `config/variations/*.yaml`.

The same files make demonstrations varied and evaluations hard, so that both mean the same by a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems

Range = tuple[float, float]
Count = tuple[int, int]

_NONE: Range = (0.0, 0.0)
_SAME: Range = (1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraVariation:
    """How far cameras sit from where the rig file says: a shift and a turn of random direction and drawn size.

    `fixed` cameras stand still, `riding` ones sit on an end effector. `is_told`: the policy gets the true extrinsics;
    otherwise it keeps those of the rig file.
    """

    fixed_shift_m: Range = _NONE
    fixed_turn_deg: Range = _NONE
    riding_shift_m: Range = _NONE
    riding_turn_deg: Range = _NONE
    is_told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVariation:
    """How many cubes and pads (both bounds included; None: as the scene says), and how their colours stray.

    Hues stray by up to hue_deg; saturation and brightness are multiplied by a factor.
    """

    cubes: Count | None = None
    pads: Count | None = None
    hue_deg: float = 0.0
    saturation: Range = _SAME
    brightness: Range = _SAME


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVariation:
    """Height of the table's top above where the scene has it, metres."""

    height_m: Range = _NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class OcclusionVariation:
    """In how many fixed cameras' views a plate hides the named cube, and which share of it, as the trial begins."""

    views: Count = (0, 0)
    hidden: Range = (0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistractorVariation:
    """How many loose things lie between cubes and pads, in colours that no instruction names."""

    count: Count = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightVariation:
    """Light: a common factor, a factor per colour channel within 1 +- tint, and the sun's angle from above."""

    brightness: Range = _SAME
    tint: float = 0.0
    sun_tilt_deg: Range = _NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundVariation:
    """Colours of table and floor: any hue, saturation and brightness between bounds in [0, 1]."""

    saturation: Range = _NONE
    brightness: Range = (0.7, 0.7)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingVariation:
    """What the policy is not given: views of cameras that ride on an end effector, the robot's states."""

    riding_views: bool = False
    states: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingVariation:
    """Delays: added between capture and chunk, and between a command and the arm's driver."""

    extra_latency_ms: Range = _NONE
    actuation_ms: Range = _NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What differs from the scene, the rig and the robot as their files have them; a section that is None: nothing."""

    name: str
    title: str
    cameras: CameraVariation | None = None
    objects: ObjectVariation | None = None
    table: TableVariation | None = None
    occlusion: OcclusionVariation | None = None
    distractors: DistractorVariation | None = None
    light: LightVariation | None = None
    background: BackgroundVariation | None = None
    missing: MissingVariation | None = None
    timing: TimingVariation | None = None


_SECTIONS: Mapping[str, type[Any]] = {
    "cameras": CameraVariation,
    "objects": ObjectVariation,
    "table": TableVariation,
    "occlusion": OcclusionVariation,
    "distractors": DistractorVariation,
    "light": LightVariation,
    "background": BackgroundVariation,
    "missing": MissingVariation,
    "timing": TimingVariation,
}
_SIGNED = {"table.height_m"}


def load_variation(name: str, folder: Path) -> Variation:
    """Read `<folder>/<name>.yaml`.

    Raises:
        ConfigError: If there is no such file, or it is wrong; lists every problem.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        available = sorted(file.stem for file in folder.glob("*.yaml"))
        raise ConfigError(f"unknown variation '{name}'; expected one of {available}")
    return read_variation(name, yaml.safe_load(path.read_text(encoding="utf-8")), where=f"variation {path}")


def read_variation(name: str, content: Any, *, where: str) -> Variation:
    """Read a variation's content.

    Raises:
        ConfigError: Lists every problem.
    """
    reader = ConfigReader(content, where="")
    title = reader.text("title")
    sections = {key: _read(kind, key, reader.section(key)) for key, kind in _SECTIONS.items() if reader.has(key)}
    reader.finish(optional=_SECTIONS)
    if reader.problems:
        raise ConfigError(join_problems(where, reader.problems))
    return Variation(name=name, title=title, **sections)


def _read(kind: type[Any], section: str, reader: ConfigReader) -> Any:
    known = [entry.name for entry in fields(kind)]
    values: dict[str, Any] = {}
    for entry in fields(kind):
        if not reader.has(entry.name):
            continue
        match str(entry.type):
            case "bool":
                values[entry.name] = reader.flag(entry.name)
            case "float":
                values[entry.name] = _not_negative(reader, section, entry.name)
            case text:
                values[entry.name] = _bounds(reader, section, entry.name, is_whole="Count" in text)
    reader.finish(optional=known)
    return kind(**values)


def _not_negative(reader: ConfigReader, section: str, key: str) -> float:
    value = reader.number(key)
    if value < 0.0:
        reader.problems.append(f"'{section}.{key}' is {value:g}; expected 0 or more")
    return value


def _bounds(reader: ConfigReader, section: str, key: str, *, is_whole: bool) -> tuple[Any, Any]:
    low, high = reader.vector(key, 2)
    where = f"{section}.{key}"
    is_wrong = low > high or (low < 0.0 and where not in _SIGNED) or (is_whole and (low % 1 or high % 1))
    if is_wrong:
        kind = "whole numbers" if is_whole else "numbers"
        least = "" if where in _SIGNED else " from 0 on"
        reader.problems.append(f"'{where}' is [{low:g}, {high:g}]; expected [lowest, highest], {kind}{least}")
    return (int(low), int(high)) if is_whole else (float(low), float(high))
