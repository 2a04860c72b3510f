"""`vla3d bench policy-rate`: chunks per second of a policy in the running twin graph, and whether they get older."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from vla3d_ros.commands.process_load import cpu_seconds, cpu_shares
from vla3d_ros.deployment import Deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.chunk_rate import WANTED_HZ, ChunkRate, chunk_rate, rate_problems
from vla3d_ros.evaluation.protocol import load_protocol
from vla3d_ros.resources import config_dir

_SCENE_SEED = 3
_WARM_UP_S = 1.0
_POLL_S = 0.1
_REARM_S = 1.0
_REAL_TIME = 0.95  # share of real time above which the world may be said to have kept pace
_SILENCE_S = 60.0  # the first chunk of a large network on a busy machine takes its time


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRate:
    """What was measured: the chunks, what the node's counters say, cores by process, stops of the dry run.

    `views`, `depth_views`: views of the last observation, and those of them with depth. `prompt`: colour of its mask.
    """

    rate: ChunkRate
    counted: Mapping[str, int]
    cores_by_process: Mapping[str, float]
    safety_stops: int
    views: int
    depth_views: int
    prompt: str


def add_parser(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench policy-rate`."""
    rate = what.add_parser("policy-rate", help="chunks per second of a policy in the running twin graph, for a minute")
    rate.add_argument("--policy", required=True, metavar="NAME", help="in config/policies, a package folder, a preset")
    rate.add_argument("--deployment", default=None, help="one with a twin; default: that of config/trials/demo.yaml")
    rate.add_argument("--seconds", type=float, default=60.0, help="of ROS time; default: %(default)s")
    rate.add_argument("--free-running", action="store_true", help="the world does not wait for the policy, nor anybody")
    rate.add_argument("--out", type=Path, default=None, help="folder for logs and settings; default: runs/<time>")
    rate.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures as JSON")
    rate.set_defaults(run=bench_policy_rate)


def bench_policy_rate(options: argparse.Namespace, console: Console) -> int:
    """Run the graph with a policy for a while and print what came of it.

    Returns:
        0 if it makes 30 chunks per second of ROS time, less 5 %, and they do not get older; else 1.
    """
    if options.seconds <= 0:
        raise ConfigError(f"--seconds is {options.seconds:g}; expected more than 0")
    run_dir = options.out or Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S")
    name = options.deployment or load_protocol("demo", config_dir()).deployment
    deployment = bench_deployment(name, options.policy, run_dir, is_free_running=options.free_running)
    from vla3d_ros.commands.graph import running_graph

    with (
        console.status(f"{options.seconds:g} s of ROS time"),
        running_graph(deployment, run_dir / "logs", is_private=True) as supervisor,
    ):
        pids = {process.name: supervisor.pid(process.name) for process in deployment.processes}
        measured = measure_policy_rate(deployment, pids, supervisor.dead_processes, options.seconds)
    problems = rate_problems(measured.rate)
    for line in _lines(measured, options.policy, is_free_running=options.free_running):
        console.print(line)
    if not options.free_running and measured.rate.real_time_factor < _REAL_TIME:
        console.print(
            "[yellow]the world was slowed down so that this worked[/]: a robot would not wait; --free-running"
        )
    for problem in problems:
        console.print(f"[red]✗ {problem}[/]")
    if options.json:
        figures = _figures(measured, options, deployment.name, problems)
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if problems else 0


def bench_deployment(name: str, policy: str, run_dir: Path, *, is_free_running: bool) -> Deployment:
    """Return a deployment with the policy in it, its adapter in a dry run.

    Raises:
        ConfigError: If it has no twin, or the policy does not fit it.
    """
    from vla3d_ros.commands.policy_choice import require_policy_fits
    from vla3d_ros.commands.policy_folder import any_policy_overrides
    from vla3d_ros.deployment import load_deployment

    plain = load_deployment(name, config_dir())
    if "twin" not in plain.parameters:
        raise ConfigError(f"deployment '{name}' has no twin; choose one that has: no robot is moved to measure a rate")
    overrides: dict[str, dict[str, Any]] = {
        "adapter": {"dry_run": True},
        "twin": {"waits_for_graph": not is_free_running},
        "recorder": {"output_dir": str((run_dir / "bags").resolve())},
        **any_policy_overrides(policy, plain, config_dir(), run_dir),
    }
    deployment = load_deployment(name, config_dir(), overrides)
    require_policy_fits(deployment)
    return deployment


def measure_policy_rate(
    deployment: Deployment, pids: Mapping[str, int], dead: Callable[[], list[str]], seconds: float
) -> PolicyRate:
    """Bring the running processes up, give the policy something to do, and listen for some seconds of ROS time.

    Raises:
        TrialError: If no chunk comes for a minute of wall time, or a process ends.
    """
    from vla3d_ros.camera.rig import load_rig
    from vla3d_ros.commands.policy_choice import prompt_use
    from vla3d_ros.evaluation.node import TrialRunner  # needs rclpy, which the environment has to be prepared for
    from vla3d_ros.evaluation.prompting import show_target
    from vla3d_ros.ros.chunk_ear import ChunkEar

    runner, ear = TrialRunner(deployment.namespace, dead), None
    try:
        runner.bring_up(deployment.node_names, lambda node: None)
        ear = ChunkEar(deployment.namespace, load_rig(deployment.rig_file).anchor)
        instruction = runner.place(_SCENE_SEED)
        if prompt_use(deployment.parameters["policy"]) != "unused":
            found = runner.target_mask()
            picture = runner.snapshot(found.camera)
            instruction = show_target(
                runner, found, picture, instruction=instruction, target=found.name, seed=_SCENE_SEED
            )
        runner.arm()
        runner.instruct(instruction)
        _listen(runner, ear, _WARM_UP_S)
        ear.restart()
        before, begin_s = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
        stops = _listen(runner, ear, seconds)
        after, wall_s = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic() - begin_s
        samples, counted, last = ear.samples(), ear.counted(), ear.last_report()
        runner.instruct("")
    finally:
        if ear is not None:
            ear.close()
        runner.close()
    shares = cpu_shares(before, after, wall_s)
    return PolicyRate(
        rate=chunk_rate(samples),
        counted=counted,
        cores_by_process=shares,
        safety_stops=stops,
        views=int(last["views"]),
        depth_views=int(last["depth_views"]),
        prompt=last["prompt"],
    )


