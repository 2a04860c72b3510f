"""`vla3d bag inspect`: one screen about the quality of a recording, and a page with pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.recording.inspection import Inspection, inspect, robot_of
from vla3d_ros.recording.inspection_page import write_page
from vla3d_ros.recording.session_file import read_session
from vla3d_ros.resources import config_dir

_NS_PER_S = 1e9
_MOST_FINDINGS = 25


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `inspect` to the verbs of `vla3d bag`."""
    verb = what.add_parser("inspect", help="rates, gaps, skew, stale rows, frozen views, limits: is it worth keeping?")
    verb.add_argument("bag", type=Path, help="a bag folder or a storage file, of any recorder")
    verb.add_argument("--robot", default=None, help="name in config/robots; default: what the session file says")
    verb.add_argument("--strict", action="store_true", help="exit code 1 if there is any problem")
    verb.add_argument("--html", type=Path, default=None, metavar="FILE", help="write a page with pictures, too")
    verb.set_defaults(run=inspect_bag)


def inspect_bag(options: argparse.Namespace, console: Console) -> int:
    """Inspect a bag and show what was found.

    Returns:
        1 with `--strict` if there is a problem, else 0.
    """
    seen = inspect(options.bag, _robot(options.bag, options.robot))
    console.print(_headline(seen))
    console.print(_topics(seen))
    if seen.views:
        console.print(_views(seen))
    for survey in seen.joints:
        idle = "idle time not known" if survey.idle_share is None else f"idle {survey.idle_share:.0%} of the time"
        used = [f"{j.name} {_use(j.q_min, j.q_max, j.lower, j.upper)}" for j in survey.joints]
        console.print(escape(f"{survey.topic}: {idle}; range used: {', '.join(used)}"), soft_wrap=True)
    if said := seen.control.sentence():
        console.print(escape(said), soft_wrap=True)
    _print_findings(seen, console)
    if options.html:
        write_page(seen, options.html)
        console.print(f"page: {options.html}")
    return int(options.strict and not seen.is_clean)


def _robot(bag: Path, name: str | None) -> Embodiment | None:
    if name:
        return load_embodiment(config_dir() / "robots" / f"{name}.yaml")
    path = robot_of(read_session(bag)) if bag.is_dir() else None
    return load_embodiment(Path(path)) if path and Path(path).is_file() else None


def _headline(seen: Inspection) -> str:
    count = sum(topic.count for topic in seen.topics)
    verdict = "[green]clean[/]" if seen.is_clean else "[red]problems[/]"
    parts = [
        f"[bold]{escape(seen.path.name)}[/]  {verdict}",
        f"{seen.duration_ns / _NS_PER_S:.1f} s · {count} messages on {len(seen.topics)} topics",
    ]
    if len(seen.skews_ms):
        p50, p95, most = np.percentile(seen.skews_ms, [50, 95, 100])
        parts.append(f"skew {p50:.1f} ms, 95 % {p95:.1f} ms, worst {most:.1f} ms")
    if seen.stale_share is not None:
        parts.append(f"stale rows {seen.stale_share:.1%}")
    if seen.session is not None:
        parts.append(escape(f"{seen.session.outcome} · {seen.session.instruction or 'no instruction'}"))
    return " · ".join(parts)


def _topics(seen: Inspection) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("topic", "type"):
        table.add_column(heading)
    for heading in ("messages", "rate", "jitter", "gaps", "longest", "bad stamps"):
        table.add_column(heading, justify="right")
    for topic in seen.topics:
        bad = topic.zero_stamps + topic.repeated_stamps + topic.backward_stamps
        table.add_row(
            escape(topic.topic),
            escape(topic.msgtype.replace("/msg/", "/")),
            str(topic.count),
            "–" if topic.rate_hz is None else f"{topic.rate_hz:.1f} Hz",
            "–" if topic.jitter_ms is None else f"{topic.jitter_ms:.1f} ms",
            str(len(topic.gaps)) if topic.is_periodic else "–",
            f"{topic.longest_gap_s:.2f} s" if topic.gaps else "–",
            str(bad) if len(topic.headers_ns) else "–",
        )
    return table


def _views(seen: Inspection) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("camera", "size", "mean level", "white", "sharpness", "longest standstill"):
        table.add_column(heading, justify="left" if heading == "camera" else "right")
    for view in seen.views:
        looks = view.looks
        table.add_row(
            escape(view.camera),
            f"{view.width_px}x{view.height_px}",
            f"{np.mean([look.brightness for look in looks]):.0f}",
            f"{np.mean([look.white_share for look in looks]):.0%}",
            f"{np.median([look.sharpness for look in looks]):.0f}",
            f"{view.frozen_s:.1f} s",
        )
    return table


def _use(q_min: float, q_max: float, lower: float | None, upper: float | None) -> str:
    if lower is None or upper is None:
        return f"{q_min:+.2f}..{q_max:+.2f}"
    return f"{(q_min - lower) / (upper - lower):.0%}..{(q_max - lower) / (upper - lower):.0%}"


def _print_findings(seen: Inspection, console: Console) -> None:
    for finding in seen.findings[:_MOST_FINDINGS]:
        colour, word = ("red", "problem") if finding.is_problem else ("yellow", "note   ")
        console.print(f"[{colour}]{word}[/] {escape(finding.subject)}: {escape(finding.sentence)}", soft_wrap=True)
    if (more := len(seen.findings) - _MOST_FINDINGS) > 0:
        console.print(f"and {more} more; --html shows all")
