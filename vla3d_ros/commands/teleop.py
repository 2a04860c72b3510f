"""`vla3d teleop`: the command line; the work is in `teleop_session`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `teleop` to the command line."""
    teleop = verbs.add_parser(
        "teleop", help="drive a deployment by hand, with teleoperation at the place of its policy"
    )
    teleop.add_argument("deployment", help="name in config/deployments, or the path of a YAML file")
    teleop.add_argument(
        "--device", default="browser", help="name in config/teleop, or the path of a YAML file; default: %(default)s"
    )
    teleop.add_argument("--host", default="", help="address of the browser's page; other than loopback makes a token")
    teleop.add_argument("--port", type=int, default=-1, help="port of the browser's page; 0: a free one")
    teleop.add_argument("--out", type=Path, default=None, help="folder for logs and bags; default: runs/<time>")
    teleop.add_argument(
        "--live", action="store_true", help="let a robot of metal move; without it, plans are only shown"
    )
    teleop.set_defaults(run=_teleop)


def _teleop(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.teleop_session import teleop

    return teleop(options, console)
