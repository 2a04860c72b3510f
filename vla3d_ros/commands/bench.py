"""`vla3d bench ...`: measurements, with what is counted beside the figures."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from vla3d_ros.ros.bench_views import ViewsMeasurement, as_json, measure_views
from vla3d_ros.ros.environment import prepare_environment

_WAYS = {
    "shipped": "two processes, shipped profile",
    "default": "two processes, ROS default",
    "one_process": "one process, arrays",
}


def bench_transport(options: argparse.Namespace, console: Console) -> int:
    """Run three 640x480 cameras at 30 Hz through the camera node into an observation window, in three ways.

    Returns:
        0 if the shipped profile lost nothing.
    """
    prepare_environment()
    measured: dict[str, ViewsMeasurement] = {}
    for way, words in _WAYS.items():
        with console.status(f"{words}: {options.seconds:g} s"):
            measured[way] = measure_views(way=way, duration_s=options.seconds)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in (
        "way",
        "sets",
        "observed",
        "overtaken",
        "lost",
        "skipped",
        "latency p50",
        "latency p99",
        "skew p50 / p99",
    ):
        table.add_column(heading)
    for way, seen in measured.items():
        skipped = "–" if seen.skipped_at_capture is None else str(seen.skipped_at_capture)
        counts = (*map(str, (seen.sets, seen.complete, seen.overtaken, seen.lost)), skipped)
        skew = f"{_ms(seen.skew_p50_ms)} / {_ms(seen.skew_p99_ms)}"
        table.add_row(_WAYS[way], *counts, _ms(seen.latency_p50_ms), _ms(seen.latency_p99_ms), skew)
    console.print(table)
    console.print(
        "counted: from an image's capture stamp until the observation of its set is whole, on this machine; recorded "
        "noise, 640x480 rgb8, best effort; waiting for joint states is not counted; skipped: images that a camera "
        "thread had no time for in the whole run"
    )
    if options.json:
        options.json.write_text(as_json(measured), encoding="utf-8")
    return int(measured["shipped"].lost > 0)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ms"
