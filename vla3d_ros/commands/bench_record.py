"""`vla3d bench record`: is everything in the bag that was published, and what does that cost?"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `record` to the verbs of `vla3d bench`."""
    verb = what.add_parser(
        "record", help="three cameras, depth and joint states through the recorder, and a plain loop"
    )
    verb.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    verb.add_argument("--jpeg", type=int, default=0, metavar="Q", help="JPEG quality of colour images; default: raw")
    verb.add_argument("--folder", type=Path, default=None, help="whose disk is measured; default: the temporary folder")
    verb.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    verb.set_defaults(run=bench_record)


def bench_record(options: argparse.Namespace, console: Console) -> int:
    """Measure and print.

    Returns:
        0 if every message published is in the bag.
    """
    from vla3d_ros.ros.bench_record import measure_recording

    with console.status(f"recording for {options.seconds:g} s"):
        seen = measure_recording(seconds=options.seconds, jpeg_quality=options.jpeg, folder=options.folder)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("topic")
    for heading in ("published", "in the bag", "lost"):
        table.add_column(heading, justify="right")
    for topic, published in seen.published.items():
        table.add_row(topic, str(published), str(seen.recorded[topic]), str(published - seen.recorded[topic]))
    console.print(table)
    console.print(
        f"lost {seen.lost} of {sum(seen.published.values())} (the recorder announced {seen.dropped_by_writer}) · "
        f"{seen.payload_mb_s:g} MB/s in, {seen.disk_mb_s:g} MB/s on disk · recorder {seen.recorder_cpu:.0%} of a core"
    )
    console.print(
        f"baseline, a plain loop with rosbags writing the same bytes: {seen.plain_cpu:.0%} of a core at this rate, "
        f"{seen.plain_mb_s:g} MB/s at most · publishing cost {seen.publisher_cpu:.0%} of a core · longest wait for the "
        f"disk {seen.longest_sync_s:.3f} s · last message published {seen.publisher_late_s:.3f} s late"
    )
    if options.json:
        options.json.write_text(json.dumps(asdict(seen), indent=2) + "\n", encoding="utf-8")
    return int(seen.lost > 0)
