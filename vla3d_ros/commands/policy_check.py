"""`vla3d policy check`: packages are what they claim, and this machine computes what their authors saw."""

from __future__ import annotations

import argparse
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.commands.policy_packages import chosen_folders, engine_settings
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError, Vla3dError, join_problems
from vla3d_ros.policy.engine import Engine, open_engine
from vla3d_ros.policy.learned_settings import LearnedSettings, fit_problems, read_learned_settings
from vla3d_ros.policy.loading import existing_settings, read_settings
from vla3d_ros.policy.manifest import CUSTOM_ROUTE, Manifest
from vla3d_ros.policy.package import PolicyPackage, find_package, load_package
from vla3d_ros.policy.parity import CaseDifference, require_parity
from vla3d_ros.resources import config_dir, share_dir


def check_policies(options: argparse.Namespace, console: Console) -> int:
    """Check every package and print a line for each; what is wrong with one does not hide the others.

    Returns:
        0 if all are right, else 1.
    """
    if options.settings or options.deployment:
        check_fit(options.settings, options.deployment)
        console.print(f"[green]✓[/] settings '{options.settings}' fit deployment '{options.deployment}'")
        if not options.packages:
            return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("package", "compared with golden", "position", "rotation", "gripper", "instances"):
        table.add_column(heading)
    results: dict[str, Any] = {}
    failures = []
    for folder in chosen_folders(options.packages):
        try:
            results[folder.name] = _check(load_package(folder), options, table)
        except Vla3dError as error:
            failures.append(f"{type(error).__name__}: {error}")
            results[folder.name] = {"error": str(error)}
    if table.row_count:
        console.print(table)
    for failure in failures:
        console.print(f"[red]✗ {escape(failure)}[/]", soft_wrap=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    passed = len(results) - len(failures)
    console.print(f"{passed} of {len(results)} packages passed")
    return 1 if failures else 0


def _check(package: PolicyPackage, options: argparse.Namespace, table: Table) -> dict[str, Any]:
    """Compare every engine at hand with the golden cases; return the worst differences by engine."""
    engines = [open_engine(package.graphs, engine_settings(options))]
    if reference := torch_engine(package):
        engines.append(reference)
    found = {}
    try:
        for engine in engines:
            differences = require_parity(package, engine)
            found[engine.name] = [asdict(difference) for difference in differences]
            table.add_row(f"[green]✓[/] {package.manifest.name}", engine.name, *_worst(differences))
    finally:
        for engine in engines:
            engine.close()
    return {"engines": found}


def _worst(differences: tuple[CaseDifference, ...]) -> tuple[str, str, str, str]:
    arms = [arm for difference in differences for arm in difference.arms]
    return (
        f"{max(arm.position_mm for arm in arms):.2g} mm",
        f"{max(arm.rotation_deg for arm in arms):.2g}°",
        f"{max(arm.gripper for arm in arms):.2g}",
        f"{min(difference.instances for difference in differences):.0%}",
    )


def torch_engine(package: PolicyPackage) -> Engine | None:
    """Return the package's network in torch, None without weights or without torch."""
    needed = ("torch", "safetensors")
    is_own = package.manifest.route != CUSTOM_ROUTE
    if not is_own or package.weights is None or any(importlib.util.find_spec(name) is None for name in needed):
        return None
    from vla3d_ros.policy.nets.config import PolicyConfig
    from vla3d_ros.policy.nets.torch_engine import TorchEngine
    from vla3d_ros.policy.nets.weights import load_net

    config = PolicyConfig.from_mapping(package.manifest.config)
    engine: Engine = TorchEngine(load_net(config, package.weights))
    return engine


def check_fit(settings_name: str | None, deployment_name: str | None) -> None:
    """Make sure that the package of a settings file fits a deployment's rig and robot.

    Raises:
        ConfigError: Lists everything that does not fit.
    """
    if not settings_name or not deployment_name:
        raise ConfigError("--settings and --deployment belong together: which policy, for which rig and robot?")
    path = config_dir() / "policies" / f"{settings_name}.yaml"
    settings = read_learned_settings(read_settings(existing_settings(path)))
    require_fit(settings, load_deployment(deployment_name, config_dir()))


def require_fit(settings: LearnedSettings, deployment: Deployment) -> Manifest:
    """Make sure that a package fits a deployment's rig and robot, and return its manifest.

    Raises:
        ConfigError: Lists everything that does not fit.
    """
    package = load_package(find_package(settings.package, share_dir() / "models"))
    cameras = [spec.name for spec in load_rig(deployment.rig_file).cameras]
    arms = {arm.name: len(arm.joint_names) for arm in deployment.embodiment.arms}
    problems = fit_problems(settings, package.manifest, cameras, arms)
    if unmoved := sorted(set(arms) - set(settings.arms.values())):
        problems.append(f"'arms' leaves out {unmoved}; the policy has to move every arm of the robot")
    if problems:
        subject = f"policy package '{package.manifest.name}' on deployment '{deployment.name}'"
        raise ConfigError(join_problems(subject, problems))
    return package.manifest


def settings_of(path: Path) -> LearnedSettings:
    """Read a learned policy's settings file."""
    return read_learned_settings(read_settings(existing_settings(path)))
