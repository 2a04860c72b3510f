"""`vla3d check rig`: before anything moves, is every camera where its rig file says?"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from vla3d_ros.camera.outline_fit import RobotFrame
from vla3d_ros.camera.rig import CameraRig, load_rig
from vla3d_ros.camera.rig_check import CameraCheck, CameraEvidence, RigCheckLimits, Status, check_camera
from vla3d_ros.camera.rig_picture import draw_check
from vla3d_ros.camera.robot_shape import RobotShape, load_shapes
from vla3d_ros.deployment import Deployment, load_deployment
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.protocol import load_protocol
from vla3d_ros.geometry import Transform, exp_se3
from vla3d_ros.resources import config_dir

_COLOURS = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "red"}
_DISCOVERIES_S = (1.5, 4.0)  # a busy machine answers late, and a twin of our own is no substitute for the real graph
_TWIST = ("x", "y", "z", "rx", "ry", "rz")


def check_rig(options: argparse.Namespace, console: Console) -> int:
    """Check the running graph of the deployment; if none runs and it is a twin, a twin of our own.

    Returns:
        1 if a check failed, else 0.
    """
    deployment = load_deployment(options.deployment or load_protocol("demo", config_dir()).deployment, config_dir())
    rig = load_rig(deployment.rig_file)
    given = {"error_px": options.limit_px, "age_days": options.age_days}
    limits = replace(RigCheckLimits(), **{key: value for key, value in given.items() if value is not None})
    shapes = load_shapes(deployment.embodiment.urdf_path)
    today = datetime.now().astimezone().date()
    if options.watch:
        return _watch(options, deployment, rig, shapes, limits, console)
    evidence = _evidence(options, deployment, rig, console)
    checks = run_checks(rig, evidence, shapes, today, limits)
    for check in checks:
        _print(check, console)
    folder: Path | None = options.report
    if folder:
        axes = [arm.base_frame for arm in deployment.embodiment.arms]
        axes += [arm.ee_frame for arm in deployment.embodiment.arms]
        write_pictures(folder, rig, evidence, shapes, checks, axes)
        write_json(folder / "rig_check.json", deployment.name, checks)
        console.print(f"pictures and figures: {folder}")
    if options.json:
        write_json(options.json, deployment.name, checks)
    return int(any(check.status is Status.FAIL for check in checks))


def run_checks(
    rig: CameraRig,
    evidence: Mapping[str, CameraEvidence],
    shapes: tuple[RobotShape, ...],
    today: date,
    limits: RigCheckLimits,
) -> list[CameraCheck]:
    """Check every camera of the rig."""
    return [
        check_camera(spec, evidence[spec.name], shapes, expected_rate_hz=rig.rate_hz, today=today, limits=limits)
        for spec in rig.cameras
    ]


def write_pictures(
    folder: Path,
    rig: CameraRig,
    evidence: Mapping[str, CameraEvidence],
    shapes: tuple[RobotShape, ...],
    checks: list[CameraCheck],
    axes: list[str],
) -> None:
    """Write `<camera>.png` for every camera with an image: the one with most of the robot in it."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for spec, check in zip(rig.cameras, checks, strict=True):
        frames = evidence[spec.name].frames
        if frames:
            frame = max(frames, key=lambda frame: _visible_links(frame, spec.mount.T_parent_camera, spec.model))
            picture = draw_check(frame, shapes, spec.model, spec.mount.T_parent_camera, check, axes)
            Image.fromarray(picture).save(folder / f"{spec.name}.png")


