"""`vla3d bench seams`: what happens where one chunk follows another, for ours and for others' ways to execute them."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vla3d_ros.deployment import Deployment
    from vla3d_ros.replay.chunk_stream import ChunkStream
    from vla3d_ros.replay.seams import SeamReport, SeamSetup

_MAX_DELAY = 10
_LATENCY_MS = 40.0
_HEADINGS = ["executor", "jump", "ee acc", "ee jerk", "joint acc", "joint jerk", "RMS jerk", "lag", "off", "reaction"]


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench seams`."""
    seams = what.add_parser("seams", help="jerk, jumps and lag where one chunk follows another, ours and others'")
    seams.add_argument("files", nargs="*", type=Path, metavar="FILE.npy", help="demonstrations of the real arm")
    seams.add_argument("--deployment", default=None, help="default: that of config/trials/demo.yaml")
    seams.add_argument("--trials", type=int, default=1, help="scripted trials to record chunks from; default: 1")
    seams.add_argument("--delays", type=int, nargs="+", default=list(range(_MAX_DELAY + 1)), metavar="STEPS")
    seams.add_argument("--jitter-ms", type=float, default=10.0, help="of the delay; default: %(default)s")
    seams.add_argument("--noise-mm", type=float, default=1.0, help="change of mind per chunk, RMS; default: 1")
    seams.add_argument("--noise-deg", type=float, default=0.5, help="the same, rotation; default: 0.5")
    seams.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    seams.add_argument("--plot", type=Path, default=None, metavar="FILE.png", help="draw the figures")
    seams.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    seams.set_defaults(run=bench_seams)


def bench_seams(options: argparse.Namespace, console: Console) -> int:
    """Execute the same chunks by all means, print the worst of each, and say whether ours is the smoothest.

    Returns:
        0 if no executor that lags no more than ours has less jerk, else 1.
    """
    from vla3d_ros.deployment import load_deployment
    from vla3d_ros.errors import ConfigError
    from vla3d_ros.evaluation.protocol import load_protocol
    from vla3d_ros.replay.seams import OURS, SeamBench
    from vla3d_ros.replay.seams_plot import plot_seams
    from vla3d_ros.resources import config_dir

    deployment = load_deployment(options.deployment or load_protocol("demo", config_dir()).deployment, config_dir())
    setup = _setup(deployment, options)
    with console.status("recording chunks") as status:
        streams = [*_demonstrations(deployment, setup, options.files), *_trials(deployment, options)]
        if not streams:
            raise ConfigError("no chunks to execute: name demonstrations, or ask for at least one of --trials")
        report = SeamBench(setup).run(streams, options.delays, status.update)
    _print(report, console)
    if options.plot:
        plot_seams(options.plot, report.figures, OURS)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    return 1 if report.beaten_by else 0


def _setup(deployment: Deployment, options: argparse.Namespace) -> SeamSetup:
    from vla3d_ros.execution import ExecutionConfig
    from vla3d_ros.replay.seams import SeamSetup

    execution = ExecutionConfig.from_mapping(deployment.parameters["adapter"]["execution"])
    return SeamSetup(
        urdf_path=deployment.embodiment.urdf_path,
        arm=deployment.embodiment.arms[0],
        motion=execution.motion,
        ee_speed=(execution.gate.ee_speed_m_s, execution.gate.ee_turn_rad_s),
        noise_m=1e-3 * options.noise_mm,
        noise_rad=math.radians(options.noise_deg),
        jitter_ms=options.jitter_ms,
        seed=options.seed,
    )


def _demonstrations(deployment: Deployment, setup: SeamSetup, files: list[Path]) -> list[ChunkStream]:
    from vla3d_ros.adapter.kinematics import ArmKinematics
    from vla3d_ros.errors import RecordingError, join_problems
    from vla3d_ros.execution import ExecutionConfig
    from vla3d_ros.replay.chunk_stream import demonstration_stream
    from vla3d_ros.replay.demonstration import load_demonstration
    from vla3d_ros.replay.retarget import needed_time_scale

    missing = [f"{path} does not exist" for path in files if not path.is_file()]
    if missing:
        raise RecordingError(join_problems("demonstrations", missing))
    execution = ExecutionConfig.from_mapping(deployment.parameters["adapter"]["execution"])
    kinematics = ArmKinematics(setup.urdf_path, setup.arm)
    streams = []
    for path in files:
        demonstration = load_demonstration(path, setup.arm)
        scale = needed_time_scale(demonstration, setup.arm, execution)
        streams.append(demonstration_stream(demonstration, setup.arm, kinematics, scale))
    return streams


def _trials(deployment: Deployment, options: argparse.Namespace) -> list[ChunkStream]:
    import numpy as np

    from vla3d_ros.commands.evaluate import trial_setup
    from vla3d_ros.evaluation.trial_loop import TrialLoop
    from vla3d_ros.replay.chunk_stream import trial_stream

    streams = []
    for trial in range(options.trials):
        generator = np.random.default_rng([options.seed, trial])
        loop = TrialLoop(trial_setup(deployment, latency_ms=_LATENCY_MS, nudge_share=0.0), generator)
        streams.append(trial_stream(loop, deployment.embodiment.arms[0], f"scripted trial {trial}"))
    return streams


def _print(report: SeamReport, console: Console) -> None:
    from vla3d_ros.replay.seams import EXECUTORS

    table = Table(box=None, header_style="bold", pad_edge=False)
    headings = (
        "executor",
        "jump",
        "ee acc",
        "ee jerk",
        "joint acc",
        "joint jerk",
        "RMS jerk",
        "lag",
        "off",
        "reaction",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "executor" else "right")
    for name in EXECUTORS:
        mine = [figures for figures in report.figures if figures.executor == name]
        table.add_row(
            name,
            f"{max(f.jump_mm for f in mine):.3f} mm",
            f"{max(f.ee_acceleration_m_s2 for f in mine):.1f} m/s²",
            f"{max(f.ee_jerk_m_s3 for f in mine):.0f} m/s³",
            f"{max(f.joint_acceleration_rad_s2 for f in mine):.1f} rad/s²",
            f"{max(f.joint_jerk_rad_s3 for f in mine):.0f} rad/s³",
            f"{max(f.joint_jerk_rms_rad_s3 for f in mine):.0f} rad/s³",
            f"{median(f.lag_ms for f in mine):.0f} ms",
            f"{median(f.tracking_mm for f in mine):.2f} mm",
            f"{median(f.reaction_ms for f in mine):.0f} ms",
        )
    console.print(table)
    streams = sorted({figures.stream for figures in report.figures})
    delays = sorted({figures.delay_steps for figures in report.figures})
    console.print(f"jump ... RMS jerk: worst, lag ... reaction: median, of {len(streams)} streams x delays {delays}")
    if report.beaten_by:
        worst = sorted({figures.executor for figures in report.beaten_by})
        console.print(f"[red]less jerk than ours without more lag[/], in {len(report.beaten_by)} runs: {worst}")
    else:
        console.print("nothing that lags no more than ours has less jerk, in any run")
