"""Layouts for Foxglove and RViz name the deployment's own topics, whatever robot it has."""

import json
import re

import pytest
import yaml

from vla3d_ros.commands.console_viewers import viewed_of, write_viewers
from vla3d_ros.console.viewers import foxglove_layout, rviz_config
from vla3d_ros.deployment import list_deployments, load_deployment
from vla3d_ros.resources import config_dir

SHIPPED = "fr3_tabletop_twin"


def panels_of(layout):
    return {layout} if isinstance(layout, str) else panels_of(layout["first"]) | panels_of(layout["second"])


@pytest.mark.parametrize("name", list_deployments(config_dir()))
def test_every_camera_arm_and_joint_of_a_deployment_is_shown(name):
    viewed = viewed_of(load_deployment(name, config_dir()))
    layout = foxglove_layout(viewed)
    assert panels_of(layout["layout"]) == set(layout["configById"])
    text, rviz = json.dumps(layout), json.dumps(rviz_config(viewed))
    for camera in viewed.cameras:
        assert viewed.topic(f"camera/{camera}/image_raw") in text and viewed.topic(f"camera/{camera}/image_raw") in rviz
    for arm in viewed.arms:
        assert viewed.topic(f"adapter/planned_path/{arm}") in text
        assert viewed.topic(f"adapter/planned_path/{arm}") in rviz
    assert len(layout["configById"]["Plot!velocity"]["paths"]) == len(viewed.joints)


def test_layouts_name_only_topics_and_services_that_are_listed():
    viewed = viewed_of(load_deployment(SHIPPED, config_dir()))
    services = {viewed.topic("adapter/stop"), viewed.topic("adapter/reset")}
    own = re.compile(rf"/{viewed.namespace}/[a-z0-9_/]+")
    named = set(own.findall(json.dumps(foxglove_layout(viewed)) + json.dumps(rviz_config(viewed))))
    assert named <= set(viewed.topics()) | services | {viewed.topic("robot_description")}
    assert viewed.topic("policy/spatial") in named


def test_the_shipped_layouts_are_what_the_command_writes(tmp_path, capsys):
    from rich.console import Console

    assert write_viewers(SHIPPED, tmp_path, Console()) == 0
    shipped = config_dir() / "foxglove" / f"{SHIPPED}.json", config_dir() / "rviz" / f"{SHIPPED}.rviz"
    assert json.loads(shipped[0].read_text()) == json.loads((tmp_path / f"{SHIPPED}.json").read_text())
    assert yaml.safe_load(shipped[1].read_text()) == yaml.safe_load((tmp_path / f"{SHIPPED}.rviz").read_text())
