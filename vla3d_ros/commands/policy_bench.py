"""`vla3d policy bench`: how fast a package is here, and what is counted."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from vla3d_ros.commands.policy_check import torch_engine
from vla3d_ros.commands.policy_packages import chosen_folders, engine_settings
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.policy_bench import WANTED_HZ, EngineTimes, bench_engines
from vla3d_ros.policy.engine import Engine, open_engine
from vla3d_ros.policy.manifest import CUSTOM_ROUTE, Manifest
from vla3d_ros.policy.package import PolicyPackage, load_package
from vla3d_ros.policy.parity import require_parity

_AROUND = ("preprocess", "decode")  # the same code whatever the engine
_COUNTED = (
    "counted: preprocess (3 pictures of 640 x 480 px to the policy's size, state, words), context (once), flow (all "
    "steps of the action expert), decode (poses and openings). Not counted: cameras, ROS, the adapter."
)


def bench_policy(options: argparse.Namespace, console: Console) -> int:
    """Measure, print a table, and write JSON.

    Returns:
        0; meeting 30 Hz is for the reader to judge.
    """
    if options.runs < 1 or (options.flow_steps is not None and options.flow_steps < 1):
        raise ConfigError(f"--runs {options.runs} and --flow-steps {options.flow_steps}; expected at least 1 of each")
    package = load_package(chosen_folders([options.package])[0])
    flow_steps = options.flow_steps or package.manifest.flow_steps
    engines: list[Engine] = [open_engine(package.graphs, engine_settings(options))]
    try:
        require_parity(package, engines[0])
        if not options.no_torch and (eager := _eager(package, options.threads)) is not None:
            engines.append(eager)
        with console.status(f"{options.runs} runs on {', '.join(engine.name for engine in engines)}"):
            times = bench_engines(package.manifest, engines, runs=options.runs, flow_steps=flow_steps)
    finally:
        for engine in engines:
            engine.close()
    console.print(f"[bold]{package.manifest.name}[/] · {flow_steps} flow steps · {options.runs} runs of each, in turn")
    console.print(_table(times))
    for entry in times:
        at_p50, at_p99 = entry.hz
        console.print(f"{entry.engine}: {at_p50:.0f} Hz at p50, {at_p99:.0f} Hz at p99; wanted: {WANTED_HZ:g} Hz")
    if len(times) > 1:
        whole, network = _ratio(times, "end to end"), _ratio(times, "network")
        console.print(
            f"{times[0].engine} is {whole:.2f} times as fast as {times[1].engine} end to end, {network:.2f} times in "
            "the network itself (context and flow), p50"
        )
    console.print(_counted(package.manifest))
    if options.json:
        report = _report(package, times, flow_steps)
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _ratio(times: Sequence[EngineTimes], what: str) -> float:
    """How many times as fast the first engine is: `end to end`, or in what the `network` itself takes."""
    own = [stage for stage in times[0].stages if stage not in (*_AROUND, "end to end")]
    counted = ["end to end"] if what == "end to end" else own
    slow, fast = (sum(entry.stages[stage].p50_ms for stage in counted) for entry in (times[1], times[0]))
    return slow / fast


def _eager(package: PolicyPackage, threads: int) -> Engine | None:
    """Return the network in torch: the package's weights, or where it has none others, which take as long."""
    if package.manifest.route == CUSTOM_ROUTE or importlib.util.find_spec("torch") is None:
        return None
    from vla3d_ros.policy.nets.building import build_untrained_net
    from vla3d_ros.policy.nets.config import PolicyConfig
    from vla3d_ros.policy.nets.pytorch import torch
    from vla3d_ros.policy.nets.torch_engine import TorchEngine

    torch.set_num_threads(threads)
    if engine := torch_engine(package):
        return engine
    return TorchEngine(build_untrained_net(PolicyConfig.from_mapping(package.manifest.config), seed=0))


def _table(times: list[EngineTimes]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage")
    for entry in times:
        table.add_column(f"{entry.engine} p50", justify="right")
        table.add_column("p99", justify="right")
    for stage in dict.fromkeys(stage for entry in times for stage in entry.stages):
        cells = []
        for entry in times:
            found = entry.stages.get(stage)
            cells += [f"{found.p50_ms:.2f} ms", f"{found.p99_ms:.2f} ms"] if found else ["-", "-"]
        table.add_row(stage, *cells)
    return table


def _counted(manifest: Manifest) -> str:
    return _COUNTED.replace("3 pictures", f"{len(manifest.views)} pictures")


def _report(package: PolicyPackage, times: list[EngineTimes], flow_steps: int) -> dict[str, Any]:
    manifest = package.manifest
    return {
        "package": manifest.name,
        "sha256": package.sha256,
        "flow_steps": flow_steps,
        "counted": _counted(manifest),
        "wanted_hz": WANTED_HZ,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "engines": [{**asdict(entry), "hz_p50": entry.hz[0], "hz_p99": entry.hz[1]} for entry in times],
    }
