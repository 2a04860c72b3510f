"""`vla3d demo`: pick-and-place trials through the whole live graph, with a report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.commands.policy_choice import (
    SHIPPED,
    demo_policy,
    policy_overrides,
    require_no_prompt,
    require_policy_fits,
)
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.evaluation.live_trials import LiveStatus, LiveTrial, run_live_trial
from vla3d_ros.evaluation.protocol import TrialProtocol, load_protocol
from vla3d_ros.evaluation.report import write_report, write_trials_json
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.verdict_words import verdict_text
from vla3d_ros.resources import config_dir
from vla3d_ros.supervisor import Supervisor


def demo(options: argparse.Namespace, run_dir: Path, console: Console) -> int:
    """Run the trials, print the table, write report and JSON.

    Returns:
        0 if at least the required share of trials succeeded, else 1.
    """
    started = time.monotonic()
    protocol = _protocol(options)
    overrides = {"recorder": {"output_dir": str((run_dir / "bags").resolve())}}
    policy = demo_policy(options.policy, protocol.deployment, config_dir())
    overrides |= policy_overrides(policy, config_dir())
    deployment = load_deployment(protocol.deployment, config_dir(), overrides)
    require_policy_fits(deployment)
    require_no_prompt(deployment)
    console.print(f"[bold]{deployment.name}[/] · {deployment.description}")
    if policy == SHIPPED and options.policy is None:
        console.print(f"policy: {SHIPPED}, learned; the baseline runs with --policy scripted")
    trials: list[LiveTrial] = []
    try:
        with running_graph(deployment, run_dir / "logs", is_private=True) as supervisor:
            _run_trials(deployment, supervisor, protocol, console, trials)
    finally:
        results = [_result(trial, run_dir) for trial in trials]
        if results:
            results = list(_write(deployment, results, run_dir, options.json, console))
    successes = sum(result.is_success for result in results)
    console.print(_table(results))
    has_passed = successes >= protocol.required_share * protocol.trials
    word = "[green]passed[/]" if has_passed else "[red]failed[/]"
    console.print(f"report: {run_dir / 'report.html'}")
    if trials:
        factor = sum(trial.sim_s for trial in trials) / sum(trial.wall_s for trial in trials)
        console.print(f"real-time factor: {factor:.2f} (ROS seconds per wall second during the trials)")
    seconds = time.monotonic() - started
    console.print(f"demo {word}: {successes} of {protocol.trials} trials succeeded in {seconds:.0f} s")
    return 0 if has_passed else 1


def _protocol(options: argparse.Namespace) -> TrialProtocol:
    """Return the protocol with what the command line says instead."""
    protocol = load_protocol(options.protocol, config_dir())
    given = {name: getattr(options, name) for name in ("deployment", "trials", "seed")}
    return replace(protocol, **{name: value for name, value in given.items() if value is not None})


def _run_trials(
    deployment: Deployment,
    supervisor: Supervisor,
    protocol: TrialProtocol,
    console: Console,
    trials: list[LiveTrial],
) -> None:
    from vla3d_ros.evaluation.node import TrialRunner  # needs rclpy, which the environment has to be prepared for

    columns = (TextColumn("{task.fields[line]}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    runner = TrialRunner(deployment.namespace, supervisor.dead_processes)
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("trials", total=protocol.trials, line="bringing up")
            names = deployment.node_names
            runner.bring_up(names, lambda node: progress.update(task, line=f"active: {node}"))
            for index in range(protocol.trials):
                number = index + 1

                def show(instruction: str, status: LiveStatus, sim_s: float, number: int = number) -> None:
                    line = f"trial {number}: {instruction} · {status.phase or 'looking'} · {sim_s:.1f} s"
                    progress.update(task, line=line)

                progress.update(task, line=f"trial {number}: going home")
                seed = protocol.seed + index
                trial = run_live_trial(runner, trial=number, seed=seed, timeout_s=protocol.timeout_s, on_status=show)
                trials.append(trial)
                progress.update(task, completed=number)
                mark = "[green]✓[/]" if trial.outcome == "success" else "[red]✗[/]"
                progress.console.print(f"{mark} {number}: {trial.instruction} · {trial.sim_s:.1f} s · {trial.reason}")
            progress.update(task, line="ending the graph")
    finally:
        runner.close()


def _result(trial: LiveTrial, run_dir: Path) -> TrialResult:
    return TrialResult(
        trial=trial.trial,
        seed=trial.seed,
        instruction=trial.instruction,
        outcome="success" if trial.outcome == "success" else "failure",
        reason=trial.reason,
        sim_s=trial.sim_s,
        bag=str(trial.bag.relative_to(run_dir.resolve())),
    )


def _write(
    deployment: Deployment, results: Sequence[TrialResult], run_dir: Path, json_file: Path | None, console: Console
) -> Sequence[TrialResult]:
    """Read the bags back, write the report and the results, and return the results with what the bags tell."""
    with console.status("reading the bags and writing the report"):
        limits = [arm.limits for arm in deployment.embodiment.arms]
        completed = write_report(run_dir, results, title=deployment.name, limits=limits)
        write_trials_json(run_dir, completed)
        if json_file:
            write_trials_json(run_dir, completed, json_file)
    return completed


def _table(results: Sequence[TrialResult]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("trial", "instruction", "outcome", "time", "chunk p50/p99", "skew p99", "lost sets", "safety"):
        table.add_column(heading)
    for result in results:
        table.add_row(
            str(result.trial),
            result.instruction,
            "[green]success[/]" if result.is_success else f"[red]failure[/]: {result.reason}",
            f"{result.sim_s:.1f} s",
            f"{_ms(result.latency_p50_ms)} / {_ms(result.latency_p99_ms)} ms",
            f"{_ms(result.skew_p99_ms)} ms",
            str(result.lost_view_sets),
            verdict_text(result.verdicts),
        )
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
