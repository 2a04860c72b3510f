import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch.actions", reason="launch is not on the package index; it comes with an apt ROS 2")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction

PATH = Path(__file__).parents[2] / "launch" / "record.launch.py"


def launched(**arguments: str) -> list[ExecuteProcess]:
    spec = importlib.util.spec_from_file_location("record_launch", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found = []
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            found += entity.execute(context) or []
    return [action for action in found if isinstance(action, ExecuteProcess)]


def words(process: ExecuteProcess) -> str:
    return " ".join(part[0].text for part in process.cmd)


def test_launch_file_starts_one_recorder_with_what_it_is_given_and_brings_it_up():
    recorder, bring_up = launched(namespace="arm", output_dir="/somewhere", rig="tabletop_twin", jpeg_quality="90")
    line = words(recorder)
    for part in ("process recorder", "__ns:=/arm", "output_dir:=/somewhere", "jpeg_quality:=90", "gate:=true"):
        assert part in line
    assert line.count("rig_file:=") == 1
    assert line.split("rig_file:=")[1].split(" ")[0].endswith("config/cameras/tabletop_twin.yaml")
    assert "robot_file" not in line
    assert words(bring_up).endswith("bring_up /arm/recorder")
