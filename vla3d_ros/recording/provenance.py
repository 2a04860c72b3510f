"""Where a recording comes from: versions, the state of the checkout, and the files that were in force."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = "vla3d_ros"
_LIBRARIES = ("numpy", "rosbags", "opencv-python-headless", "pin", "mujoco", "torch", "onnxruntime")
_GIT_TIMEOUT_S = 5.0
_FILE_SUFFIX = "_file"


def software_facts(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the package, ROS and middleware, as text: what every bag carries in its metadata."""
    return {
        "package": _PACKAGE,
        "package_version": _version(_PACKAGE),
        "ros_distro": environ.get("ROS_DISTRO", "unknown"),
        "rmw": environ.get("RMW_IMPLEMENTATION", "default"),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that matter, as installed here."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES}


def git_state(folder: Path) -> dict[str, Any]:
    """Return commit and changed files of the checkout a folder lies in; says so if it is none."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {"commit": "not a git checkout"}
    changed = _git(folder, "status", "--porcelain").splitlines()
    return {"commit": commit, "changed_files": len(changed), "is_clean": not changed}


def files_in_force(tree: Any) -> dict[str, Any]:
    """Return the content of every YAML file that a parameter named `..._file` points at, by path.

    Args:
        tree: Nested mappings of parameters, as the deployment hands them to the recorder.
    """
    found: dict[str, Any] = {}
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if str(key).endswith(_FILE_SUFFIX) and isinstance(value, str) and Path(value).suffix == ".yaml":
                found[value] = _content(Path(value))
            else:
                found |= files_in_force(value)
    return found


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        return f"can not be read: {error}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
