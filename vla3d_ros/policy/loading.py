"""Builds a policy backend from the two words a deployment has for it."""

from __future__ import annotations

import importlib
from pathlib import Path

import yaml

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.backend import PolicyBackend

_BACKENDS = {"scripted": "vla3d_ros.policy.backends.scripted:ScriptedPolicy"}


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
    path = Path(config_file)
    if not path.is_file():
        available = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(f"no policy settings {path}; available: {available}")
    module_name, class_name = _BACKENDS[kind].split(":")
    factory = getattr(importlib.import_module(module_name), class_name)
    backend: PolicyBackend = factory.from_config(yaml.safe_load(path.read_text(encoding="utf-8")))
    return backend
