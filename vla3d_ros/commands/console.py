"""`vla3d console`: bring a deployment up with the operator's page, or open the page beside a graph that runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `console` to the command line."""
    console = verbs.add_parser(
        "console", help="the operator's page: 3D view, cameras, arm and STOP, trials, diagnostics"
    )
    console.add_argument("deployment", help="name in config/deployments, or the path of a YAML file")
    console.add_argument("--attach", action="store_true", help="the deployment is running already: only open the page")
    console.add_argument("--port", type=int, default=8080, help="of the page; 0: a free one; default: %(default)s")
    console.add_argument("--host", default="127.0.0.1", help="address of the page; others than loopback get a token")
    console.add_argument("--no-view", action="store_true", help="without the 3D view, for small machines")
    console.add_argument(
        "--policy", default=None, metavar="NAME", help="in config/policies; scripted: the deployment's"
    )
    console.add_argument("--out", type=Path, default=None, help="folder for logs and bags; default: runs/<time>")
    console.add_argument(
        "--live", action="store_true", help="let a robot of metal move; without it, plans are only shown"
    )
    console.add_argument(
        "--viewers",
        type=Path,
        default=None,
        metavar="DIR",
        help="only write layouts for Foxglove and RViz there, and end",
    )
    console.set_defaults(run=_console)


def _console(options: argparse.Namespace, console: Console) -> int:
    if options.viewers is not None:
        from vla3d_ros.commands.console_viewers import write_viewers

        return write_viewers(options.deployment, options.viewers, console)
    from vla3d_ros.commands.console_session import open_console

    return open_console(options, console)
