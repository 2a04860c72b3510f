"""Layouts for Foxglove and RViz name the deployment's own topics, whatever robot it has."""

import json
import re

import pytest
import yaml

from vla3d_ros.adapter.interfaces.feedback import FeedbackNames
from vla3d_ros.adapter.interfaces.state_merge import merged_joints
from vla3d_ros.commands.console_viewers import viewed_of, write_viewers
from vla3d_ros.console.viewers import foxglove_layout, rviz_config
from vla3d_ros.datatypes import RobotState
from vla3d_ros.deployment import list_deployments, load_deployment
from vla3d_ros.geometry import Transform
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
    own = re.compile(rf"/{viewed.namespace}/[a-z0-9_/]+")
    named = set(own.findall(json.dumps(foxglove_layout(viewed)) + json.dumps(rviz_config(viewed))))
    assert named <= set(viewed.topics()) | set(viewed.services()) | {viewed.topic("robot_description")}
    assert {viewed.topic("policy/spatial"), viewed.topic("adapter/stop")} <= named


@pytest.mark.parametrize("name", list_deployments(config_dir()))
def test_a_plot_counts_joints_as_the_graph_publishes_them_grippers_between_arms_included(name):
    deployment = load_deployment(name, config_dir())
    arms, viewed = deployment.embodiment.arms, viewed_of(deployment)
    if FeedbackNames(arms).needs_merging:
        states = [
            RobotState(
                arm=arm.name, stamp_ns=0, joint_names=arm.joint_names, q=arm.q_home, dq=0 * arm.q_home,
                T_base_ee=Transform.identity(), gripper_opening=0.0,
            )
            for arm in arms
        ]  # fmt: skip
        assert viewed.state_joints == merged_joints(arms, states)[0]
    for path in foxglove_layout(viewed)["configById"]["Plot!velocity"]["paths"]:
        index = int(re.search(r"velocity\[(\d+)\]$", path["value"])[1])
        assert viewed.state_joints[index] == path["label"]


# ------------------------------------------------------------- what the programs know, from their sources
# Foxglove: the types of its panels' settings, as the open Lichtblick (a fork of Foxglove Studio) has them in
# packages/suite-base/src/panels. RViz: the names of displays' properties, rviz_default_plugins of ROS 2.

PANELS = {
    "3D": {"cameraState", "followTf", "followMode", "scene", "publish", "transforms", "topics", "layers"},
    "Image": {"cameraState", "followTf", "followMode", "scene", "transforms", "topics", "layers", "imageMode"},
    "CallService": {"serviceName", "requestPayload", "layout", "buttonText", "buttonTooltip", "buttonColor"},
    "RawMessages": {
        "topicPath", "diffEnabled", "diffMethod", "diffTopicPath", "showFullMessageForDiff", "fontSize", "expansion",
    },
    "DiagnosticSummary": {
        "minLevel", "pinnedIds", "topicToRender", "hardwareIdFilter", "sortByLevel", "secondsUntilStale",
    },
    "Plot": {
        "paths", "minXValue", "maxXValue", "minYValue", "maxYValue", "showLegend", "legendDisplay",
        "showPlotValuesInLegend", "showXAxisLabels", "showYAxisLabels", "isSynced", "xAxisVal", "xAxisPath",
        "xAxisLabel", "yAxisLabel", "followingViewWidth", "sidebarDimension", "foxglovePanelTitle",
    },
}  # fmt: skip
IMAGE_MODE = {"imageTopic", "calibrationTopic", "annotations", "synchronize", "rotation", "flipHorizontal"}
CAMERA_STATE = {
    "distance", "perspective", "phi", "target", "targetOffset", "targetOrientation", "thetaOffset", "fovy", "near",
    "far",
}  # fmt: skip
SCENE = {"enableStats", "backgroundColor", "labelScaleFactor", "transforms", "syncCamera", "topicsVisible"}
TRANSFORMS = {"editable", "showLabel", "labelSize", "axisScale", "lineWidth", "lineColor", "enablePreloading"}
TOPIC_SETTINGS = {
    "geometry_msgs/msg/PoseArray": {
        "visible", "frameLocked", "type", "axisScale", "arrowScale", "lineWidth", "gradient",
    },
    "sensor_msgs/msg/Image": {
        "visible", "frameLocked", "cameraInfoTopic", "distance", "planarProjectionFactor", "color", "brightness",
    },
    "sensor_msgs/msg/CameraInfo": {"visible", "frameLocked", "distance", "planarProjectionFactor", "width", "color"},
    "visualization_msgs/msg/MarkerArray": {"visible", "frameLocked", "color", "showOutlines", "namespaces"},
}  # fmt: skip
GRID = {
    "visible", "frameLocked", "label", "instanceId", "layerId", "frameId", "size", "divisions", "lineWidth", "color",
    "position", "rotation", "order",
}  # fmt: skip