def write_json(path: Path, deployment: str, checks: list[CameraCheck]) -> None:
    """Write the findings, NaN as null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "deployment": deployment,
        "status": max((check.status for check in checks), key=list(Status).index).value,
        "cameras": {check.camera: _to_json(check) for check in checks},
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _visible_links(frame: RobotFrame, T_parent_camera: Transform, model: Any) -> int:
    from vla3d_ros.geometry import project

    points = np.array([T.translation for T in frame.Ts_base_link.values()])
    pixels = project((frame.T_base_parent @ T_parent_camera).inverse().apply(points), model.K, model.distortion)
    return int(((pixels > 0) & (pixels < [model.width_px, model.height_px])).all(axis=1).sum())


def _to_json(check: CameraCheck) -> dict[str, Any]:
    findings = [asdict(finding) | {"status": finding.status.value} for finding in check.findings]
    content: dict[str, Any] = {"status": check.status.value, "findings": findings}
    fit = check.fit
    if fit is not None:
        figures = {
            "error_px": fit.error_px,
            "residual_px": fit.residual_px,
            "support": fit.support,
            "shift_mm": 1e3 * fit.shift_m,
            "turn_deg": math.degrees(fit.turn_rad),
            "significance": fit.significance,
            "sigma_mm": 1e3 * fit.sigma_m,
            "sigma_deg": math.degrees(fit.sigma_rad),
        }
        content["outline"] = {key: None if math.isnan(value) else round(value, 4) for key, value in figures.items()}
        content["outline"]["samples"] = fit.samples
    return content


def _print(check: CameraCheck, console: Console) -> None:
    console.print(f"[bold]{check.camera}[/] [{_COLOURS[check.status]}]{check.status.value}[/]")
    for finding in check.findings:
        colour = _COLOURS[finding.status]
        console.print(f"  [{colour}]{finding.status.value:4}[/] {finding.check}: {escape(finding.message)}")


def _evidence(
    options: argparse.Namespace, deployment: Deployment, rig: CameraRig, console: Console
) -> dict[str, CameraEvidence]:
    if not options.nudge and _is_running(deployment):
        from vla3d_ros.ros.rig_frames import collect_evidence

        console.print(f"listening to the running graph of {deployment.name} for {options.seconds:g} s")
        return collect_evidence(deployment.namespace, deployment.embodiment, rig, options.seconds)
    if "twin" not in deployment.parameters:
        raise ConfigError(
            f"no camera node of deployment '{deployment.name}' runs in ROS domain "
            f"{os.environ.get('ROS_DOMAIN_ID', '0')}; bring it up first: vla3d up {deployment.name}"
        )
    from vla3d_ros.commands.twin_frames import nudged, twin_frames

    console.print(f"{deployment.name} does not run: checking a twin of its own, {options.poses} arm poses")
    moved = nudged(rig, *_parse_nudge(options.nudge)) if options.nudge else rig
    frames = twin_frames(deployment.embodiment, moved, deployment.parameters, poses=options.poses, seed=options.seed)
    return {name: CameraEvidence(frames=taken, rate_hz=None, reported=None) for name, taken in frames.items()}


def _watch(
    options: argparse.Namespace,
    deployment: Deployment,
    rig: CameraRig,
    shapes: tuple[RobotShape, ...],
    limits: RigCheckLimits,
    console: Console,
) -> int:
    """Check the running graph again and again; an alarm is a red line with the time.

    Returns:
        After Ctrl-C, 1 if there was an alarm.
    """
    if not _is_running(deployment):
        raise ConfigError(f"nothing to watch: bring the deployment up first: vla3d up {deployment.name}")
    from vla3d_ros.ros.rig_frames import collect_evidence

    alarms = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            evidence = collect_evidence(deployment.namespace, deployment.embodiment, rig, options.seconds)
            now = datetime.now().astimezone()
            checks = run_checks(rig, evidence, shapes, now.date(), limits)
            states = ", ".join(f"{check.camera} [{_COLOURS[check.status]}]{check.status.value}[/]" for check in checks)
            console.print(f"{now:%H:%M:%S} {states}")
            for check in checks:
                failed = [finding for finding in check.findings if finding.status is Status.FAIL]
                alarms += len(failed)
                for finding in failed:
                    console.print(f"  [red]ALARM[/] {check.camera}, {finding.check}: {escape(finding.message)}")
    return int(alarms > 0)


def _is_running(deployment: Deployment) -> bool:
    try:
        from vla3d_ros.ros.environment import prepare_environment

        prepare_environment()
        from vla3d_ros.ros.graph import running_nodes
    except ImportError:  # no ROS here: only a twin of our own can be checked
        return False
    camera = f"/{deployment.namespace}/camera"
    return any(camera in running_nodes(wait_s) for wait_s in _DISCOVERIES_S)


def _parse_nudge(text: str) -> tuple[str, Transform]:
    camera, _, moves = text.partition(":")
    twist = np.zeros(len(_TWIST))
    for move in moves.split(","):
        axis, _, value = move.partition("=")
        try:
            twist[_TWIST.index(axis)] = float(value) * (1e-3 if len(axis) == 1 else math.radians(1.0))
        except ValueError as error:
            raise ConfigError(
                f"--nudge is '{text}'; expected CAMERA:AXIS=VALUE,... with axes {list(_TWIST)} in mm and degrees"
            ) from error
    return camera, Transform(exp_se3(twist))
