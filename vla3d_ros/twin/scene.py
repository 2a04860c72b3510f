"""The scene file: what lies on the table, how trials are drawn and what counts as success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TableSpec:
    """A table: centre (2,) and size (3,) in metres, colours RGB in [0, 1].

    `top_z_m` is the height of its top in the world; files leave it at 0, variations of a scene do not.
    """

    center_m: Float
    size_m: Float
    height_above_floor_m: float
    colour: Float
    floor_colour: Float
    top_z_m: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CubeSpec:
    """Cubes of one size, one per colour name: edge in metres, kilograms, sliding friction, RGB in [0, 1]."""

    size_m: float
    mass_kg: float
    friction: float
    colours: Mapping[str, Float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PadSpec:
    """Flat pads of one size (3,) in metres, one per colour name, RGB in [0, 1]."""

    size_m: Float
    colours: Mapping[str, Float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FingerSpec:
    """How fingers touch and move: sliding friction, and the speed of each finger in m/s."""

    pad_friction: float
    finger_speed_m_s: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrialSpec:
    """How a trial is drawn: how many objects, in which rectangle, and the least distances between centres in metres.

    keep_clear_m (x, y, radius) is a circle in which no object's centre lies; radius 0 = none.
    """

    cubes: int
    pads: int
    region_x_m: Float
    region_y_m: Float
    keep_clear_m: Float
    cube_cube_m: float
    cube_pad_m: float
    pad_pad_m: float
    instruction: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SuccessSpec:
    """When a trial has succeeded; see the comments in `config/scenes`."""

    hold_s: float
    timeout_s: float
    speed_m_s: float
    height_tolerance_m: float
    gripper_open: float
    gripper_away_m: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SceneConfig:
    """Everything around the robot."""

    table: TableSpec
    cubes: CubeSpec
    pads: PadSpec
    gripper: FingerSpec
    trial: TrialSpec
    success: SuccessSpec


def load_scene(path: Path) -> SceneConfig:
    """Read `config/scenes/<scene>.yaml`.

    Raises:
        ConfigError: If the file is missing or wrong; lists every problem.
    """
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"scene file {path} does not exist; available scenes: {available}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    reader = ConfigReader(content, where="")
    scene = SceneConfig(
        table=_read_table(reader.section("table")),
        cubes=_read_cubes(_colour_names(content, "cubes"), reader.section("cubes")),
        pads=_read_pads(_colour_names(content, "pads"), reader.section("pads")),
        gripper=_read_numbers(FingerSpec, reader.section("gripper")),
        trial=_read_trial(reader.section("trial")),
        success=_read_numbers(SuccessSpec, reader.section("success")),
    )
    reader.finish()
    problems = reader.problems or _contradictions(scene)
    if problems:
        raise ConfigError(join_problems(f"scene file {path}", problems))
    return scene


def _read_table(reader: ConfigReader) -> TableSpec:
    table = TableSpec(
        center_m=reader.vector("center_m", 2),
        size_m=reader.vector("size_m", 3),
        height_above_floor_m=reader.positive("height_above_floor_m"),
        colour=reader.vector("colour", 3),
        floor_colour=reader.vector("floor_colour", 3),
    )
    reader.finish()
    return table


def _read_cubes(names: Sequence[str], reader: ConfigReader) -> CubeSpec:
    numbers = {key: reader.positive(key) for key in ("size_m", "mass_kg", "friction")}
    cubes = CubeSpec(colours=_read_colours(names, reader), **numbers)
    reader.finish()
    return cubes


def _read_pads(names: Sequence[str], reader: ConfigReader) -> PadSpec:
    pads = PadSpec(size_m=reader.vector("size_m", 3), colours=_read_colours(names, reader))
    reader.finish()
    return pads


def _read_colours(names: Sequence[str], reader: ConfigReader) -> dict[str, Float]:
    section = reader.section("colours")
    colours = {name: section.vector(name, 3) for name in names}
    section.finish()
    return colours


def _colour_names(content: Any, section: str) -> tuple[str, ...]:
    """The colours' names are the user's choice, so they are read from the raw mapping."""
    listed = content.get(section) if isinstance(content, dict) else None
    colours = listed.get("colours") if isinstance(listed, dict) else None
    return tuple(map(str, colours)) if isinstance(colours, dict) else ()


def _read_trial(reader: ConfigReader) -> TrialSpec:
    trial = TrialSpec(
        cubes=int(reader.positive("cubes")),
        pads=int(reader.positive("pads")),
        region_x_m=reader.vector("region_x_m", 2),
        region_y_m=reader.vector("region_y_m", 2),
        keep_clear_m=reader.vector("keep_clear_m", 3) if reader.has("keep_clear_m") else np.zeros(3),
        cube_cube_m=reader.positive("cube_cube_m"),
        cube_pad_m=reader.positive("cube_pad_m"),
        pad_pad_m=reader.positive("pad_pad_m"),
        instruction=reader.text("instruction"),
    )
    reader.finish()
    return trial


def _read_numbers(kind: Any, reader: ConfigReader) -> Any:
    """Fill a dataclass whose fields are all positive numbers."""
    section = kind(**{key: reader.positive(key) for key in kind.__dataclass_fields__})
    reader.finish()
    return section


def _contradictions(scene: SceneConfig) -> list[str]:
    problems = []
    trial = scene.trial
    for name, count, colours in (("cubes", trial.cubes, scene.cubes.colours), ("pads", trial.pads, scene.pads.colours)):
        if count > len(colours):
            problems.append(
                f"'trial.{name}' is {count}; expected at most {len(colours)}, one per colour {list(colours)}"
            )
    for key in ("region_x_m", "region_y_m"):
        low, high = getattr(trial, key)
        if low >= high:
            problems.append(f"'trial.{key}' is [{low}, {high}]; expected [lowest, highest]")
    colours = {**scene.cubes.colours, **scene.pads.colours}
    for name, colour in colours.items():
        if (colour < 0).any() or (colour > 1).any():
            problems.append(f"colour '{name}' is {colour.tolist()}; expected red, green, blue in [0, 1]")
    missing = [field for field in ("{cube}", "{pad}") if field not in trial.instruction]
    if missing:
        problems.append(f"'trial.instruction' is {trial.instruction!r}; expected it to contain {missing}")
    return problems
