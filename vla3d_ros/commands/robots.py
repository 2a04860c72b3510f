"""`vla3d robots`: the robots that ship or were added; `vla3d robots new my.urdf` drafts the file of another one."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla3d_ros.errors import ConfigError
from vla3d_ros.resources import config_dir

if TYPE_CHECKING:
    from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `robots` and `robots new`."""
    robots = verbs.add_parser("robots", help="list the robots, or draft the file of a new one from its URDF")
    robots.set_defaults(run=list_robots)
    what = robots.add_subparsers(metavar="WHAT")
    new = what.add_parser("new", help="draft config/robots/<name>.yaml for any URDF")
    new.add_argument("urdf", type=Path, help="the robot's URDF, xacro already expanded")
    new.add_argument("--name", default=None, help="default: the robot's name in the URDF")
    new.add_argument("--config", type=Path, default=None, metavar="DIR", help="default: this package's config")
    new.set_defaults(run=new_robot)


def list_robots(options: argparse.Namespace, console: Console) -> int:
    """Print one line per arm; a file that can not be loaded is a red line, and the exit code 1."""
    from vla3d_ros.adapter.embodiment import load_embodiment

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("robot", "arm", "DoF", "gripper", "command", "feedback", "limits"):
        table.add_column(heading, overflow="fold")
    broken: list[str] = []
    for path in sorted((config_dir() / "robots").glob("*.yaml")):
        try:
            _add_rows(table, load_embodiment(path))
        except ConfigError as error:
            broken.append(str(error))
    console.print(table)
    console.print("DoF counts the gripper as one")
    for message in broken:
        console.print(f"[red]{escape(message)}[/]")
    return 1 if broken else 0


def _add_rows(table: Table, robot: Embodiment) -> None:
    for index, arm in enumerate(robot.arms):
        is_first = index == 0
        table.add_row(
            robot.name if is_first else "",
            arm.name,
            f"{len(arm.joint_names)} + {1 if arm.gripper else 0}",
            f"{1e3 * arm.gripper.stroke_m:.0f} mm, {arm.gripper.command.kind}" if arm.gripper else "none",
            f"{arm.command.kind}\n{arm.command.topic}",
            _feedback(arm),
            robot.limits_source if is_first else "",
        )


def _feedback(arm: ArmSpec) -> str:
    topics = (arm.feedback.topic, arm.feedback.gripper_topic if arm.gripper else arm.feedback.topic)
    return ", ".join(dict.fromkeys(topics))


def new_robot(options: argparse.Namespace, console: Console) -> int:
    """Write the draft, copy the URDF beside the others, and say what is left to do."""
    from vla3d_ros.adapter.scaffold import scaffold_robot
    from vla3d_ros.adapter.urdf_survey import survey_urdf

    survey = survey_urdf(options.urdf)
    config = options.config or config_dir()
    name = options.name or survey.name
    robot_file, urdf_file = config / "robots" / f"{name}.yaml", config.parent / "urdf" / f"{name}.urdf"
    source = options.urdf.resolve()
    taken = [str(path) for path in (robot_file, urdf_file) if path.exists() and path.resolve() != source]
    if taken:
        raise ConfigError(f"{taken} exist already; choose another name with --name, or remove them")
    scaffold = scaffold_robot(survey, name=name, urdf_name=urdf_file.name)
    for path in (robot_file, urdf_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    if urdf_file.resolve() != source:
        shutil.copyfile(options.urdf, urdf_file)
    robot_file.write_text(scaffold.yaml, encoding="utf-8")
    console.print(f"wrote {robot_file} and {urdf_file}; not inferred, or worth a look:")
    for note in scaffold.notes:
        console.print(f"  - {escape(note)}", soft_wrap=True)
    console.print("`vla3d robots` names every value that is still blank")
    return 0
