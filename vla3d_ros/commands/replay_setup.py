"""From the words of `vla3d replay` to policy, robot, rig and bounds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.camera.rig import CameraRig, load_rig
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.replay.recorded_run import RecordedRun, read_run
from vla3d_ros.replay.replay_setup import ReplaySetup, calibration, require_replayable
from vla3d_ros.resources import config_dir


def recorded_run(options: argparse.Namespace) -> RecordedRun:
    """Read the bag, and apply what the command line says instead: views dropped or renamed, another instruction.

    Raises:
        RecordingError: If the bag can not be read.
        ConfigError: If a camera is not in the bag.
    """
    run = read_run(options.bag, options.joint_states)
    views = dict(one.partition("=")[::2] for one in options.view)
    unknown = sorted({*options.drop_view, *views.values()} - set(run.layout.images))
    if unknown:
        raise ConfigError(f"--drop-view, --view: cameras {unknown}; the bag has the views {sorted(run.layout.images)}")
    names = {camera: name for name, camera in views.items()}
    layout = run.layout
    images, infos, mounts, depths = (
        {names.get(camera, camera): topic for camera, topic in topics.items() if camera not in options.drop_view}
        for topics in (layout.images, layout.infos, layout.mounts, layout.depths)
    )
    changed = replace(
        run,
        layout=replace(layout, images=images, infos=infos, mounts=mounts, depths=depths),
        models={names.get(camera, camera): model for camera, model in run.models.items()},
        mounts={
            names.get(camera, camera): replace(mount, camera=names.get(camera, camera))
            for camera, mount in run.mounts.items()
        },
    )
    if options.instruction is not None:
        changed.instructions = [(0, options.instruction)]
    return changed


def recorded_policy(run: RecordedRun) -> str:
    """Return the name of the policy that the recording's session names, "" if it names none."""
    policy = _section(run.session, "nodes", "policy")
    given = str(policy.get("backend_config", ""))
    return given if Path(given).exists() else Path(given).stem


def setup_for(run: RecordedRun, options: argparse.Namespace, cameras: Sequence[str]) -> ReplaySetup:
    """Return what the bag is replayed with, after checking that it can be.

    The robot, the rig and the bounds are those the recording's session names; a deployment given on the command line
    takes their place, a rig given there takes the place of the recorded calibration.

    Raises:
        RecordingError: If the bag holds too little; lists every reason.
        ConfigError: If a name is unknown.
    """
    found = _deployment_of(run, options.deployment)
    if found is None:
        require_replayable(run, None, cameras)
        raise AssertionError("a bag of an unknown robot is refused")
    embodiment, execution, rig = found
    replaced = load_rig(_rig_file(options.rig)) if options.rig else None
    has_recorded = any(camera in run.models for camera in cameras)
    models, mounts = calibration(run, replaced or (None if has_recorded else rig), cameras)
    setup = ReplaySetup(
        embodiment=embodiment,
        execution=execution,
        models=models,
        mounts=mounts,
        anchor=rig.anchor,
        max_skew_ns=int(rig.max_skew_ms * 1e6),
        is_calibration_recorded=replaced is None and has_recorded,
        latency_ns=int(options.latency_ms * 1e6),
        **_patience(run),
    )
    if options.drop_view:
        present = sum(camera in run.layout.images for camera in cameras)
        setup = replace(setup, min_views=max(1, min(setup.min_views, present)))
    require_replayable(run, setup, cameras)
    return setup


def _patience(run: RecordedRun) -> dict[str, int]:
    """Return how long the recorded camera and policy nodes waited for late images, where the session tells."""
    camera, policy = _section(run.session, "nodes", "camera"), _section(run.session, "nodes", "policy")
    found = {"set_grace_ns": camera.get("grace_ms"), "grace_ns": policy.get("grace_ms")}
    patience = {name: int(float(value) * 1e6) for name, value in found.items() if value is not None}
    return patience | ({"min_views": int(policy["min_views"])} if "min_views" in policy else {})


def _deployment_of(run: RecordedRun, name: str | None) -> tuple[Embodiment, ExecutionConfig, CameraRig] | None:
    if name is not None:
        deployment = load_deployment(name, config_dir())
        execution = deployment.parameters.get("adapter", {}).get("execution")
        if execution is None:
            raise ConfigError(f"deployment '{name}' has no adapter with bounds; choose one that has")
        return deployment.embodiment, ExecutionConfig.from_mapping(execution), load_rig(deployment.rig_file)
    told = _section(run.session, "deployment")
    execution = _section(run.session, "nodes", "adapter").get("execution")
    if not {"robot", "rig"} <= set(told) or not isinstance(execution, Mapping):
        return None
    robot_file = config_dir() / "robots" / f"{told['robot']}.yaml"
    return load_embodiment(robot_file), ExecutionConfig.from_mapping(execution), load_rig(_rig_file(told["rig"]))


def _rig_file(text: str) -> Path:
    path = Path(text)
    return path if path.suffix in (".yaml", ".yml") else config_dir() / "cameras" / f"{text}.yaml"


def _section(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a nested mapping, empty where it is absent."""
    found: Any = content
    for key in keys:
        found = found.get(key, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}
