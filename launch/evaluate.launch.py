"""Trials: `ros2 launch vla3d_ros evaluate.launch.py protocol:=tabletop_twin_smoke policies:=scripted,slow`.

Wiring only: `vla3d evaluate` starts the graph, swaps policies and writes journal and report. Launch hands no keyboard
to its processes, so trials that a person judges are run with `vla3d evaluate` itself.
"""

import os
import sys

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration

from vla3d_ros.ros.environment import ros_environment


def _start(context: LaunchContext) -> list:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    command = [sys.executable, "-m", "vla3d_ros.cli", "evaluate", given("protocol"), "--seed", given("seed")]
    command += [word for name in ("policies", "out") if given(name) for word in (f"--{name}", given(name))]
    command += [f"--{name}" for name in ("twin", "fast", "resume") if given(name).lower() == "true"]
    environment = [SetEnvironmentVariable(name, value) for name, value in ros_environment(os.environ).items()]
    ended = [EmitEvent(event=Shutdown(reason="the trials have ended"))]
    return [*environment, ExecuteProcess(cmd=command, name="evaluate", output="screen", on_exit=ended)]


def generate_launch_description() -> LaunchDescription:
    """Declare what `vla3d evaluate` is told and start it."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("protocol", description="Name in config/trials, or the path of a YAML file"),
            DeclareLaunchArgument("policies", default_value="", description="Names, separated by commas"),
            DeclareLaunchArgument("seed", default_value="0", description="Of plan, scenes and blinding"),
            DeclareLaunchArgument("out", default_value="", description="Folder of the run; default: runs/<time>"),
            DeclareLaunchArgument("twin", default_value="true", description="Unattended, judged by the twin's truth"),
            DeclareLaunchArgument("fast", default_value="false", description="In one process, without ROS, as well"),
            DeclareLaunchArgument("resume", default_value="false", description="Go on with the run in 'out'"),
            OpaqueFunction(function=_start),
        ]
    )
