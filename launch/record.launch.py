"""Record a graph that is up: `ros2 launch vla3d_ros record.launch.py namespace:=fr3 output_dir:=~/episodes`.

Wiring only: one recorder, brought to active. For a deployment whose recorder is up already, `vla3d record --attach`.
"""

import os
import sys

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration

from vla3d_ros.resources import config_dir
from vla3d_ros.ros.environment import ros_environment

_FILES = {"rig": ("rig_file", "cameras"), "robot": ("robot_file", "robots")}


def _start(context: LaunchContext) -> list:
    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    settings = {name: given(name) for name in ("output_dir", "jpeg_quality", "gate", "operator", "use_sim_time")}
    for name, (parameter, folder) in _FILES.items():
        if given(name):
            settings[parameter] = str(config_dir() / folder / f"{given(name)}.yaml")
    parameters = [part for name, value in settings.items() if value for part in ("-p", f"{name}:={value}")]
    arguments = ["recorder", "--ros-args", "-r", f"__ns:=/{given('namespace')}", *parameters]
    node_name = f"/{given('namespace')}/recorder"
    recorder = ExecuteProcess(
        cmd=[sys.executable, "-m", "vla3d_ros.ros.process", *arguments], name="recorder", output="screen"
    )
    bring_up = ExecuteProcess(
        cmd=[sys.executable, "-m", "vla3d_ros.ros.bring_up", node_name], name="bring_up", output="screen"
    )

    def on_bring_up_exit(event, _context: LaunchContext) -> list:
        return [] if event.returncode == 0 else [EmitEvent(event=Shutdown(reason="the recorder refused, see above"))]

    environment = [SetEnvironmentVariable(name, value) for name, value in ros_environment(os.environ).items()]
    handler = RegisterEventHandler(OnProcessExit(target_action=bring_up, on_exit=on_bring_up_exit))
    return [*environment, recorder, handler, bring_up]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the recorder."""
    arguments = {
        "namespace": (None, "Namespace of the graph"),
        "output_dir": ("episodes", "Folder in which episodes are numbered"),
        "rig": ("", "Name in config/cameras that the health gate expects; any cameras if empty"),
        "robot": ("", "Name in config/robots that the health gate expects; any joints if empty"),
        "gate": ("true", "Refuse to start while the health gate finds problems"),
        "jpeg_quality": ("0", "JPEG quality of colour images; 0 records them raw"),
        "operator": ("", "Who records"),
        "use_sim_time": ("false", "true where a simulation publishes /clock"),
    }
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in arguments.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
