"""`vla3d retarget`: recorded demonstrations of a real arm, as chunks, through adapter and safety into the twin."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vla3d_ros.camera.rig import load_rig
from vla3d_ros.deployment import load_deployment
from vla3d_ros.errors import ConfigError, RecordingError, join_problems
from vla3d_ros.evaluation.protocol import load_protocol
from vla3d_ros.execution import ExecutionConfig
from vla3d_ros.replay.retarget import RetargetSetup
from vla3d_ros.replay.retarget import retarget as retarget_files
from vla3d_ros.resources import config_dir
from vla3d_ros.twin.scene import load_scene


def retarget(options: argparse.Namespace, run_dir: Path, console: Console) -> int:
    """Drive the twin with every file and print what was found and how well the motion came back.

    Returns:
        0 if every motion came back within the goal, else 1.
    """
    missing = [f"{path} does not exist" for path in options.files if not path.is_file()]
    if missing:
        raise RecordingError(join_problems("demonstrations", missing))
    name = options.deployment or load_protocol("demo", config_dir()).deployment
    deployment = load_deployment(name, config_dir())
    if "twin" not in deployment.parameters:
        raise ConfigError(f"deployment '{deployment.name}' has no twin; retargeting needs one")
    setup = RetargetSetup(
        embodiment=deployment.embodiment,
        rig=load_rig(deployment.rig_file),
        scene=load_scene(Path(deployment.parameters["twin"]["scene_file"])),
        execution=ExecutionConfig.from_mapping(deployment.parameters["adapter"]["execution"]),
    )
    with console.status("driving the twin"):
        report = retarget_files(options.files, setup, run_dir)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    console.print(escape(report.summary()))
    console.print(f"plots and figures: {run_dir}")
    return 0 if report.is_within_goal else 1
