"""Settings of the scripted policy for two arms: those for one arm, and who works where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.backends.scripted_config import ScriptedConfig, Triple, read_scripted_config

_KEYS = {"left", "right", "left_park_m", "right_park_m", "hand_over_m", "overlap_m", "clear_y_m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSide:
    """One arm's half of the table: sign of its y, and where its tool (x, y, z in m) waits."""

    sign: float
    park_m: Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class BimanualConfig:
    """What both arms share, and their sides.

    Attributes:
        shared: Settings of either arm; its `arm` is that of the left one.
        sides: By arm, the left one (y > 0) first.
        hand_over_m: (x, y, height of the surface) in the base frame, between the arms, kept clear.
        overlap_m: How far each arm reaches over to the other's side.
        clear_y_m: An arm whose tool is at least this far on its own side is out of the other's way.
    """

    shared: ScriptedConfig
    sides: Mapping[str, ArmSide]
    hand_over_m: Triple
    overlap_m: float
    clear_y_m: float

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, the left one first."""
        return tuple(self.sides)

    def of_arm(self, name: str) -> ScriptedConfig:
        """Return the settings of one arm."""
        return replace(self.shared, arm=name)

    def other(self, name: str) -> str:
        """Return the other arm's name."""
        left, right = self.arms
        return right if name == left else left

    def side_of(self, y_m: float) -> str:
        """Return the arm on whose half a point lies."""
        left, right = self.arms
        return left if y_m >= 0.0 else right

    def reaches(self, name: str, y_m: float) -> bool:
        """Whether an arm reaches a point of the region at this y."""
        return self.sides[name].sign * y_m >= -self.overlap_m


def read_bimanual_config(mapping: Mapping[str, Any]) -> BimanualConfig:
    """Check and freeze the settings.

    Args:
        mapping: Contents of a policy YAML: those for one arm, without `arm`, and a section `bimanual`.

    Raises:
        ConfigError: Naming what is missing, unknown or malformed.
    """
    section = mapping.get("bimanual")
    if not isinstance(section, Mapping) or set(section) != _KEYS:
        got = sorted(section) if isinstance(section, Mapping) else section
        raise ConfigError(f"scripted policy settings: 'bimanual' has {got}; expected exactly {sorted(_KEYS)}")
    single = {key: value for key, value in mapping.items() if key != "bimanual"}
    try:
        left, right = str(section["left"]), str(section["right"])
        sides = {
            left: ArmSide(sign=1.0, park_m=_triple(section["left_park_m"])),
            right: ArmSide(sign=-1.0, park_m=_triple(section["right_park_m"])),
        }
        numbers = {key: float(section[key]) for key in ("overlap_m", "clear_y_m")}
        hand_over_m = _triple(section["hand_over_m"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"scripted policy settings: 'bimanual' is {dict(section)}: {error}") from error
    shared = read_scripted_config({**single, "arm": left})
    return BimanualConfig(shared=shared, sides=sides, hand_over_m=hand_over_m, **numbers)


def _triple(value: Any) -> Triple:
    x, y, z = value
    return (float(x), float(y), float(z))
