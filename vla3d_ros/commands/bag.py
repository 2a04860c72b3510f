"""`vla3d bag ...`: look at recordings, ours or not, and repair what a crash left behind."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla3d_ros.commands import bag_inspect
from vla3d_ros.commands.bag_compose import add_compose
from vla3d_ros.recording.bag_info import bag_info
from vla3d_ros.recording.recovery import Recovery, recover

_NS_PER_S = 1e9


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bag`."""
    bag = verbs.add_parser("bag", help="look at recordings, and repair what a crash left behind")
    what = bag.add_subparsers(required=True, metavar="WHAT")
    info = what.add_parser("info", help="what `ros2 bag info` says")
    info.add_argument("bag", type=Path)
    info.set_defaults(run=_info)
    bag_inspect.add_parser(what)
    mend = what.add_parser("recover", help="make a bag of a killed recording, or of one without metadata")
    mend.add_argument("path", type=Path, help="a .partial folder, a bag folder, or a storage file; is not changed")
    mend.add_argument("--out", type=Path, default=None, help="the new bag; default: beside it")
    mend.set_defaults(run=_recover)
    add_compose(what)


def _info(options: argparse.Namespace, console: Console) -> int:
    console.print(escape(bag_info(options.bag)), soft_wrap=True)
    return 0


def _recover(options: argparse.Namespace, console: Console) -> int:
    found = recover(options.path, options.out)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("topic", "saved", "ends before the bag's end", "lost"):
        table.add_column(heading, justify="left" if heading == "topic" else "right")
    for topic in found.topics:
        early_s = (found.end_ns - topic.end_ns) / _NS_PER_S
        ends = f"{early_s:.3f} s" if topic.messages else "–"
        lost = "not known" if topic.lost is None else str(topic.lost)
        table.add_row(escape(topic.name), str(topic.messages), ends, lost)
    console.print(table)
    console.print(escape(_account(found)), soft_wrap=True)
    return 0


def _account(found: Recovery) -> str:
    seconds = (found.end_ns - found.start_ns) / _NS_PER_S
    lines = [f"{found.path}: {found.messages} messages saved, {seconds:.3f} s; {found.source} is unchanged"]
    if found.missing_s is None:
        lines.append("the recorder kept no count: what it lost after the last saved message is not known")
    else:
        lost = sum(topic.lost or 0 for topic in found.topics)
        lines.append(
            f"of what the recorder had taken at its last note, {lost} messages and the last {found.missing_s:.3f} s "
            "are lost; it notes twice a second, so up to half a second more may be"
        )
    lines += [f"damage: {sentence}" for sentence in found.damage]
    return "\n".join(lines)
