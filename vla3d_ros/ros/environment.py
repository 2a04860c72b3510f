"""Make this process, and every process it starts, able to use ROS 2: the one place that sets environment variables.

Entry points call `prepare_environment()` before they import rclpy; launch files pass `ros_environment()` on to the
nodes. ROS 2 wheels from the package index need no sourcing: their start-up hook finds their libraries, and this
module adds their ament index.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from vla3d_ros.errors import DependencyError
from vla3d_ros.resources import config_dir
from vla3d_ros.ros.transport import transport_environment


def ros_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to add to `environ`; what the user set already stays as it is.

    Args:
        environ: The environment to complete, usually `os.environ`.

    Returns:
        Only what is missing: AMENT_PREFIX_PATH with this virtual environment's ROS 2, and the transport profile.
    """
    return {**_ament_environment(environ, Path(sys.prefix)), **transport_environment(config_dir(), environ)}


def prepare_environment() -> None:
    """Complete this process's environment and check that ROS 2 can be imported.

    Raises:
        DependencyError: If rclpy is missing or was built for another Python.
    """
    os.environ.update(ros_environment(os.environ))
    require_rclpy()


def require_rclpy() -> None:
    """Import rclpy, or say why that cannot work.

    Raises:
        DependencyError: If rclpy is missing, or belongs to a ROS sourced for another Python; names both versions.
    """
    try:
        importlib.import_module("rclpy")
        importlib.import_module("rclpy.impl.implementation_singleton")
    except ImportError as error:
        raise DependencyError(_explain_import_failure(error)) from error


def _ament_environment(environ: Mapping[str, str], prefix: Path) -> dict[str, str]:
    """Put the ament index of a virtual environment that holds ROS 2 wheels first in AMENT_PREFIX_PATH."""
    if not (prefix / "share" / "ament_index" / "resource_index").is_dir():
        return {}
    known = [entry for entry in environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    if str(prefix) in known:
        return {}
    return {"AMENT_PREFIX_PATH": os.pathsep.join([str(prefix), *known])}


def _explain_import_failure(error: ImportError) -> str:
    """Say what is wrong with rclpy and what to do about it."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    spec = importlib.util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        distro = os.environ.get("ROS_DISTRO")
        remedy = (
            f"ROS 2 {distro!r} is sourced but has no rclpy for Python {running}: run with the system's Python, or open "
            "a shell that does not source ROS and run 'make setup'"
            if distro
            else "run 'make setup', or source a ROS 2 installation"
        )
        return f"rclpy is not installed for Python {running} ({sys.executable}): {remedy}"
    package_dir = Path(spec.origin).parent
    built_for = _built_for(package_dir)
    if built_for and running not in built_for:
        return (
            f"ROS sourced for another Python: rclpy in {package_dir} is built for Python {', '.join(built_for)}, "
            f"this is Python {running} ({sys.executable}); run 'make setup PYTHON=python{built_for[0]}', "
            "or open a shell that does not source ROS and run 'make setup'"
        )
    return f"rclpy in {package_dir} does not load under Python {running}: {error}"


def _built_for(package_dir: Path) -> list[str]:
    """Return the Python versions for which a package has compiled modules, e.g. ["3.12"]."""
    tags = (re.search(r"\.cpython-(\d)(\d+)", module.name) for module in package_dir.glob("*.so"))
    return sorted({f"{tag[1]}.{tag[2]}" for tag in tags if tag})
