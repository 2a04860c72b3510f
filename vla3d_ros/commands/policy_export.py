"""`vla3d policy export`: a named network, untrained, as a package."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.engine import EngineSettings, GraphFiles, open_engine
from vla3d_ros.policy.golden_scenes import drawn_cases
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.presets import preset
from vla3d_ros.policy.package import write_package
from vla3d_ros.policy.package_files import CONTEXT, STEP, WEIGHTS
from vla3d_ros.policy.packaging import (
    PackageAbout,
    manifest_for,
    model_card,
    placeholder_actions,
    placeholder_embodiment,
)
from vla3d_ros.resources import config_dir


def export_policy(options: argparse.Namespace, console: Console) -> int:
    """Build, export, draw golden cases, write the package, and check it.

    Raises:
        ConfigError: If the preset or a robot is unknown, or the folder is taken.
    """
    folder: Path = options.out
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} exists already and is not empty; remove it, or choose another --out")
    config = preset(options.preset)
    robots = robots_that_fit(config, options.robots)
    config = replace(config, embodiments=tuple(robot.name for robot in robots))
    if options.views:
        wrists = tuple(view for view in options.views if "wrist" in view)
        config = replace(config, views=options.views, wrist_views=wrists)
    folder.mkdir(parents=True, exist_ok=True)
    with console.status(f"exporting {options.preset}"):
        size = write_untrained(folder, config, robots, preset_name=options.preset, options=options)
    console.print(f"wrote {folder}: {size / 1e6:.1f} MB, untrained; it passes 'vla3d policy check {folder}'")
    return 0


def write_untrained(
    folder: Path, config: PolicyConfig, robots: list[Embodiment], *, preset_name: str, options: argparse.Namespace
) -> int:
    """Export a network from a seed, complete the package, and return its size in bytes."""
    from vla3d_ros.policy.export import export_package_graphs
    from vla3d_ros.policy.nets.building import build_untrained_net
    from vla3d_ros.policy.nets.parameters import parameter_table

    net = build_untrained_net(config, options.seed)
    export_package_graphs(net, folder)
    if options.weights:
        from vla3d_ros.policy.nets.weights import save_weights

        save_weights(net, folder / WEIGHTS)
    homes = [[arm.q_home.tolist() for arm in robot.arms] for robot in robots]
    embodiments = [
        placeholder_embodiment(config, robot.name, index, home)
        for index, (robot, home) in enumerate(zip(robots, homes, strict=True))
    ]
    provenance = {"preset": preset_name, "weights": f"random, seed {options.seed}; not trained"}
    about = PackageAbout(name=folder.resolve().name, is_trained=False, provenance=provenance)
    manifest = manifest_for(config, about, embodiments, placeholder_actions(config))
    graphs = GraphFiles(context=folder / CONTEXT, step=folder / STEP, sha256="")
    engine = open_engine(graphs, EngineSettings())
    try:
        cases = drawn_cases(manifest, engine, options.seed)
    finally:
        engine.close()
    package = write_package(folder, manifest, cases, model_card(manifest, parameter_table(net)))
    return sum(entry.size for entry in package.manifest.files)


def robots_that_fit(config: PolicyConfig, names: tuple[str, ...] | None) -> list[Embodiment]:
    """Return the robots a package is for: those named, or all that have few enough arms and joints.

    Raises:
        ConfigError: If a named robot does not exist or does not fit.
    """
    folder = config_dir() / "robots"
    robots = [
        load_embodiment(folder / f"{name}.yaml") for name in names or sorted(p.stem for p in folder.glob("*.yaml"))
    ]
    fitting = [
        robot
        for robot in robots
        if len(robot.arms) <= len(config.arms) and all(len(arm.joint_names) <= config.max_joints for arm in robot.arms)
    ]
    left_out = [robot.name for robot in robots if robot not in fitting]
    if not fitting or (names and left_out):
        raise ConfigError(
            f"robots {left_out} do not fit a network with {len(config.arms)} arms of at most {config.max_joints} joints"
        )
    return fitting
