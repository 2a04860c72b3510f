"""`vla3d bag compose`: a bag from still images at arm poses, which says that it is a composition."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from vla3d_ros.camera.board import parse_board
from vla3d_ros.deployment import load_deployment
from vla3d_ros.replay.composition import Composition, compose
from vla3d_ros.replay.posed_images import read_posed_images
from vla3d_ros.resources import config_dir

_GRACE_MS = 5000.0  # sets of stills are seconds apart: no camera is silent in between


def add_compose(what: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bag compose`."""
    verb = what.add_parser("compose", help="a bag from still images of several cameras at arm poses; time is invented")
    verb.add_argument("folder", type=Path, help="with data.json: 'intrinsics' and 'samples' (pose and images each)")
    verb.add_argument("--out", type=Path, required=True, help="the new bag")
    verb.add_argument("--deployment", required=True, help="whose robot it was, and whose bounds a replay judges by")
    verb.add_argument("--board", required=True, help="on the end effector, e.g. marker:9:39:DICT_4X4_50")
    verb.add_argument("--instruction", default="pick up the red cube and place it on the cyan pad", help="invented")
    verb.add_argument("--seed", type=int, default=0, help="of the calibration's random choices; default: 0")
    verb.set_defaults(run=_compose)


def _compose(options: argparse.Namespace, console: Console) -> int:
    deployment = load_deployment(options.deployment, config_dir())
    images = read_posed_images(options.folder)
    with console.status("estimating where the cameras stand"):
        extrinsics = images.calibrated(parse_board(options.board), np.random.default_rng(options.seed))
    nodes = deployment.parameters
    session = {
        "composition": "true: see the topic 'notice'",
        "deployment": {
            "description": f"composed from {options.folder.name}",
            "robot": deployment.robot_file.stem,
            "rig": deployment.rig_file.stem,
        },
        "nodes": {
            "camera": {"grace_ms": _GRACE_MS},
            "policy": {"grace_ms": _GRACE_MS},
            "adapter": {"execution": nodes.get("adapter", {}).get("execution", {})},
        },
    }
    summary, left_out = compose(
        options.out,
        Composition(
            images=images,
            extrinsics=extrinsics,
            embodiment=deployment.embodiment,
            instruction=options.instruction,
            session=session,
        ),
    )
    for camera, found in extrinsics.cameras.items():
        held_out = found.held_out
        console.print(
            f"  {escape(camera)}: {found.T_base_camera.translation.round(4).tolist()} m, held out "
            f"{held_out.rms:.2f} px, {held_out.rms_mm:.2f} mm, {found.views_used}/{found.views} views"
        )
    if left_out:
        console.print(f"  [yellow]left out[/] poses {left_out}: out of reach for '{deployment.robot_file.stem}'")
    console.print(escape(summary.line()), soft_wrap=True)
    console.print("[bold]a composition[/]: pixels and poses are real, times, joints and instruction are invented")
    return 0
