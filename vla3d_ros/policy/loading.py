"""Builds a policy backend from the two words a deployment has for it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.backend import PolicyBackend

_BACKENDS = {
    "package": "vla3d_ros.policy.learned:LearnedPolicy",
    "remote": "vla3d_ros.policy.backends.remote:RemotePolicy",
    "scripted": "vla3d_ros.policy.backends.scripted:ScriptedPolicy",
    "scripted_bimanual": "vla3d_ros.policy.backends.scripted_bimanual:ScriptedBimanualPolicy",
}


def load_backend(kind: str, config_file: str) -> PolicyBackend:
    """Build a policy backend from its settings file.

    Args:
        kind: Kind of policy, as in the deployment.
        config_file: Path of its YAML settings.

    Raises:
        ConfigError: If the kind is unknown or the file is missing.
    """
    if kind not in _BACKENDS:
        raise ConfigError(f"unknown policy backend '{kind}': expected one of {sorted(_BACKENDS)}")
    settings = read_settings(existing_settings(Path(config_file)))
    module_name, class_name = _BACKENDS[kind].split(":")
    factory = getattr(importlib.import_module(module_name), class_name)
    backend: PolicyBackend = factory.from_config(settings)
    return backend


def backend_kind(path: Path) -> str:
    """Return the kind of policy that a settings file is for.

    Raises:
        ConfigError: If the file is missing, or does not say so.
    """
    settings = read_settings(existing_settings(path))
    kind = settings.get("backend") if isinstance(settings, dict) else None
    if kind not in _BACKENDS:
        raise ConfigError(f"policy settings {path} are for backend '{kind}': expected one of {sorted(_BACKENDS)}")
    return str(kind)


def existing_settings(path: Path) -> Path:
    """Return the path of a settings file that is there.

    Raises:
        ConfigError: If it is not; lists what there is beside it.
    """
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"no policy settings {path}; available: {available}")
    return path


def read_settings(path: Path) -> Any:
    """Read a settings file, on top of the one beside it that its key `extends` names.

    Args:
        path: A YAML file. Sections are merged key by key; everything else replaces what is extended.

    Raises:
        ConfigError: If the extended file is missing, or extends in a circle.
    """
    return _read_layers(path, ())


def _read_layers(path: Path, above: tuple[Path, ...]) -> Any:
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict) or "extends" not in settings:
        return settings
    base = path.with_name(f"{settings.pop('extends')}.yaml")
    if not base.is_file() or base in (path, *above):
        available = sorted(file.stem for file in path.parent.glob("*.yaml") if file not in (path, *above))
        raise ConfigError(f"{path} extends '{base.stem}', which it can not; expected one of {available}")
    return _merged(_read_layers(base, (*above, path)), settings)


def _merged(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {key: _merged(below.get(key), above[key]) if key in above else below[key] for key in {**below, **above}}