def _listen(runner: Any, ear: Any, seconds: float) -> int:
    """Wait until chunks' stamps span some seconds; arm again after a stop, and return how often that was."""
    from vla3d_ros.evaluation.live_trials import TrialError

    first_ns = last_ns = ear.newest_stamp_ns
    changed_s, armed_s, stops = time.monotonic(), 0.0, 0
    while first_ns is None or last_ns - first_ns < seconds * 1e9:
        time.sleep(_POLL_S)
        runner.check_alive()
        newest_ns = ear.newest_stamp_ns
        if newest_ns != last_ns:
            first_ns = newest_ns if first_ns is None else first_ns
            last_ns, changed_s = newest_ns, time.monotonic()
        if time.monotonic() - changed_s > _SILENCE_S:
            raise TrialError(f"no chunk for {_SILENCE_S:g} s; /diagnostics and the policy's log say what it waits for")
        if runner.status().stop_reason and time.monotonic() - armed_s > _REARM_S:
            stops, armed_s = stops + 1, time.monotonic()
            runner.reset_stop()
            runner.arm()
    return stops


def _lines(measured: PolicyRate, policy: str, *, is_free_running: bool) -> list[str]:
    """Return the figures for people."""
    rate, counted = measured.rate, measured.counted
    mode = "free running: nobody waits" if is_free_running else "paced: simulated time waits for adapter and policy"
    cores = ", ".join(f"{name} {share:.2f}" for name, share in measured.cores_by_process.items())
    seen = "not heard"
    if rate.seen_to_heard_p50_ms is not None and rate.seen_to_heard_p99_ms is not None:
        seen = f"p50 {rate.seen_to_heard_p50_ms:.1f} ms, p99 {rate.seen_to_heard_p99_ms:.1f} ms"
    figures = {
        "chunks": (
            f"{rate.hz_ros:.2f} per second of ROS time, {rate.hz_wall:.2f} of wall time; wanted: {WANTED_HZ:g} Hz "
            f"({rate.chunks} chunks, {rate.ros_s:.1f} s ROS, {rate.wall_s:.1f} s wall, real-time factor "
            f"{rate.real_time_factor:.2f})"
        ),
        "stamp to chunk": f"p50 {rate.latency_p50_ms:.1f} ms, p99 {rate.latency_p99_ms:.1f} ms of ROS time",
        "compute": f"p50 {rate.compute_p50_ms:.1f} ms, p99 {rate.compute_p99_ms:.1f} ms of wall time",
        "camera_info heard to chunk heard": f"{seen} of wall time, in a third process",
        "lag": (
            f"{rate.lag_first_ms:.1f} ms in the first {rate.edge_s:.0f} s, {rate.lag_last_ms:.1f} ms in the last "
            f"(medians); fitted slope {rate.lag_slope_ms_per_min:+.2f} ms per minute"
        ),
        "left out": (
            f"observations replaced by a newer one before inference: {_count(counted, 'replaced_observations')}; view "
            f"sets overtaken: {_count(counted, 'overtaken_sets')}, lost: {_count(counted, 'lost_sets')}; camera "
            f"periods without a chunk: {rate.skipped_periods}"
        ),
        "processor": f"{cores} cores; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        "last observation": (
            f"{measured.views} views, {measured.depth_views} of them with depth; "
            f"prompt: {f'a {measured.prompt} mask' if measured.prompt else 'none'}"
        ),
        "safety stops": f"{measured.safety_stops}, reset each time",
    }
    counts = (
        "counted: every chunk heard on policy/chunk, by its stamp, with cameras, twin, adapter and recorder (idle) "
        "running; the first second is left out; latency ends when the policy has published the chunk"
    )
    head = f"[bold]{policy}[/] · {mode} · adapter in a dry run"
    return [head, *(f"{name}: {text}" for name, text in figures.items()), counts]


def _count(counted: Mapping[str, int], name: str) -> str:
    return str(counted.get(name, "not reported"))


def _figures(measured: PolicyRate, options: argparse.Namespace, deployment: str, problems: list[str]) -> dict[str, Any]:
    figures = asdict(measured)
    return {
        "policy": options.policy,
        "deployment": deployment,
        "mode": "free_running" if options.free_running else "paced",
        "adapter": "dry_run",
        **figures.pop("rate"),
        **figures,
        "wanted_hz": WANTED_HZ,
        "problems": problems,
        "load_average": os.getloadavg()[0],
        "cores": os.cpu_count(),
    }
