"""`vla3d bench adapter-rate`: how regularly the adapter ticks while the whole graph works."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

_GOAL_MS = 12.0
_TICK_HZ = 100.0
_PATIENCE_S = 10.0


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench adapter-rate`."""
    rate = what.add_parser("adapter-rate", help="period of the adapter's 100 Hz tick while the whole graph works")
    rate.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
    rate.add_argument("--seconds", type=float, default=60.0, help="wall time, at least; default: %(default)s")
    rate.add_argument("--out", type=Path, default=None, help="folder for logs and bags; default: runs/<time>")
    rate.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    rate.set_defaults(run=bench_adapter_rate)


def bench_adapter_rate(options: argparse.Namespace, console: Console) -> int:
    """Run scripted trials on the live graph for a while, then ask the adapter how regular it was.

    Returns:
        0 if the 99th percentile of the period is at most 12 ms, else 1.
    """
    from vla3d_ros.commands.graph import running_graph
    from vla3d_ros.deployment import load_deployment
    from vla3d_ros.evaluation.protocol import load_protocol
    from vla3d_ros.resources import config_dir

    protocol = load_protocol("demo", config_dir())
    run_dir = options.out or Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")
    overrides: dict[str, dict[str, Any]] = {
        "adapter": {"tick_hz": _TICK_HZ},
        "recorder": {"output_dir": str((run_dir / "bags").resolve())},
    }
    deployment = load_deployment(options.deployment or protocol.deployment, config_dir(), overrides)
    with (
        console.status("running trials") as status,
        running_graph(deployment, run_dir / "logs", is_private=True) as supervisor,
    ):
        figures = _measure(deployment.namespace, deployment.node_names, supervisor.dead_processes, protocol, options)
        status.stop()
    figures |= {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
    console.print(
        f"{figures['periods']} periods of {1e3 / _TICK_HZ:g} ms, of {figures['trials']} trials: "
        f"p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms, longest {figures['max_ms']:.1f} ms; "
        f"load {figures['load_average']:.1f} on {figures['cores']} cores, real-time priority {figures['realtime']}"
    )
    console.print(
        "counted: from one begin of the adapter's tick (watchdogs, gripper steps) to the next, on the steady clock, "
        "in the node, with cameras, policy, recorder and twin running"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if figures["p99_ms"] <= _GOAL_MS else 1


def _measure(namespace: str, nodes: tuple[str, ...], dead: Any, protocol: Any, options: argparse.Namespace) -> Any:
    from vla3d_ros.evaluation.live_trials import run_live_trial
    from vla3d_ros.evaluation.node import TrialRunner  # needs rclpy, which the environment has to be prepared for
    from vla3d_ros.ros.diagnostics import read_diagnostics

    runner = TrialRunner(namespace, dead)
    try:
        runner.bring_up(nodes, lambda node: None)
        begin, trials = time.monotonic(), 0
        while time.monotonic() - begin < options.seconds:
            seed = protocol.seed + trials
            trials += 1
            run_live_trial(runner, trial=trials, seed=seed, timeout_s=protocol.timeout_s)
        seconds = time.monotonic() - begin
        values = read_diagnostics(f"/{namespace}/adapter", _PATIENCE_S)
    finally:
        runner.close()
    return {
        "seconds": seconds,
        "trials": trials,
        "realtime": values["realtime"],
        "periods": int(values["tick_periods"]),
        **{key: float(values[f"tick_{key}"]) for key in ("p50_ms", "p99_ms", "max_ms")},
    }
