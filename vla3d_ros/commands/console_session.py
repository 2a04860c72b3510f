"""Bring a deployment up with its console, or open the console beside a graph that runs, and watch."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from vla3d_ros.commands.console_process import CONSOLE, ConsoleProcess
from vla3d_ros.commands.graph import running_graph
from vla3d_ros.commands.policy_choice import policy_overrides, require_policy_fits
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.page_access import CONSOLE_TOKEN, provide_token
from vla3d_ros.resources import config_dir
from vla3d_ros.ros.domain import check_nodes_absent
from vla3d_ros.ros.environment import prepare_environment
from vla3d_ros.ros.transport import check_transport

_WATCH_S, _DISCOVERY_S = 0.5, 1.5


def open_console(options: argparse.Namespace, console: Console) -> int:
    """Run until Ctrl-C; a console that dies is started anew, and the graph does not notice.

    Returns:
        0 after Ctrl-C, 1 if a process of the graph ended by itself.
    """
    log_dir = options.out or Path("runs") / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    provide_token(CONSOLE_TOKEN, options.host)
    recorder = {"recorder": {"output_dir": str(log_dir.resolve() / "bags")}}
    overrides = {**recorder, **policy_overrides(options.policy, config_dir())}
    deployment = load_deployment(options.deployment, config_dir(), overrides, is_live=options.live)
    page = {"page_host": options.host, "page_port": options.port, "has_view": not options.no_view}
    console.print(f"[bold]{deployment.name}[/]: {deployment.description}")
    graph = _running_elsewhere(deployment, console) if options.attach else _running_here(deployment, log_dir, console)
    with (
        graph as newly_dead,
        ConsoleProcess(deployment, page, log_dir, lambda line: console.print(f"[red]{line}[/]")) as own,
    ):
        console.print(f"page on [bold]{own.address}[/] · logs in {log_dir} · Ctrl-C ends it")
        console.print("STOP there is a software stop; keep the hardware button at hand")
        return _watch(newly_dead, console)


@contextlib.contextmanager
def _running_here(deployment: Deployment, log_dir: Path, console: Console) -> Iterator[Callable[[], Sequence[str]]]:
    """Bring the deployment up; yields what says which of its processes have ended since."""
    require_policy_fits(deployment)
    if deployment.parameters.get("adapter", {}).get("dry_run"):
        console.print("[yellow]dry run[/]: plans and verdicts are published, nothing moves; --live lets it move")
    with running_graph(deployment, log_dir, is_private=False) as supervisor:
        from vla3d_ros.ros.bring_up import bring_up  # needs rclpy, which the environment has to be prepared for

        bring_up(
            deployment.node_names,
            on_active=lambda node: console.print(f"  [green]active[/] {node}"),
            dead_processes=supervisor.dead_processes,
        )
        yield supervisor.newly_dead_processes


@contextlib.contextmanager
def _running_elsewhere(deployment: Deployment, console: Console) -> Iterator[Callable[[], Sequence[str]]]:
    """Join the domain of a graph that somebody else has brought up, or will."""
    prepare_environment()
    check_transport(os.environ, participants=2)
    from vla3d_ros.ros.graph import running_nodes  # needs rclpy, which the environment has to be prepared for

    domain_id = int(os.environ.get("ROS_DOMAIN_ID") or 0)
    running = running_nodes(_DISCOVERY_S)
    check_nodes_absent(running, [f"/{deployment.namespace}/{CONSOLE}"], domain_id)
    if missing := sorted(set(deployment.node_names) - set(running)):
        where = f"in ROS domain {domain_id}"
        console.print(f"[yellow]not heard yet[/] {where}: {', '.join(missing)}; the page shows them when they come")
    yield lambda: ()


def _watch(newly_dead: Callable[[], Sequence[str]], console: Console) -> int:
    has_died = False
    try:
        while True:
            for line in newly_dead():
                has_died = True
                console.print(f"[red]{line}[/]")
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        console.print("ending")
    return int(has_died)
