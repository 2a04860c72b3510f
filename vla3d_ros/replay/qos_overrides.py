"""The YAML of `ros2 bag --qos-profile-overrides-path`, read as it is written for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.errors import ConfigError, join_problems

_NS = 1_000_000_000
_WORDS: Mapping[str, tuple[str, ...]] = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort", "system_default"),
    "durability": ("volatile", "transient_local", "system_default"),
    "liveliness": ("automatic", "manual_by_topic", "system_default"),
}
_DURATIONS = ("deadline", "lifespan", "liveliness_lease_duration")
_OTHERS = ("depth", "avoid_ros_namespace_conventions")


@dataclass(frozen=True, slots=True, kw_only=True)
class QosOverride:
    """One topic's profile: words of rosbag2; durations in ns, 0 for unspecified; None where the file says nothing."""

    history: str | None = None
    depth: int | None = None
    reliability: str | None = None
    durability: str | None = None
    liveliness: str | None = None
    deadline_ns: int = 0
    lifespan_ns: int = 0
    liveliness_lease_duration_ns: int = 0
    avoid_ros_namespace_conventions: bool = False


def read_qos_overrides(path: Path) -> dict[str, QosOverride]:
    """Read profiles by topic.

    Raises:
        ConfigError: If the file is missing or wrong; lists every problem with topic, key and expectation.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"QoS overrides {path} can not be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"QoS overrides {path} is {content!r}; expected a mapping from topic to profile")
    problems: list[str] = []
    found = {str(topic): _override(str(topic), profile, problems) for topic, profile in content.items()}
    if problems:
        raise ConfigError(join_problems(f"QoS overrides {path}", problems))
    return found


def _override(topic: str, profile: Any, problems: list[str]) -> QosOverride:
    if not isinstance(profile, dict):
        problems.append(f"'{topic}' is {profile!r}; expected a mapping of policies")
        return QosOverride()
    known = (*_WORDS, *_DURATIONS, *_OTHERS)
    problems += [f"'{topic}': unknown policy '{key}'; expected one of {known}" for key in profile if key not in known]
    words: dict[str, Any] = {}
    for key, allowed in _WORDS.items():
        if key in profile:
            words[key] = profile[key]
            if profile[key] not in allowed:
                problems.append(f"'{topic}': {key} is {profile[key]!r}; expected one of {allowed}")
    depth = profile.get("depth")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        problems.append(f"'{topic}': depth is {depth!r}; expected a whole number")
        depth = None
    durations: dict[str, Any] = {
        f"{key}_ns": _duration_ns(topic, key, profile.get(key), problems) for key in _DURATIONS
    }
    avoids = profile.get("avoid_ros_namespace_conventions", False) is True
    return QosOverride(**words, depth=depth, avoid_ros_namespace_conventions=avoids, **durations)


def _duration_ns(topic: str, key: str, value: Any, problems: list[str]) -> int:
    if value is None:
        return 0
    if not isinstance(value, dict) or not {"sec", "nsec"} <= set(value):
        problems.append(f"'{topic}': {key} is {value!r}; expected sec and nsec")
        return 0
    return int(value["sec"]) * _NS + int(value["nsec"])
