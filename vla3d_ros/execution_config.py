"""Everything that decides how and where an arm may move in one deployment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla3d_ros.adapter.arm_motion import MotionConfig
from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.safety.gate import GateConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """Bounds of the place, how chunks are executed, and the watchdogs."""

    gate: GateConfig
    motion: MotionConfig = dataclasses.field(default_factory=MotionConfig)
    chunk_timeout_s: float = dataclasses.field(
        default=0.5, metadata={"description": "Without a usable chunk for this long, the arm is stopped", "unit": "s"}
    )
    heartbeat_timeout_s: float = dataclasses.field(
        default=0.0, metadata={"description": "Longest silence of the deadman's heartbeat; 0 = no deadman", "unit": "s"}
    )

    def __post_init__(self) -> None:
        problems = [*self.gate.problems(), *self.motion.problems()]
        if not self.chunk_timeout_s > 0:
            problems.append(f"'chunk_timeout_s' is {self.chunk_timeout_s}; expected above 0")
        if not self.heartbeat_timeout_s >= 0:
            problems.append(f"'heartbeat_timeout_s' is {self.heartbeat_timeout_s}; expected 0 or more")
        if problems:
            raise ConfigError(join_problems("execution config", problems))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ExecutionConfig:
        """Read the `execution` section of a deployment: keys `gate`, `motion` and the timeouts.

        Raises:
            ConfigError: Lists every missing, unknown or contradicting value.
        """
        reader = ConfigReader(dict(mapping), where="")
        gate = _read(GateConfig, reader.section("gate"))
        motion = _read(MotionConfig, reader.section("motion")) if reader.has("motion") else {}
        readers = {"chunk_timeout_s": reader.positive, "heartbeat_timeout_s": reader.number}
        rest = {name: read(name) for name, read in readers.items() if reader.has(name)}
        reader.finish({"motion", *readers})
        if reader.problems:
            raise ConfigError(join_problems("execution config", reader.problems))
        return cls(gate=GateConfig(**gate), motion=MotionConfig(**motion), **rest)


def _read(kind: Any, reader: ConfigReader) -> dict[str, Any]:
    """Read the fields of a flat dataclass; a field with a default may be missing."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING and not reader.has(field.name):
            continue
        values[field.name] = _value(str(field.type), field.name, reader, field.default)
    known = {field.name for field in dataclasses.fields(kind)}
    reader.finish(known)
    return values


def _value(kind: str, name: str, reader: ConfigReader, default: Any) -> Any:
    """Read one field: a number, a whole number, yes or no, three numbers, or any count of numbers where () is one."""
    if kind == "float":
        return reader.number(name)
    if kind == "int":
        return int(reader.number(name))
    if kind == "bool":
        return reader.flag(name)
    numbers = reader.numbers(name) if default == () else reader.vector(name, 3)
    return tuple(float(value) for value in numbers)
