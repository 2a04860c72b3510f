"""`vla3d up`: bring a deployment up and keep it up until Ctrl-C."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.commands.policy_choice import policy_overrides, require_policy_fits
from vla3d_ros.deployment import load_deployment
from vla3d_ros.resources import config_dir

_WATCH_S = 0.5


def up(name: str, log_dir: Path, console: Console, *, is_live: bool = False, policy: str | None = None) -> int:
    """Start the deployment's processes, drive its nodes to active in order, and watch.

    Returns:
        0 after Ctrl-C, 1 if a process ended by itself.
    """
    overrides = {"recorder": {"output_dir": str(log_dir.resolve() / "bags")}, **policy_overrides(policy, config_dir())}
    deployment = load_deployment(name, config_dir(), overrides, is_live=is_live)
    require_policy_fits(deployment)
    console.print(f"[bold]{deployment.name}[/]: {deployment.description}")
    if deployment.parameters.get("adapter", {}).get("dry_run"):
        console.print("[yellow]dry run[/]: plans and verdicts are published, nothing moves; --live lets it move")
    with running_graph(deployment, log_dir, is_private=False) as supervisor:
        from vla3d_ros.ros.bring_up import bring_up  # needs rclpy, which the environment has to be prepared for

        bring_up(
            deployment.node_names,
            on_active=lambda node: console.print(f"  [green]active[/] {node}"),
            dead_processes=supervisor.dead_processes,
        )
        console.print(f"up · logs in {log_dir} · Ctrl-C ends it")
        has_died = False
        try:
            while True:
                for line in supervisor.newly_dead_processes():
                    has_died = True
                    console.print(f"[red]{line}[/]")
                time.sleep(_WATCH_S)
        except KeyboardInterrupt:
            console.print("ending")
    return int(has_died)
