"""A policy named by a package's folder or by a preset, without a settings file: settings that fit a deployment."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from vla3d_ros import __version__
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.commands.policy_choice import policy_overrides
from vla3d_ros.deployment import Deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.manifest import Manifest
from vla3d_ros.policy.nets.presets import preset, presets
from vla3d_ros.policy.package import load_package
from vla3d_ros.policy.package_files import MANIFEST

_ENGINE: dict[str, Any] = {"engine": "onnxruntime", "providers": ["cpu"], "threads": 1, "spinning": False}


def any_policy_overrides(name: str, deployment: Deployment, config_dir: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Return what a deployment has to be overridden with to run a policy, however it is named.

    Args:
        name: A settings file in `config/policies`, `scripted`, the folder of a package, or a preset, which is exported
            (untrained) into the user's cache the first time.
        deployment: Whose cameras and arms the package gets.
        config_dir: The directory `config`.
        out: Folder into which settings are written for a package named by its folder.

    Raises:
        ConfigError: If there is no such policy, or its views and arms can not be told apart by name.
    """
    settings_file = config_dir / "policies" / f"{name}.yaml"
    folder = Path(name)
    if settings_file.is_file() or name == "scripted":
        return policy_overrides(name, config_dir)
    if not (folder / MANIFEST).is_file():
        if name not in presets():
            settings = sorted(file.stem for file in settings_file.parent.glob("*.yaml"))
            raise ConfigError(
                f"unknown policy '{name}': expected a settings file {settings}, the folder of a package, or a preset "
                f"{sorted(presets())}"
            )
        folder = exported_preset(name)
    manifest = load_package(folder).manifest
    path = out / f"{manifest.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = package_settings(manifest, folder, deployment)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return {"policy": {"backend": "package", "backend_config": str(path.resolve().with_suffix(""))}}


def package_settings(manifest: Manifest, folder: Path, deployment: Deployment) -> dict[str, Any]:
    """Return settings that put a package on a deployment.

    Views get cameras by name. What is left of an untrained package's views gets what is left of the rig's cameras, in
    order: its timing is that of a robot with so many cameras, and what it sees does not matter.

    Raises:
        ConfigError: If the package was trained and its views are not called as the cameras are.
    """
    rig = [spec.name for spec in load_rig(deployment.rig_file).cameras]
    arms = [arm.name for arm in deployment.embodiment.arms]
    robot = deployment.embodiment.name
    spec = manifest.embodiment(robot)
    if spec is None:
        known = [known.name for known in manifest.embodiments]
        raise ConfigError(f"policy package '{manifest.name}' does not know robot '{robot}'; it knows {known}")
    slots = [slot for slot, joints in zip(manifest.arm_slots, spec.joints, strict=True) if joints]
    cameras = _cameras([view.name for view in manifest.views], rig, manifest)
    content = {"backend": "package", "package": str(folder.resolve()), "embodiment": robot, "cameras": cameras}
    return {**content, "arms": dict(zip(slots, arms, strict=False)), **_ENGINE}


def _cameras(views: Sequence[str], rig: Sequence[str], manifest: Manifest) -> dict[str, str]:
    named = {view: view for view in views if view in rig}
    if len(named) == len(views):
        return named
    if manifest.is_trained:
        missing = [view for view in views if view not in named]
        raise ConfigError(
            f"policy package '{manifest.name}' was trained with views {missing}, and the rig has cameras {list(rig)}: "
            "say which is which in a settings file in config/policies (docs/how-to/policy-package.md)"
        )
    for view in views:  # wrist_left looks through wrist, where there is only one
        taken = set(named.values())
        alike = [camera for camera in rig if camera not in taken and view.startswith(camera)]
        if view not in named and alike:
            named[view] = alike[0]
    left = [camera for camera in rig if camera not in named.values()]
    rest = [view for view in views if view not in named]
    return {**named, **dict(zip(rest, left, strict=False))}


def exported_preset(name: str) -> Path:
    """Return the folder of a preset's untrained package, exporting it if it is not in the user's cache.

    The cache is `$XDG_CACHE_HOME/vla3d_ros/packages`, by default in `~/.cache`; what a folder is called says which
    configuration and version it was exported from.
    """
    from vla3d_ros.commands.policy_export import export_policy  # needs torch and onnx

    base = os.environ.get("XDG_CACHE_HOME", "")
    root = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "vla3d_ros" / "packages"
    source = json.dumps([__version__, preset(name).to_mapping()], sort_keys=True, default=str)
    folder = root / f"{name}_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    if (folder / MANIFEST).is_file():
        return folder
    partial = root / f"partial_{os.getpid()}" / folder.name
    order = {"preset": name, "out": partial, "seed": 0, "views": None, "robots": None, "weights": False}
    try:
        export_policy(argparse.Namespace(**order), Console(quiet=True))
        if not folder.exists():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial.parent, ignore_errors=True)
    return folder