DISPLAY = {"Class", "Name", "Enabled", "Value"}
DISPLAYS = {
    "rviz_default_plugins/Grid": {
        "Reference Frame", "Plane Cell Count", "Normal Cell Count", "Cell Size", "Line Style", "Color", "Alpha",
    },
    "rviz_default_plugins/TF": {"Show Names", "Show Axes", "Show Arrows", "Marker Scale", "Frame Timeout", "Frames"},
    "rviz_default_plugins/RobotModel": {
        "Visual Enabled", "Collision Enabled", "Alpha", "Description Source", "Description File", "Description Topic",
        "TF Prefix",
    },
    "rviz_default_plugins/MarkerArray": {"Topic", "Namespaces"},
    "rviz_default_plugins/PoseArray": {
        "Topic", "Shape", "Color", "Alpha", "Arrow Length", "Head Radius", "Head Length", "Shaft Radius", "Axes Length",
    },
    "rviz_default_plugins/Camera": {
        "Topic", "Image Rendering", "Overlay Alpha", "Zoom Factor", "Far Plane Distance", "Visibility",
    },
}  # fmt: skip
QOS = {
    "Value": None,
    "Depth": None,
    "History Policy": {"Keep Last", "Keep All"},
    "Reliability Policy": {"Reliable", "Best Effort"},
    "Durability Policy": {"Transient Local", "Volatile"},
}
CHOICES = {
    "Shape": {"Arrow (Flat)", "Arrow (3D)", "Axes"},
    "Image Rendering": {"background", "overlay", "background and overlay"},
    "Description Source": {"Topic", "File"},
}


@pytest.mark.parametrize("name", list_deployments(config_dir()))
def test_foxglove_knows_every_panel_and_every_setting_of_the_layout(name):
    viewed = viewed_of(load_deployment(name, config_dir()))
    layout = foxglove_layout(viewed)
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    for panel, settings in layout["configById"].items():
        kind = panel.split("!")[0]
        assert set(settings) <= PANELS[kind], panel
        for topic, shown in settings.get("topics", {}).items():
            assert set(shown) <= TOPIC_SETTINGS[viewed.topics()[topic]], (panel, topic)
    scene = layout["configById"]["3D!scene"]
    assert set(scene["cameraState"]) == CAMERA_STATE and scene["followMode"] == "follow-none"
    assert set(scene["scene"]) <= SCENE and set(scene["scene"]["transforms"]) <= TRANSFORMS
    for instance, layer in scene["layers"].items():
        assert set(layer) <= GRID and layer["instanceId"] == instance and layer["layerId"] == "foxglove.Grid"
    assert {mode["imageMode"]["imageTopic"] for panel, mode in layout["configById"].items() if "Image!" in panel} == {
        viewed.topic(f"camera/{camera}/image_raw") for camera in viewed.cameras
    }
    assert all(set(mode.get("imageMode", {})) <= IMAGE_MODE for mode in layout["configById"].values())


@pytest.mark.parametrize("name", list_deployments(config_dir()))
def test_rviz_knows_every_display_every_property_and_every_choice_of_the_configuration(name):
    config = rviz_config(viewed_of(load_deployment(name, config_dir())))
    assert set(config) == {"Panels", "Visualization Manager", "Window Geometry"}
    assert {panel["Class"] for panel in config["Panels"]} <= {
        "rviz_common/Displays",
        "rviz_common/Time",
        "rviz_common/Views",
    }
    manager = config["Visualization Manager"]
    assert set(manager["Global Options"]) <= {"Background Color", "Fixed Frame", "Frame Rate"}
    known = {f"rviz_default_plugins/{tool}" for tool in ("MoveCamera", "Select", "Measure", "Interact")}
    assert {tool["Class"] for tool in manager["Tools"]} <= known
    assert set(manager["Views"]["Current"]) <= {"Class", "Name", "Distance", "Pitch", "Yaw", "Focal Point"}
    names = [display["Name"] for display in manager["Displays"]]
    assert len(names) == len(set(names))
    for display in manager["Displays"]:
        assert set(display) - DISPLAY <= DISPLAYS[display["Class"]], display["Name"]
        for setting, value in display.items():
            assert setting not in CHOICES or value in CHOICES[setting]
            if setting.endswith("Topic"):
                assert set(value) == set(QOS)
                assert all(choices is None or value[key] in choices for key, choices in QOS.items())


def test_the_shipped_layouts_are_what_the_command_writes(tmp_path, capsys):
    from rich.console import Console

    assert write_viewers(SHIPPED, tmp_path, Console()) == 0
    shipped = config_dir() / "foxglove" / f"{SHIPPED}.json", config_dir() / "rviz" / f"{SHIPPED}.rviz"
    assert json.loads(shipped[0].read_text()) == json.loads((tmp_path / f"{SHIPPED}.json").read_text())
    assert yaml.safe_load(shipped[1].read_text()) == yaml.safe_load((tmp_path / f"{SHIPPED}.rviz").read_text())
