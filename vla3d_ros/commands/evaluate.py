"""`vla3d evaluate`: many trials in one process, faster than real time, through the same cores as the live graph."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.batch import run_batch
from vla3d_ros.evaluation.protocol import load_protocol
from vla3d_ros.evaluation.report import write_trials_json
from vla3d_ros.evaluation.statistics import wilson_interval
from vla3d_ros.evaluation.trial import TrialResult
from vla3d_ros.evaluation.trial_loop import TrialSetup
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.policy.loading import load_backend
from vla3d_ros.resources import config_dir
from vla3d_ros.twin.variation import load_variation


def trial_setup(deployment: Deployment, *, latency_ms: float, nudge_share: float) -> TrialSetup:
    """Return what a batch trial of a twin deployment is made of.

    Raises:
        ConfigError: If the deployment has no twin.
    """
    if "twin" not in deployment.parameters:
        raise ConfigError(f"deployment '{deployment.name}' has no twin; batch trials need one")
    policy = deployment.parameters["policy"]
    return TrialSetup(
        robot_file=deployment.robot_file,
        rig_file=deployment.rig_file,
        scene_file=Path(deployment.parameters["twin"]["scene_file"]),
        policy_factory=partial(load_backend, policy["backend"], policy["backend_config"]),
        execution=ExecutionConfig.from_mapping(deployment.parameters["adapter"]["execution"]),
        latency_ms=latency_ms,
        nudge_share=nudge_share,
    )


def evaluate(options: argparse.Namespace, run_dir: Path, console: Console) -> int:
    """Run a batch, print successes with their interval and the failures, write `trials.json`."""
    name = options.deployment or load_protocol("demo", config_dir()).deployment
    deployment = load_deployment(name, config_dir())
    if not 0.0 <= options.nudge <= 1.0:
        raise ConfigError(f"--nudge is {options.nudge:g}; expected a share from 0 to 1")
    setup = trial_setup(deployment, latency_ms=options.latency_ms, nudge_share=options.nudge)
    if options.variation:
        setup = replace(setup, variation=load_variation(options.variation, config_dir() / "variations"))
    started = time.monotonic()
    with Progress(console=console) as progress:
        task = progress.add_task(f"{options.trials} trials", total=options.trials)
        results = run_batch(
            setup,
            trials=options.trials,
            seed=options.seed,
            processes=options.processes,
            progress=lambda result: progress.advance(task),
        )
    run_dir.mkdir(parents=True, exist_ok=True)
    written = write_trials_json(run_dir, results)
    if options.json:
        write_trials_json(run_dir, results, options.json)
    _summarise(results, time.monotonic() - started, console)
    console.print(f"results: {written}")
    return 0


def _summarise(results: list[TrialResult], wall_s: float, console: Console) -> None:
    successes = sum(result.is_success for result in results)
    rate = wilson_interval(successes, len(results))
    simulated_s = sum(result.sim_s for result in results)
    for reason, count in Counter(result.reason for result in results if not result.is_success).most_common():
        console.print(f"[red]{count} x[/] {reason}")
    console.print(
        f"{successes} of {len(results)} succeeded (95 % interval {100 * rate.low:.0f} to {100 * rate.high:.0f} %) · "
        f"{simulated_s / wall_s:.1f} x real time"
    )
