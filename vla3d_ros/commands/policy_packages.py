"""Which packages a `vla3d policy` command is about, and on which engine."""

from __future__ import annotations

import argparse
from pathlib import Path

from vla3d_ros.errors import PackageError
from vla3d_ros.policy.engine import EngineSettings
from vla3d_ros.policy.package import find_package, list_packages
from vla3d_ros.resources import share_dir


def chosen_folders(names: list[str]) -> list[Path]:
    """Return the folders of the named packages, or of all that ship.

    Raises:
        PackageError: If there is none, or one is unknown.
    """
    models = share_dir() / "models"
    folders = [find_package(name, models) for name in names or list_packages(models)]
    if not folders:
        raise PackageError(f"no policy packages in {models}; write one with 'vla3d policy export'")
    return folders


def engine_settings(options: argparse.Namespace) -> EngineSettings:
    """Return how the command line wants graphs to be run."""
    return EngineSettings(
        kind=options.engine,
        providers=options.providers,
        precision=options.precision,
        threads=options.threads,
        spinning=options.spinning,
    )
