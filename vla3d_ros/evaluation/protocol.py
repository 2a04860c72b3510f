"""Trial protocols: what is run how often, from `config/trials`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.errors import ConfigError, join_problems


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialProtocol:
    """A series of trials with scenes from consecutive seeds. `timeout_s` is ROS time."""

    deployment: str
    trials: int
    seed: int
    timeout_s: float
    required_share: float


def load_protocol(name: str, config_dir: Path) -> TrialProtocol:
    """Read `config/trials/<name>.yaml`.

    Raises:
        ConfigError: If the protocol is unknown or wrong; lists every problem.
    """
    folder = config_dir / "trials"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        available = sorted(file.stem for file in folder.glob("*.yaml"))
        raise ConfigError(f"unknown trial protocol '{name}': expected one of {available}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    problems = _problems(content)
    if problems:
        raise ConfigError(join_problems(f"trial protocol {path}", problems))
    return TrialProtocol(**content)


def _problems(content: Any) -> list[str]:
    known = [field.name for field in fields(TrialProtocol)]
    if not isinstance(content, dict):
        return [f"is {type(content).__name__}; expected a mapping with {known}"]
    problems = [f"unknown key '{key}': expected one of {known}" for key in content if key not in known]
    problems += [f"missing key '{key}'" for key in known if key not in content]
    numbers = {key: content[key] for key in known[1:] if key in content}
    problems += [f"'{key}' is {value!r}; expected a number" for key, value in numbers.items() if not _is_number(value)]
    if not problems and content["trials"] < 1:
        problems.append(f"'trials' is {content['trials']}; expected at least 1")
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
