"""Find the files that ship with the package: launch, config, urdf and models.

The same call works in a clone, in an editable install, in a wheel and in a colcon workspace, without ROS.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from vla3d_ros.errors import ConfigError

PACKAGE_NAME = "vla3d_ros"


def share_dir() -> Path:
    """Return the directory that holds `config/`, `launch/`, `urdf/` and `models/`.

    A clone is recognised by the `package.xml` beside the package; an installed package keeps its files in
    `share/vla3d_ros` under its prefix.

    Raises:
        ConfigError: If the installation is incomplete; names every place that was searched.
    """
    candidates = tuple(_candidates(Path(__file__).resolve().parent))
    for candidate in candidates:
        if (candidate / "package.xml").is_file() and (candidate / "config").is_dir():
            return candidate
    raise ConfigError(
        f"package data of {PACKAGE_NAME} not found: expected package.xml and config/ in one of "
        f"{[str(candidate) for candidate in candidates]}; reinstall the package ('make setup' or 'colcon build')"
    )


def config_dir() -> Path:
    """Return the directory of the shipped configuration files."""
    return share_dir() / "config"


def _candidates(package_dir: Path) -> Iterator[Path]:
    """Yield where the data may lie: beside the package, then under each prefix that may hold the package."""
    yield package_dir.parent
    for prefix in package_dir.parents:
        yield prefix / "share" / PACKAGE_NAME
    yield Path(sys.prefix) / "share" / PACKAGE_NAME
