"""`vla3d bench ...`: measurements, with what is counted beside the figures."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from vla3d_ros.ros.bench_transport import TransportMeasurement, measure
from vla3d_ros.ros.environment import prepare_environment

_CAMERAS = 3
_RATE_HZ = 30.0


def bench_transport(options: argparse.Namespace, console: Console) -> int:
    """Send three 640x480 RGB streams at 30 Hz between two processes, with the shipped profile and with the default."""
    prepare_environment()
    measured: dict[str, TransportMeasurement] = {}
    for name, use_builtin in (("shipped profile", False), ("Fast DDS default", True)):
        with console.status(f"{name}: {options.seconds:g} s"):
            measured[name] = measure(
                cameras=_CAMERAS, rate_hz=_RATE_HZ, duration_s=options.seconds, use_builtin=use_builtin
            )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("transport", "sent", "received", "latency p50", "latency p99"):
        table.add_column(heading)
    for name, seen in measured.items():
        table.add_row(name, str(seen.sent), str(seen.received), _ms(seen.latency_p50_ms), _ms(seen.latency_p99_ms))
    console.print(table)
    console.print("counted: from publish call to callback, two processes on this machine, 640x480 rgb8, best effort")
    if options.json:
        results = {name: asdict(seen) for name, seen in measured.items()}
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ms"
