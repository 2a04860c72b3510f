"""`vla3d bench adapter`: how fast and how surely poses become joints, beside other solvers on the same targets."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vla3d_ros.evaluation.ik_bench import PoseFigures


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench adapter`."""
    adapter = what.add_parser("adapter", help="inverse kinematics: time and success, beside other solvers")
    adapter.add_argument("--robot", default=None, help="name in config/robots; default: that of the demo")
    adapter.add_argument("--chunks", type=int, default=2000, help="default: %(default)s")
    adapter.add_argument("--targets", type=int, default=500, help="for the comparison; default: %(default)s")
    adapter.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    adapter.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    adapter.set_defaults(run=bench_adapter)


def bench_adapter(options: argparse.Namespace, console: Console) -> int:
    """Measure on the first arm of a robot, and say what was counted."""
    import numpy as np

    from vla3d_ros.adapter.embodiment import load_embodiment
    from vla3d_ros.evaluation.ik_bench import measure_chunks, measure_poses
    from vla3d_ros.resources import config_dir

    name = options.robot or _demo_robot(config_dir())
    robot = load_embodiment(config_dir() / "robots" / f"{name}.yaml")
    arm = robot.arms[0]
    with console.status(f"{options.chunks} chunks"):
        chunks = measure_chunks(
            robot.urdf_path, arm, count=options.chunks, generator=np.random.default_rng(options.seed)
        )
    with console.status("single poses") as status:
        poses = measure_poses(
            robot.urdf_path,
            arm,
            count=options.targets,
            generator=np.random.default_rng(options.seed),
            on_start=lambda name: status.update(f"single poses: {name}"),
        )
    console.print(
        f"{robot.name}: chunks of 30 poses: {chunks.solved} of {chunks.chunks} within 0.1 mm and 0.05° everywhere, "
        f"{chunks.limit_violations} joint limit violations; processor {chunks.cpu_median_ms:.2f} ms median, "
        f"{chunks.cpu_p99_ms:.2f} ms p99; wall {chunks.median_ms:.2f} ms median, {chunks.p99_ms:.2f} ms p99"
    )
    console.print(_table(poses))
    console.print(
        "solved: within 0.1 mm, 0.05° and the limits, judged by one forward kinematics. near: seed 0.05 rad (1 sigma) "
        "from a solution; far: seed is the home configuration. Processor time of one thread."
    )
    if options.json:
        results = {
            "robot": robot.name,
            "chunks": asdict(chunks),
            "poses": [{key: _finite(value) for key, value in asdict(row).items()} for row in poses],
        }
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def _demo_robot(config: Path) -> str:
    from vla3d_ros.deployment import load_deployment
    from vla3d_ros.evaluation.protocol import load_protocol

    return load_deployment(load_protocol("demo", config).deployment, config).embodiment.name


def _table(rows: list[PoseFigures]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("solver", "near: solved", "median", "p99", "far: solved", "median", "p99"):
        table.add_column(heading)
    for row in rows:
        if row.problem:
            table.add_row(row.solver, row.problem)
            continue
        share = [f"{100.0 * solved / row.targets:.1f} %" for solved in (row.near_solved, row.far_solved)]
        near = [f"{value:.0f} µs" for value in (row.near_median_us, row.near_p99_us)]
        far = [f"{value:.0f} µs" for value in (row.far_median_us, row.far_p99_us)]
        table.add_row(row.solver, share[0], *near, share[1], *far)
    return table


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
