"""`vla3d replay --through`: the bag as topics into the real policy and adapter nodes, which move nothing."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from vla3d_ros.commands.graph import running_graph
from vla3d_ros.commands.replay_policy import ChosenPolicy, choose_policy
from vla3d_ros.deployment import Deployment, ProcessSpec, list_deployments, load_deployment
from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.replay.comparison import QUANTITIES, compare
from vla3d_ros.replay.offline import OfflineReplay
from vla3d_ros.replay.playback import parse_remaps
from vla3d_ros.replay.recorded_run import RecordedRun, read_run
from vla3d_ros.resources import config_dir

_CLOCK_HZ = 200.0
_STATE_LAG_S, _CHUNK_LAG_S = 0.02, 0.06  # as for the twin: a slow machine slows the bag, not the result


def replay_through(options: argparse.Namespace, console: Console) -> int:
    """Play the bag into the nodes of a deployment until it ends, or Ctrl-C with --loop.

    Returns:
        0 if no chunk was stopped by safety, else 1.
    """
    run = read_run(options.bag, options.joint_states)
    chosen = choose_policy(options.policy) if options.policy else None
    deployment = dry_run_deployment(run, options.through, chosen, options)
    session = _play(deployment, run, console)
    stops = list(dict.fromkeys(session.stops))
    verdicts = dict(sorted(session.verdicts.items()))
    chunks = session.answers.chunks
    console.print(f"{len(chunks)} chunks · verdicts {verdicts} · objections {dict(session.objections)}")
    for stop in stops:
        console.print(f"  [red]stop[/] {escape(stop)}")
    content: dict[str, Any] = {"bag": str(options.bag), "through": deployment.name, "chunks": len(chunks)}
    content |= {"verdicts": verdicts, "objections": dict(session.objections), "stops": stops}
    if run.chunks and chunks:
        recorded = {stamp: chunk.record for stamp, chunk in run.chunks.items()}
        found = compare([chunk.record for chunk in chunks.values()], recorded, "recorded", {})
        worst = {name: found.worst(name) for name in QUANTITIES}
        content |= {"against_recorded": {"compared": len(found.differences), "identical": found.identical, **worst}}
        console.print(
            f"against what was recorded: {found.identical} of {len(found.differences)} chunks identical; other "
            f"observations may have been used: the nodes run in their own time · worst {worst}"
        )
    if options.json:
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return int(bool(stops))


def answers_of_the_live_node(
    offline: OfflineReplay, chosen: ChosenPolicy, options: argparse.Namespace, console: Console
) -> None:
    """Let the real policy node answer the bag, and put its answers in the place of the recorded ones.

    Raises:
        RecordingError: If it gave no chunk.
    """
    run = offline.run
    name = options.deployment or _deployment_like(run)
    session = _play(dry_run_deployment(run, name, chosen, options), run, console)
    run.fed, run.chunks = session.answers.fed(), session.answers.chunks
    run.instructions, run.prompts = session.instructions, session.prompts
    if not run.chunks:
        raise RecordingError(f"the live policy gave no chunk for bag {run.path}; see 'vla3d replay --through {name}'")
    offline.feed(run.fed)


def dry_run_deployment(
    run: RecordedRun, name: str, chosen: ChosenPolicy | None, options: argparse.Namespace
) -> Deployment:
    """Return a deployment of policy, adapter in dry run, and a player, made from another one.

    Raises:
        ConfigError: If the deployment has no policy or no adapter.
    """
    overrides: dict[str, dict[str, Any]] = {"adapter": {"dry_run": True}}
    if chosen is not None:
        if chosen.package is not None:
            raise ConfigError(f"the nodes take settings, not a folder: write a settings file for {chosen.package}")
        backend = str(chosen.settings.get("backend"))
        overrides["policy"] = {"backend": backend, "backend_config": str(chosen.settings_file.resolve())}
    given = load_deployment(name, config_dir(), {"adapter": {}}, is_live=False)
    lacking = [node for node in ("policy", "adapter") if node not in given.parameters]
    if lacking:
        raise ConfigError(f"deployment '{name}' has no {lacking}; choose one of {list_deployments(config_dir())}")
    parameters: dict[str, Mapping[str, Any]] = {
        node: {**given.parameters[node], **overrides.get(node, {})} for node in ("policy", "adapter")
    }
    parameters["player"] = _player(run, given, options)
    processes = tuple(ProcessSpec(name=node, nodes=(node,)) for node in ("adapter", "policy", "player"))
    return replace(given, processes=processes, parameters=parameters, use_sim_time=True)


def _player(run: RecordedRun, deployment: Deployment, options: argparse.Namespace) -> dict[str, Any]:
    layout = run.layout
    inputs = [*layout.images.values(), *layout.infos.values(), *layout.mounts.values(), *layout.depths.values()]
    inputs += [topic for topic in (layout.joint_states, layout.instruction, layout.prompt) if topic]
    feedback = {arm.feedback.topic for arm in deployment.embodiment.arms}
    inputs += [topic for topic in run.topics if topic.rpartition("/")[2] in feedback and topic not in inputs]
    unknown = sorted(set(options.topics) - set(run.topics))
    if unknown:
        raise RecordingError(f"bag {run.path} has no topics {unknown}; available: {sorted(run.topics)}")
    chosen = [topic for topic in (options.topics or inputs) if topic not in options.exclude_topics]
    remaps = _namespace_remaps(chosen, layout.joint_states, deployment.namespace) | parse_remaps(options.remap)
    overrides = options.qos_profile_overrides_path
    return {
        "bag": str(run.path.resolve()),
        "rate": options.rate,
        "start_offset": options.start_offset,
        "playback_duration": options.playback_duration,
        "loop": options.loop,
        "start_paused": options.start_paused,
        "clock": options.clock or _CLOCK_HZ,
        "max_state_lag_s": 0.0 if options.no_wait else _STATE_LAG_S,
        "max_chunk_lag_s": 0.0 if options.no_wait else _CHUNK_LAG_S,
        "topics": chosen,
        "remap": [f"{old}:={new}" for old, new in remaps.items()],
        "message_order": options.message_order,
        "qos_profile_overrides_path": "" if overrides is None else str(overrides.resolve()),
        "robot_file": str(deployment.robot_file.resolve()),
    }


def _namespace_remaps(topics: list[str], joint_states: str, namespace: str) -> dict[str, str]:
    """Bring topics from the namespace of the bag to that of the deployment."""
    before, after = joint_states.rpartition("/")[0], f"/{namespace}"
    if not joint_states or before == after:
        return {}
    return {topic: f"{after}{topic.removeprefix(before)}" for topic in topics if topic.startswith(f"{before}/")}


def _deployment_like(run: RecordedRun) -> str:
    """Return a deployment of the recorded robot and rig.

    Raises:
        ConfigError: If there is none.
    """
    told = run.session.get("deployment", {})
    for name in list_deployments(config_dir()):
        deployment = load_deployment(name, config_dir())
        if (deployment.robot_file.stem, deployment.rig_file.stem) == (told.get("robot"), told.get("rig")):
            return name
    raise ConfigError(f"bag {run.path} names no robot and rig of a deployment here; give one with --deployment")


def _play(deployment: Deployment, run: RecordedRun, console: Console) -> Any:
    with tempfile.TemporaryDirectory(prefix="vla3d_replay_") as logs:
        log_dir = Path(os.environ.get("VLA3D_REPLAY_LOGS", logs))
        with running_graph(deployment, log_dir, is_private=True) as supervisor:
            from vla3d_ros.ros.replay_session import ReplaySession  # needs rclpy, for which the environment is prepared

            cameras = {mount.optical_frame: camera for camera, mount in run.mounts.items()}
            session = ReplaySession(deployment.namespace, supervisor.dead_processes, cameras)
            try:
                with console.status("bringing the nodes up") as status:
                    session.run(deployment.node_names, lambda word, chunks: status.update(f"{word} · {chunks} chunks"))
            finally:
                session.close()
    return session
