"""Settings of the scripted policy: strict, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from vla3d_ros.errors import ConfigError, join_problems

Triple = tuple[float, float, float]
Section = TypeVar("Section")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSettings:
    """Steps of a chunk and their rate."""

    steps: int
    rate_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourSettings:
    """Which hues mean which object; saturation and value in 0..255, hues in degrees."""

    hue_tolerance_deg: float
    min_saturation: int
    min_value: int
    cubes_hue_deg: dict[str, float]
    pads_hue_deg: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSettings:
    """Sizes (x, y, z) of the objects and height of the table's top in the base frame, metres."""

    table_height_m: float
    cube_size_m: Triple
    pad_size_m: Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """When a silhouette fit is believed."""

    min_blob_px: int
    border_px: int
    edge_px: float
    inlier_px: float
    min_inlier_fraction: float
    max_rms_px: float
    smoothing: float
    jump_m: float
    max_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSettings:
    """Bounds of the end effector's motion along base x, y, z and in rotation."""

    speed_m_s: Triple
    acceleration_m_s2: Triple
    jerk_m_s3: Triple
    rotation_speed_rad_s: float
    rotation_acceleration_rad_s2: float
    rotation_jerk_rad_s3: float
    reseed_m: float
    reseed_rad: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """Heights above the table, tolerances and gripper openings of the pick-and-place phases."""

    closing_axis: str
    preferred_yaw_rad: float
    yaw_hysteresis_rad: float
    hover_height_m: float
    clear_height_m: float
    grasp_height_m: float
    carry_height_m: float
    place_clearance_m: float
    retreat_height_m: float
    funnel_m: float
    escape_m: float
    funnel_rad: float
    settle_m: float
    settle_s: float
    close_s: float
    steady_s: float
    grasped_opening: float
    opening_tolerance: float
    released_opening: float
    follow_m: float
    gone_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedConfig:
    """Everything the scripted policy is told."""

    arm: str
    cameras: tuple[str, ...]
    chunk: ChunkSettings
    colours: ColourSettings
    objects: ObjectSettings
    fit: FitSettings
    motion: MotionSettings
    task: TaskSettings


_SECTIONS: dict[str, type[Any]] = {
    "chunk": ChunkSettings,
    "colours": ColourSettings,
    "objects": ObjectSettings,
    "fit": FitSettings,
    "motion": MotionSettings,
    "task": TaskSettings,
}
_TOP_LEVEL = {"backend", "arm", "cameras", *_SECTIONS}


def read_scripted_config(mapping: Mapping[str, Any]) -> ScriptedConfig:
    """Check and freeze the settings of the scripted policy.

    Args:
        mapping: Contents of a policy YAML, e.g. `config/policies/scripted_tabletop.yaml`.

    Raises:
        ConfigError: Naming every missing, unknown or malformed key.
    """
    problems = [f"unknown key '{key}'; known are {sorted(_TOP_LEVEL)}" for key in sorted(set(mapping) - _TOP_LEVEL)]
    problems += [f"missing key '{key}'" for key in sorted(_TOP_LEVEL - {"backend"} - set(mapping))]
    sections: dict[str, Any] = {
        name: _read_section(kind, mapping.get(name), name, problems) for name, kind in _SECTIONS.items()
    }
    cameras = mapping.get("cameras")
    if "cameras" in mapping and (not isinstance(cameras, list) or len(set(cameras)) < 2):
        problems.append(f"'cameras' is {cameras!r}; expected at least two different camera names")
    task = mapping.get("task")
    if isinstance(task, Mapping) and task.get("closing_axis", "x") not in ("x", "y"):
        problems.append(f"'task.closing_axis' is {task['closing_axis']!r}; expected 'x' or 'y' of the end effector")
    if problems:
        raise ConfigError(join_problems("scripted policy settings", problems))
    return ScriptedConfig(arm=str(mapping["arm"]), cameras=tuple(mapping["cameras"]), **sections)


def _read_section(kind: type[Section], values: Any, name: str, problems: list[str]) -> Section | None:
    if values is None:
        return None
    if not isinstance(values, Mapping):
        problems.append(f"'{name}' is {values!r}; expected a mapping")
        return None
    expected = {entry.name: str(entry.type) for entry in fields(kind)}  # type: ignore[arg-type]
    known = len(problems)
    problems += [f"unknown key '{name}.{key}'; known are {sorted(expected)}" for key in values if key not in expected]
    problems += [f"missing key '{name}.{key}'" for key in expected if key not in values]
    parsed: dict[str, Any] = {}
    for key in expected.keys() & values.keys():
        try:
            parsed[key] = _parse(values[key], expected[key])
        except (TypeError, ValueError):
            problems.append(f"'{name}.{key}' is {values[key]!r}; expected {expected[key]}")
    return kind(**parsed) if len(problems) == known else None


def _parse(value: Any, kind: str) -> Any:
    if kind == "str":
        return str(value)
    if kind == "int":
        if isinstance(value, bool) or int(value) != value:
            raise ValueError
        return int(value)
    if kind == "float":
        return _number(value)
    if kind == "Triple":
        x, y, z = value
        return (_number(x), _number(y), _number(z))
    if not value:
        raise ValueError
    return {str(key): _number(entry) for key, entry in value.items()}


def _number(value: Any) -> float:
    if isinstance(value, (bool, str)):
        raise TypeError
    return float(value)
