"""Bring a deployment up with a person at the place of its policy."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.deployment import Deployment, ProcessSpec, load_deployment, teleop_parameters
from vla3d_ros.errors import ConfigError
from vla3d_ros.page_access import TELEOP_TOKEN, provide_token, with_token
from vla3d_ros.resources import config_dir
from vla3d_ros.supervisor import Supervisor
from vla3d_ros.teleop.settings import list_teleop_configs, load_teleop_settings

_WATCH_S = 0.5


def with_teleop(deployment: Deployment, teleop_file: Path, page: Mapping[str, Any]) -> Deployment:
    """Return a deployment in which `teleop` runs where `policy` did.

    Args:
        deployment: With a policy, or with `teleop` already.
        teleop_file: A file of config/teleop.
        page: Where to serve the page, if not where the file says: parameters `page_host`, `page_port`.

    Raises:
        ConfigError: If the deployment has neither.
    """
    given = dict(deployment.parameters)
    if "policy" not in given and "teleop" not in given:
        raise ConfigError(f"deployment '{deployment.name}' has no policy to take the place of; nodes: {sorted(given)}")
    given.pop("policy", None)
    known = teleop_parameters(deployment.embodiment, str(deployment.robot_file.resolve()), given.get("adapter", {}))
    given["teleop"] = {**known, **page, "teleop_file": str(teleop_file.resolve())}
    if "recorder" in given and "session_yaml" in given["recorder"]:
        session = yaml.safe_load(given["recorder"]["session_yaml"])
        others = {node: values for node, values in given.items() if node != "recorder"}
        text = yaml.safe_dump(
            {**session, "nodes": {**others, "recorder": session["nodes"].get("recorder", {})}}, sort_keys=False
        )
        given["recorder"] = {**given["recorder"], "session_yaml": text}
    processes = tuple(
        ProcessSpec(
            name="teleop" if "policy" in spec.nodes else spec.name,
            nodes=tuple("teleop" if node == "policy" else node for node in spec.nodes),
        )
        for spec in deployment.processes
    )
    return replace(deployment, processes=processes, parameters=given)


def teleop_file_of(name: str) -> Path:
    """Return the file of a device by its name in config/teleop, or by its path.

    Raises:
        ConfigError: If there is none; lists what there is.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "teleop" / f"{name}.yaml"
    if not path.is_file():
        known = list_teleop_configs(config_dir())
        raise ConfigError(f"unknown device '{name}': expected one of {known} or the path of a YAML file")
    return path


def teleop(options: argparse.Namespace, console: Console) -> int:
    """Bring the deployment up and let somebody drive it.

    Returns:
        0 when it was ended, 1 if a process ended by itself.
    """
    path = teleop_file_of(options.device)
    settings = load_teleop_settings(path)
    device = settings.device
    log_dir = options.out or Path("runs") / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    overrides = {"recorder": {"output_dir": str(log_dir.resolve() / "bags")}}
    deployment = load_deployment(options.deployment, config_dir(), overrides, is_live=options.live)
    page = {"page_host": options.host, "page_port": options.port} if device == "browser" else {}
    deployment = with_teleop(deployment, path, page)
    host = options.host or str(settings.options.get("host", ""))
    token = provide_token(TELEOP_TOKEN, host) if device == "browser" else ""
    console.print(f"[bold]{deployment.name}[/] by {device}: {deployment.description}")
    if deployment.parameters.get("adapter", {}).get("dry_run"):
        console.print("[yellow]dry run[/]: plans and verdicts are published, nothing moves; --live lets it move")
    with running_graph(deployment, log_dir, is_private=False) as supervisor:
        return _drive(deployment, device, token, supervisor, console)


def _drive(deployment: Deployment, device: str, token: str, supervisor: Supervisor, console: Console) -> int:
    from vla3d_ros.commands.teleop_terminal import Terminal  # needs rclpy, which the environment had to be prepared for
    from vla3d_ros.ros.bring_up import BringUp
    from vla3d_ros.ros.operator_console import OperatorConsole

    operator = OperatorConsole(deployment.namespace)
    try:
        walker = BringUp(operator.node)
        try:
            walker.activate(
                deployment.node_names,
                timeout_s=30.0,
                on_active=lambda node: console.print(f"  [green]active[/] {node}"),
                dead_processes=supervisor.dead_processes,
            )
        finally:
            walker.close()
        operator.start()
        if device == "browser":
            console.print(f"page on [bold]{with_token(operator.wait_for_page(), token)}[/]")
        terminal = Terminal(operator, supervisor, console, moves=device == "keyboard")
        if sys.stdin.isatty():
            return terminal.run()
        console.print("no terminal to read keys from: watching only; Ctrl-C ends it")
        while not (dead := supervisor.newly_dead_processes()):
            time.sleep(_WATCH_S)
        console.print(f"[red]{'; '.join(dead)}[/]")
        return 1
    finally:
        operator.close()
