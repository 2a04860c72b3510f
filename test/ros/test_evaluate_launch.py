"""`ros2 launch vla3d_ros evaluate.launch.py`: what it starts, and that the trials come to their end.

launch is not on the package index (what is there under this name is something else); it comes with an apt ROS 2, or
from its public sources.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("launch.launch_service", reason="launch comes with an apt ROS 2; run this where one is sourced")

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import ExecuteProcess, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions

from vla3d_ros.evaluation.study_run import read_run
from vla3d_ros.resources import config_dir, share_dir

pytestmark = pytest.mark.ros

LAUNCH_FILE = share_dir() / "launch" / "evaluate.launch.py"


def command(**arguments: str) -> list[str]:
    """Return the command that is started for some arguments, after `vla3d`."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    source = PythonLaunchDescriptionSource(str(LAUNCH_FILE))
    pending, found = [source.get_launch_description(context)], []
    while pending:
        entity = pending.pop(0)
        if isinstance(entity, ExecuteProcess):
            found.append([perform_substitutions(context, word) for word in entity.cmd])
        pending += entity.visit(context) or [] if not isinstance(entity, ExecuteProcess) else []
    (words,) = found
    assert words[:3] == [sys.executable, "-m", "vla3d_ros.cli"]
    return words[3:]


def test_it_asks_for_unattended_trials_in_the_twin_unless_told_otherwise():
    words = command(protocol="tabletop_twin_smoke", policies="scripted,slow")
    assert words == [
        "evaluate",
        "tabletop_twin_smoke",
        "--seed",
        "0",
        "--policies",
        "scripted,slow",
        "--twin",
    ]


def test_every_argument_reaches_the_command_line(tmp_path):
    words = command(protocol="p", policies="a", seed="7", out=str(tmp_path), twin="false", fast="true", resume="true")
    assert words == [
        "evaluate", "p", "--seed", "7", "--policies", "a", "--out", str(tmp_path), "--fast", "--resume",
    ]  # fmt: skip


@pytest.mark.slow
def test_launched_trials_run_to_their_report_and_launch_ends_by_itself(tmp_path):
    protocol = tmp_path / "two_trials.yaml"
    text = (config_dir() / "trials" / "tabletop_twin_smoke.yaml").read_text(encoding="utf-8")
    text = text.replace("names: [red, yellow]", "names: [red]")
    protocol.write_text(text.replace("  - {category: cold colours, names: [green, blue]}\n", ""), encoding="utf-8")
    out: Path = tmp_path / "run"
    arguments = {
        "protocol": str(protocol), "policies": "scripted,slow", "seed": "5", "out": str(out), "twin": "false",
        "fast": "true",
    }  # fmt: skip
    source = PythonLaunchDescriptionSource(str(LAUNCH_FILE))
    included = IncludeLaunchDescription(source, launch_arguments=arguments.items())
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription([included]))
    assert service.run() == 0
    data = read_run(out)
    assert sorted(data.valid) == [1, 2] and data.mode == "fast"
    assert (out / "report.html").exists() and (out / "results.json").exists()
