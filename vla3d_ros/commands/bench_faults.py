"""`vla3d bench faults`: strike the running twin graph with faults, and see that it stays safe and says why."""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.evaluation.fault_bench import run_fault
from vla3d_ros.evaluation.fault_list import pick_faults
from vla3d_ros.evaluation.faults import Fault, FaultResult
from vla3d_ros.evaluation.live_trials import TrialError
from vla3d_ros.evaluation.protocol import load_protocol
from vla3d_ros.resources import config_dir
from vla3d_ros.supervisor import Supervisor

_PROTOCOL = "demo"  # names the deployment that is struck unless another is asked for
_LOG_MARGIN_S = 20.0
_PHYSICS_HZ = 1000.0
_HEARTBEAT_TIMEOUT_S = 1.0
# What the shipped deployment has no use for, so that every check can be struck.
_KEEP_OUT_M = [0.20, 0.44, 0.0, 0.80, 0.70, 0.80]
_BEHIND_M = -0.40
_SINGULARITY_MARGIN = 0.02


def add_parser(benches: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `vla3d bench faults`."""
    faults = benches.add_parser("faults", help="strike the running twin graph with faults and judge what follows")
    faults.add_argument("names", nargs="*", metavar="FAULT", help="only these; default: all")
    faults.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
    faults.add_argument("--random-s", type=float, default=60.0, help="how long the random policy drives")
    faults.add_argument("--out", type=Path, default=Path("runs/faults"), help="folder for logs; default: %(default)s")
    faults.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the table as JSON")
    faults.set_defaults(run=bench_faults)


def bench_faults(options: argparse.Namespace, console: Console) -> int:
    """Run the faults one after the other in one graph, print the table, write JSON.

    Returns:
        0 if every fault was survived as it has to be, else 1.
    """
    faults = pick_faults(tuple(options.names), options.random_s)
    run_dir: Path = options.out
    run_dir.mkdir(parents=True, exist_ok=True)
    name = options.deployment or load_protocol(_PROTOCOL, config_dir()).deployment
    deployment = struck_deployment(name, run_dir, options.random_s + _LOG_MARGIN_S)
    results: list[FaultResult] = []
    started = time.monotonic()
    try:
        with running_graph(deployment, run_dir / "logs", is_private=True) as supervisor:
            strike_all(faults, deployment, supervisor, console, results)
    finally:
        if options.json:
            options.json.write_text(json.dumps([_plain(result) for result in results], indent=2) + "\n")
    console.print(_table(results))
    failed = len(faults) - sum(result.passed for result in results)
    word = f"[red]{failed} failed[/]" if failed else "[green]all survived[/]"
    console.print(f"{len(results)} of {len(faults)} faults, {word}, {time.monotonic() - started:.0f} s")
    console.print(f"limits: the twin's own log at {_PHYSICS_HZ:g} Hz; accelerations over 20 ms; shares of the limit")
    return int(failed > 0)


def struck_deployment(name: str, run_dir: Path, log_s: float) -> Deployment:
    """Return a twin deployment with the twin's log on and every check of the gate in reach."""
    plain = load_deployment(name, config_dir())
    execution = copy.deepcopy(dict(plain.parameters["adapter"]["execution"]))
    gate = execution["gate"]
    gate["workspace_lower_m"] = [_BEHIND_M, *gate["workspace_lower_m"][1:]]
    gate |= {"keep_out_m": _KEEP_OUT_M, "singularity_margin": _SINGULARITY_MARGIN}
    execution["heartbeat_timeout_s"] = _HEARTBEAT_TIMEOUT_S
    log_file = str((run_dir / "motion.npz").resolve())
    overrides: dict[str, dict[str, Any]] = {
        "twin": {"physics_hz": _PHYSICS_HZ, "log_s": log_s, "log_file": log_file},
        "adapter": {"execution": execution},
        "recorder": {"output_dir": str((run_dir / "bags").resolve())},
    }
    return load_deployment(name, config_dir(), overrides)


def strike_all(
    faults: tuple[Fault, ...],
    deployment: Deployment,
    supervisor: Supervisor,
    console: Console,
    results: list[FaultResult],
) -> None:
    """Bring the graph up and strike it with every fault; results are appended as they come."""
    from vla3d_ros.evaluation.node import TrialRunner  # needs rclpy, which the environment has to be prepared for
    from vla3d_ros.ros.fault_injector import FaultInjector

    runner = TrialRunner(deployment.namespace, supervisor.dead_processes)
    injector = None
    try:
        runner.bring_up(deployment.node_names, lambda node: console.print(f"  [green]active[/] {node}"))
        arms = deployment.embodiment.arms
        injector = FaultInjector(
            runner,
            supervisor.pid,
            namespace=deployment.namespace,
            base_frame=arms[0].base_frame,
            strokes_m={arm.name: arm.gripper.stroke_m if arm.gripper else 1.0 for arm in arms},
            command_topic=str(getattr(arms[0].command, "topic", "")),
        )
        processes = _GraphProcesses(deployment, supervisor)
        for number, fault in enumerate(faults):
            with console.status(f"{number + 1} of {len(faults)}: {fault.title}"):
                result = run_fault(fault, runner, injector, processes, deployment.embodiment, number)
            results.append(result)
            console.print(_line(result))
    except TrialError as error:
        console.print(f"[red]the graph did not come back: {error}[/]")
    finally:
        if injector is not None:
            injector.close()
        runner.close()


class _GraphProcesses:
    """The deployment's processes, and how to get them back."""

    def __init__(self, deployment: Deployment, supervisor: Supervisor) -> None:
        self._deployment, self._supervisor = deployment, supervisor

    def newly_dead_processes(self) -> list[str]:
        """Return sentences about processes that ended since the last call."""
        return self._supervisor.newly_dead_processes()

    def revive(self) -> str:
        """Start ended processes anew; all of them, if the world has ended: its clock starts anew, too."""
        from vla3d_ros.ros.bring_up import reactivate_nodes

        processes = self._deployment.processes
        dead = [process for process in processes if self._supervisor.has_ended(process.name)]
        if not dead:
            return ""
        if any("twin" in process.nodes for process in dead):
            dead = list(processes)
        for process in dead:
            self._supervisor.restart(process.name)
        names = [f"/{self._deployment.namespace}/{node}" for process in dead for node in process.nodes]
        reactivate_nodes(names, dead_processes=self._supervisor.dead_processes)
        return f"restart {', '.join(process.name for process in dead)}"


def _plain(result: FaultResult) -> dict[str, Any]:
    return {**asdict(result), "passed": result.passed}


def _line(result: FaultResult) -> str:
    mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
    text = f"{mark} {result.title}: {result.stop_reason or 'no stop'}"
    return "\n".join([text, *(f"    [red]{problem}[/]" for problem in result.problems)])


def _table(results: list[FaultResult]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("", "fault", "expected", "what it said", "velocity", "acceleration", "table N", "recovery"):
        table.add_column(heading)
    for result in results:
        seen = result.extremes
        figures = (
            (f"{seen.velocity:.2f}", f"{seen.acceleration:.2f}", f"{seen.table_force_n:.1f}") if seen else ("–",) * 3
        )
        table.add_row(
            "[green]✓[/]" if result.passed else "[red]✗[/]",
            result.title,
            result.expected,
            result.stop_reason or "no stop",
            *figures,
            result.recovered,
        )
    return table
