"""`vla3d check`: the command line; the work is in `check_rig`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the command line."""
    check = verbs.add_parser("check", help="look before anything moves")
    what = check.add_subparsers(required=True, metavar="WHAT")
    rig = what.add_parser("rig", help="cameras alive, intrinsics right, and the robot where the rig file sees it")
    rig.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
    rig.add_argument("--report", type=Path, default=None, metavar="DIR", help="write a picture per camera, and JSON")
    rig.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the findings as JSON")
    rig.add_argument("--seconds", type=float, default=3.0, help="of listening to a running graph; default: %(default)s")
    rig.add_argument("--limit-px", type=float, default=None, help="allowed error of the outline; default: 1.5")
    rig.add_argument("--age-days", type=int, default=None, help="allowed age of a calibration; default: 90")
    rig.add_argument("--poses", type=int, default=6, help="arm poses in a twin of its own; default: %(default)s")
    rig.add_argument("--seed", type=int, default=0, help="of the twin's scene; default: %(default)s")
    rig.add_argument(
        "--nudge",
        metavar="CAMERA:AXIS=VALUE,...",
        help="move a camera of a twin of its own to see what is found, e.g. head:x=10,rz=1 (mm, degrees)",
    )
    rig.add_argument("--watch", action="store_true", help="of a running graph: check again and again until Ctrl-C")
    rig.set_defaults(run=_rig)


def _rig(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.check_rig import check_rig

    return check_rig(options, console)
