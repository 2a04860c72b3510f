"""Play a bag as topics: `ros2 launch vla3d_ros replay.launch.py bag:=episode_0001 namespace:=fr3 clock:=200`.

Wiring only: one `player` process, brought up; beside it, start whatever listens, with `use_sim_time`. To play a bag
into policy and adapter in dry run, and to compare, use `vla3d replay BAG --through DEPLOYMENT`.
"""

import os
import sys
import tempfile
from pathlib import Path

import yaml
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

from vla3d_ros.ros.environment import ros_environment

NUMBERS = {"rate": "1.0", "start_offset": "0.0", "playback_duration": "-1.0", "clock": "0.0"}
SWITCHES = ("loop", "start_paused")
LISTS = ("topics", "exclude_topics", "remap")
TEXTS = ("qos_profile_overrides_path", "robot_file", "message_order")


def _parameters(context: LaunchContext) -> dict:
    given = {name: LaunchConfiguration(name).perform(context) for name in (*NUMBERS, *SWITCHES, *LISTS, *TEXTS)}
    parameters = {"bag": str(Path(LaunchConfiguration("bag").perform(context)).resolve())}
    parameters |= {name: float(given[name]) for name in NUMBERS}
    parameters |= {name: given[name].lower() == "true" for name in SWITCHES}
    parameters |= {name: given[name].split() for name in LISTS if given[name]}
    return parameters | {name: given[name] for name in TEXTS if given[name]}


def _start(context: LaunchContext) -> list:
    namespace = LaunchConfiguration("namespace").perform(context).strip("/")
    node = f"/{namespace}/player" if namespace else "/player"
    tree = {node: {"ros__parameters": {"use_sim_time": False, **_parameters(context)}}}
    file = Path(tempfile.mkdtemp(prefix="vla3d_")) / "parameters.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    environment = [SetEnvironmentVariable(name, value) for name, value in ros_environment(os.environ).items()]
    remap = ["-r", f"__ns:=/{namespace}"] if namespace else []
    process = [
        sys.executable,
        "-m",
        "vla3d_ros.ros.process",
        "player",
        "--ros-args",
        *remap,
        "--params-file",
        str(file),
    ]
    player = ExecuteProcess(cmd=process, name="player", output="screen")
    bring_up = ExecuteProcess(cmd=[sys.executable, "-m", "vla3d_ros.ros.bring_up", node], output="screen")

    def on_bring_up_exit(event, _context: LaunchContext) -> list:
        if event.returncode == 0:
            return [LogInfo(msg="the bag is playing")]
        return [EmitEvent(event=Shutdown(reason="the bag is refused, see above"))]

    handler = RegisterEventHandler(OnProcessExit(target_action=bring_up, on_exit=on_bring_up_exit))
    return [*environment, player, handler, bring_up]


def generate_launch_description() -> LaunchDescription:
    """Declare the words of `ros2 bag play` and start the player."""
    texts = dict.fromkeys((*LISTS, *TEXTS), "") | {"message_order": "received"} | dict.fromkeys(SWITCHES, "false")
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="Folder of a rosbag2, or a storage file"),
            DeclareLaunchArgument("namespace", default_value="", description="Of the player's own services"),
            *(DeclareLaunchArgument(name, default_value=value) for name, value in {**NUMBERS, **texts}.items()),
            OpaqueFunction(function=_start),
        ]
    )
