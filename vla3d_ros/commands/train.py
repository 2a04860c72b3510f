"""`vla3d train RECIPE`: the command line; the work is in `train_run`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the command line."""
    train = verbs.add_parser("train", help="train a policy from demonstrations and write it as a package")
    train.add_argument("recipe", help="name in config/training, or the path of a YAML file")
    train.add_argument("--resume", type=Path, default=None, metavar="RUN", help="folder of a run that was interrupted")
    train.add_argument("--data", type=Path, default=None, metavar="DIR", help="demonstrations, instead of the recipe's")
    train.add_argument("--variant", default=None, help="trunk, instances, completion or routing; default: the recipe's")
    train.add_argument("--out", type=Path, default=None, metavar="RUN", help="folder of the run; default: runs/<time>")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace, console: Console) -> int:
    from vla3d_ros.commands.train_run import train

    return train(options, console)
