"""`vla3d demonstrations`: make demonstrations in the twin, and look at what was made."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    verb = verbs.add_parser("demonstrations", help="make training data in the twin, with the truth about every picture")
    actions = verb.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="make episodes, or continue a folder that was left off")
    make.add_argument("settings", help="name in config/training, or the path of a YAML file")
    make.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where they go")
    make.add_argument("--episodes", type=int, default=None, help="instead of the settings' number")
    make.add_argument("--processes", type=int, default=1, help="default: %(default)s; the bytes do not depend on it")
    make.set_defaults(run=_make)
    bags = actions.add_parser("import", help="turn recordings of the live graph into samples, without truth")
    bags.add_argument("settings", help="name in config/training, or the path of a YAML file: pictures and rate")
    bags.add_argument("bags", nargs="+", type=Path, metavar="BAG")
    bags.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    bags.set_defaults(run=_import)
    info = actions.add_parser("info", help="what is in a folder of demonstrations")
    info.add_argument("folder", type=Path)
    info.add_argument("--check", action="store_true", help="compare every file with the manifest")
    info.add_argument("--sheet", type=Path, default=None, metavar="FILE", help="draw samples with their truth as PNG")
    info.set_defaults(run=_info)


def _make(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.demonstrate_actions import make

    return make(options, console)


def _import(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.demonstrate_import import import_bags

    return import_bags(options, console)


def _info(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.demonstrate_actions import info

    return info(options, console)
