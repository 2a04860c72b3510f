"""`vla3d replay --into`: a twin's arm follows the recorded chunks, and its path is compared with the recorded one."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.commands.replay_start import bring_to_start, recorded_start, strokes_m
from vla3d_ros.deployment import Deployment, ProcessSpec, list_deployments, load_deployment
from vla3d_ros.errors import ConfigError, RecordingError, join_problems
from vla3d_ros.replay import bag_decoding
from vla3d_ros.replay.chunk_playlist import DueChunk, chunk_playlist, longest_lag_s
from vla3d_ros.replay.followed_path import EePath, PathComparison, compare_paths
from vla3d_ros.replay.recorded_run import RecordedRun, read_run
from vla3d_ros.replay.verdict import ReplayLimits
from vla3d_ros.resources import config_dir

_LIMITS = {"position_mm": 50.0, "rotation_deg": 5.0}  # of a path, open loop; those of chunks are far smaller
_LEAD_NS, _REST_NS = 500_000_000, 400_000_000
_LATE_MS = 50.0
_LEAST_LAG_S = 0.06  # the way to the start is told thirty times a second
_NS, _POLL_S, _STALL_S = 1_000_000_000, 0.02, 20.0
_SPARED = ("policy", "camera", "recorder", "teleop")  # nodes that chunks and arm can do without
_SLACK_S = 0.02
_OFF: dict[str, tuple[Any, str]] = {
    "rate": (1.0, "--rate: chunks say how far to go in seconds; at another rate the arm would go elsewhere"),
    "loop": (False, "--loop: the arm would jump from the end to the start"),
    "start_paused": (False, "--start-paused: a pause between chunks is a policy that died, for which safety stops"),
    "start_offset": (0.0, "--start-offset: the arm can be brought to where the recording starts, not to its middle"),
    "clock": (0.0, "--clock: the twin publishes /clock"),
    "topics": ([], "--topics: only chunks are played"),
    "exclude_topics": ([], "--exclude-topics: only chunks are played"),
    "remap": ([], "--remap: chunks go to the deployment's own topic"),
    "qos_profile_overrides_path": (None, "--qos-profile-overrides-path: chunks have the adapter's QoS"),
    "no_wait": (False, "--no-wait: the twin keeps the time"),
    "through": (None, "--through: moves nothing; choose one of the two"),
    "policy": (None, "--policy: the recorded chunks are followed; no policy runs"),
    "against": (None, "--against: the path is compared with the recorded one"),
    "record_golden": (None, "--record-golden: it holds chunks, and they are not computed here"),
    "report": (None, "--report: use --json"),
    "twice": (False, "--twice: a physical run is no function of its inputs alone"),
    "markers": ([], "--markers: no image is looked at"),
}


def replay_into(options: argparse.Namespace, console: Console) -> int:
    """Let the twin's arm follow the recorded chunks.

    Returns:
        0 if nothing was stopped and the path is within the limits, else 1.

    Raises:
        ConfigError: If a word makes no sense here; lists all.
        RecordingError: If the recording would make an arm jump, or its start can not be reached.
    """
    require_words_of_into(options)
    limits = path_limits(options)
    run = read_run(options.bag, options.joint_states)
    deployment = twin_deployment(options.into)
    chunks = chunk_playlist(run, deployment.embodiment, options.playback_duration)
    recorded_start(run, deployment.embodiment, chunks[0].stamp_ns)
    player, shift_ns = _play(paced(deployment, chunks), run, chunks, console)
    paths = _compared(run, deployment, chunks, player.samples, shift_ns)
    late_ms = player.late_ns / 1e6
    violations = [*path_violations(paths, limits), *playing_violations(player, late_ms)]
    played = len(chunks) - player.left
    verdicts = dict(sorted(player.verdicts.items()))
    console.print(f"{played} of {len(chunks)} chunks · verdicts {verdicts} · stamps moved by {shift_ns / _NS:+.3f} s")
    for check, text in sorted(player.objections.items()):
        console.print(f"  [yellow]{escape(check)}[/] {escape(text)}")
    for path in paths:
        console.print(
            f"{path.arm}: {path.length_mm:.0f} mm of path, {path.position_mean_mm:.2f} mm mean, "
            f"{path.position_max_mm:.2f} mm worst, {path.position_end_mm:.2f} mm at the end; "
            f"{path.rotation_mean_deg:.2f} deg mean, {path.rotation_max_deg:.2f} deg worst; lag {path.lag_ms:+.0f} ms"
        )
    for text in violations:
        console.print(f"  [red]·[/] {escape(text)}")
    console.print("[red]failed[/]" if violations else "[green]passed[/]")
    if options.json:
        content = {"bag": str(options.bag), "into": deployment.name, "chunks": len(chunks), "played": played}
        content |= {"verdicts": verdicts, "objections": player.objections, "shift_ns": shift_ns, "late_ms": late_ms}
        content |= {"paths": [asdict(path) for path in paths], "violations": violations}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return int(bool(violations))


def require_words_of_into(options: argparse.Namespace) -> None:
    """Refuse what can not be meant together with --into.

    Raises:
        ConfigError: Lists every such word, and why.
    """
    problems = [why for name, (usual, why) in _OFF.items() if getattr(options, name) != usual]
    if problems:
        raise ConfigError(join_problems("replay --into", problems))


def path_limits(options: argparse.Namespace) -> ReplayLimits:
    """Return the limits in force: from the file, else those usual for paths; what the command line gives wins."""
    given = {name: getattr(options, name) for name in _LIMITS}
    if options.limits is None:
        given = {name: usual if given[name] is None else given[name] for name, usual in _LIMITS.items()}
    return ReplayLimits.load(options.limits, given)


def path_violations(paths: Sequence[PathComparison], limits: ReplayLimits) -> list[str]:
    """Say where a path left its limits."""
    found = []
    for path in paths:
        for word, got, limit, unit in (
            ("position", path.position_max_mm, limits.position_mm, "mm"),
            ("rotation", path.rotation_max_deg, limits.rotation_deg, "deg"),
        ):
            if not got <= limit:
                found.append(f"arm '{path.arm}': {word} is off by {got:.2f} {unit}, allowed {limit:g} {unit}")
    return found


def playing_violations(player: Any, late_ms: float) -> list[str]:
    """Say what of the recording was not repeated: stops, chunks that were not followed, or came late."""
    found = [f"stop: {stop}" for stop in player.stops]
    if refused := player.verdicts.get("stop", 0):
        found.append(f"{refused} chunks were not followed: {', '.join(sorted(player.objections)) or 'no reason given'}")
    if late_ms > _LATE_MS:
        text = f"chunks came up to {late_ms:.0f} ms after they were due, allowed {_LATE_MS:g} ms"
        found.append(f"{text}: this machine was too busy to repeat the recording")
    return found


def twin_deployment(name: str) -> Deployment:
    """Return a twin's deployment without policy, cameras and recorder, whose adapter moves the arm.

    Raises:
        ConfigError: If it has no twin, or no adapter.
    """
    given = load_deployment(name, config_dir())
    lacking = [node for node in ("twin", "adapter") if node not in given.parameters]
    if lacking:
        names = list_deployments(config_dir())
        raise ConfigError(f"deployment '{name}' has no {lacking}: --into moves twins only; choose among {names}")
    parameters = {node: values for node, values in given.parameters.items() if node not in _SPARED}
    parameters["adapter"] = {**parameters["adapter"], "dry_run": False}
    processes = (replace(one, nodes=tuple(n for n in one.nodes if n not in _SPARED)) for one in given.processes)
    kept: tuple[ProcessSpec, ...] = tuple(one for one in processes if one.nodes)
    return replace(given, processes=kept, parameters=parameters)


def paced(deployment: Deployment, chunks: Sequence[DueChunk]) -> Deployment:
    """Return the deployment with a twin that waits for the player wherever it falls behind what was recorded."""
    lag_s = max(_LEAST_LAG_S, longest_lag_s(chunks)) + _SLACK_S
    twin = {**deployment.parameters["twin"], "max_chunk_lag_s": lag_s}
    return replace(deployment, parameters={**deployment.parameters, "twin": twin})


def _play(deployment: Deployment, run: RecordedRun, chunks: Sequence[DueChunk], console: Console) -> tuple[Any, int]:
    """Bring the twin up, bring the arm home, and play; return the player and what was added to every stamp."""
    embodiment = deployment.embodiment
    with tempfile.TemporaryDirectory(prefix="vla3d_replay_") as logs:
        log_dir = Path(os.environ.get("VLA3D_REPLAY_LOGS", logs))
        with running_graph(deployment, log_dir, is_private=True) as supervisor:
            from vla3d_ros.evaluation.live_trials import go_home
            from vla3d_ros.evaluation.node import TrialRunner  # needs rclpy: the environment is prepared now
            from vla3d_ros.ros.chunk_player import ChunkPlayer

            runner = TrialRunner(deployment.namespace, supervisor.dead_processes)
            try:
                with console.status("bringing the twin up") as status:
                    player = ChunkPlayer(runner.node, strokes_m(embodiment), embodiment.arms[0].base_frame)
                    runner.bring_up(deployment.node_names, lambda node: status.update(f"active: {node}"))
                    status.update("going home")
                    go_home(runner)
                    bring_to_start(runner, player, run, embodiment, chunks[0].stamp_ns, console)
                    runner.arm()
                    shift_ns = runner.status().now_ns + _LEAD_NS - chunks[0].stamp_ns
                    player.start(chunks, shift_ns)
                    _watch(runner, player, chunks[-1].receive_ns + shift_ns, status)
                    runner.disarm()
                    _pass(runner, _REST_NS)
            finally:
                runner.close()
    return player, shift_ns


def _watch(runner: Any, player: Any, end_ns: int, status: Any) -> None:
    """Wait until the last chunk was played, or a stop is latched."""
    last_ns, changed_s = -1, time.monotonic()
    while True:
        time.sleep(_POLL_S)
        runner.check_alive()
        now = runner.status()
        status.update(f"playing · {player.left} chunks left")
        if now.stop_reason:
            if now.stop_reason not in player.stops:
                player.stops.append(now.stop_reason)
            player.stop()
            return
        if now.now_ns >= end_ns and not player.left:
            return
        if now.now_ns != last_ns:
            last_ns, changed_s = now.now_ns, time.monotonic()
        elif time.monotonic() - changed_s > _STALL_S:
            raise RecordingError(f"ROS time has stood still at {last_ns / _NS:.3f} s for {_STALL_S:g} s")


def _pass(runner: Any, duration_ns: int) -> None:
    start_ns, begun_s = runner.status().now_ns, time.monotonic()
    while runner.status().now_ns - start_ns < duration_ns and time.monotonic() - begun_s < _STALL_S:
        time.sleep(_POLL_S)


def _compared(
    run: RecordedRun, deployment: Deployment, chunks: Sequence[DueChunk], samples: Any, shift_ns: int
) -> list[PathComparison]:
    """Compare from the first chunk's observation to the reception of the last chunk, when the arm is disarmed."""
    strokes = strokes_m(deployment.embodiment)
    recorded: dict[str, list[Any]] = {arm: [] for arm in strokes}
    for stamp_ns, msg in run.ee_messages:
        for arm, (T_base_ee, opening) in bag_decoding.ee_state(msg, strokes).items():
            recorded[arm].append((stamp_ns, T_base_ee, opening))
    start_ns, end_ns = chunks[0].stamp_ns, chunks[-1].receive_ns
    return [
        compare_paths(EePath.of(arm, recorded[arm]), EePath.of(arm, samples[arm]), shift_ns, start_ns, end_ns)
        for arm in strokes
    ]
