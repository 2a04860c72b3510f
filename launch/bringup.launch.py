"""Start a deployment: `ros2 launch vla3d_ros bringup.launch.py deployment:=fr3_tabletop_twin`.

Wiring only. What runs, with which parameters, comes from `vla3d_ros/deployment.py`, as for `vla3d up`.
"""

import os
import sys
import tempfile
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration

from vla3d_ros.deployment import load_deployment
from vla3d_ros.resources import config_dir
from vla3d_ros.ros.environment import ros_environment


def _start(context: LaunchContext) -> list:
    is_live = LaunchConfiguration("live").perform(context).lower() == "true"
    deployment = load_deployment(LaunchConfiguration("deployment").perform(context), config_dir(), is_live=is_live)
    parameter_file = Path(tempfile.mkdtemp(prefix="vla3d_")) / "parameters.yaml"
    parameter_file.write_text(deployment.parameter_file_text(), encoding="utf-8")
    environment = [SetEnvironmentVariable(name, value) for name, value in ros_environment(os.environ).items()]
    processes = [
        ExecuteProcess(cmd=deployment.process_command(process, parameter_file), name=process.name, output="screen")
        for process in deployment.processes
    ]
    bring_up = ExecuteProcess(
        cmd=[sys.executable, "-m", "vla3d_ros.ros.bring_up", *deployment.node_names], name="bring_up", output="screen"
    )

    def on_bring_up_exit(event, _context: LaunchContext) -> list:
        if event.returncode == 0:
            return [LogInfo(msg=f"deployment '{deployment.name}' is up")]
        return [EmitEvent(event=Shutdown(reason="bring-up failed: a node refused, see above"))]

    handler = RegisterEventHandler(OnProcessExit(target_action=bring_up, on_exit=on_bring_up_exit))
    return [*environment, *processes, handler, bring_up]


def generate_launch_description() -> LaunchDescription:
    """Declare the one argument and start what the deployment names."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("deployment", description="Name in config/deployments, or the path of a YAML file"),
            DeclareLaunchArgument("live", default_value="false", description="true lets a robot of metal move"),
            OpaqueFunction(function=_start),
        ]
    )
