"""Layouts of other viewers for the same topics: Foxglove and RViz, made for a deployment's robot and cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PLAN_COLOUR = "#0f766e"
_STOP_COLOUR = "#b42318"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewed:
    """What a deployment has to show: names of its namespace, base frame, arms, joints and cameras.

    `state_joints` are all joints in the order of a joint state: plots count in it, and grippers stand between the arms.
    """

    namespace: str
    base_frame: str
    arms: tuple[str, ...]
    joints: tuple[str, ...]
    state_joints: tuple[str, ...]
    cameras: tuple[str, ...]

    def topic(self, name: str) -> str:
        """Return a full topic name."""
        return f"/{self.namespace}/{name}"

    def topics(self) -> dict[str, str]:
        """Return full name -> type of every topic that the layouts show."""
        shown = {
            "/tf": "tf2_msgs/msg/TFMessage",
            "/tf_static": "tf2_msgs/msg/TFMessage",
            "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
            self.topic("joint_states"): "sensor_msgs/msg/JointState",
            self.topic("adapter/state"): "diagnostic_msgs/msg/DiagnosticStatus",
            self.topic("policy/report"): "diagnostic_msgs/msg/DiagnosticStatus",
            self.topic("policy/spatial"): "visualization_msgs/msg/MarkerArray",
        }
        shown |= {self.topic(f"adapter/planned_path/{arm}"): "geometry_msgs/msg/PoseArray" for arm in self.arms}
        for camera in self.cameras:
            shown[self.topic(f"camera/{camera}/image_raw")] = "sensor_msgs/msg/Image"
            shown[self.topic(f"camera/{camera}/camera_info")] = "sensor_msgs/msg/CameraInfo"
        return shown

    def services(self) -> dict[str, str]:
        """Return full name -> type of every service that the layouts call."""
        return {self.topic(f"adapter/{name}"): "std_srvs/srv/Trigger" for name in ("stop", "reset")}


# ------------------------------------------------------------------------------------------------ Foxglove


def foxglove_layout(viewed: Viewed) -> dict[str, Any]:
    """Return a layout to be imported into Foxglove: 3D, cameras, joints, state, diagnostics and a STOP button."""
    panels: dict[str, Any] = {
        "3D!scene": _foxglove_scene(viewed),
        "CallService!stop": _foxglove_button(viewed.topic("adapter/stop"), "STOP (software)", _STOP_COLOUR),
        "CallService!reset": _foxglove_button(viewed.topic("adapter/reset"), "Reset stop", "#52606d"),
        "RawMessages!state": _foxglove_words(viewed.topic("adapter/state")),
        "RawMessages!report": _foxglove_words(viewed.topic("policy/report")),
        "DiagnosticSummary!all": {
            "minLevel": 0,
            "pinnedIds": [],
            "topicToRender": "/diagnostics",
            "hardwareIdFilter": "",
        },
        "Plot!velocity": _foxglove_plot(viewed),
    }
    cameras = []
    for camera in viewed.cameras:
        name = f"Image!{camera}"
        cameras.append(name)
        panels[name] = {
            "imageMode": {
                "imageTopic": viewed.topic(f"camera/{camera}/image_raw"),
                "calibrationTopic": viewed.topic(f"camera/{camera}/camera_info"),
                "annotations": {},
            },
            "topics": {viewed.topic("policy/spatial"): {"visible": True}},
        }
    buttons = _split("row", ["CallService!stop", "CallService!reset"])
    words = _split("column", [buttons, "RawMessages!state", "RawMessages!report", "DiagnosticSummary!all"])
    seen = _split("column", ["3D!scene", _split("row", cameras), "Plot!velocity"], first_percent=52)
    return {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": {"direction": "row", "first": seen, "second": words, "splitPercentage": 72},
    }


def _foxglove_scene(viewed: Viewed) -> dict[str, Any]:
    topics: dict[str, Any] = {viewed.topic("policy/spatial"): {"visible": True}}
    for arm in viewed.arms:
        plan = {"visible": True, "type": "line", "lineWidth": 0.006, "gradient": [_PLAN_COLOUR, _PLAN_COLOUR]}
        topics[viewed.topic(f"adapter/planned_path/{arm}")] = plan
    for camera in viewed.cameras:
        topics[viewed.topic(f"camera/{camera}/image_raw")] = {
            "visible": True,
            "frameLocked": True,
            "cameraInfoTopic": viewed.topic(f"camera/{camera}/camera_info"),
            "distance": 0.12,
        }
        topics[viewed.topic(f"camera/{camera}/camera_info")] = {"visible": True, "distance": 0.12, "color": "#52606d"}
    return {
        "followTf": viewed.base_frame,
        "followMode": "follow-none",
        "scene": {"backgroundColor": "#ffffff", "transforms": {"axisScale": 0.4, "labelSize": 0.03}},
        "cameraState": {
            "perspective": True,
            "distance": 2.2,
            "phi": 62,
            "thetaOffset": 40,
            "target": [0.0, 0.0, 0.0],
            "targetOffset": [0.4, 0.0, 0.2],
            "targetOrientation": [0.0, 0.0, 0.0, 1.0],
            "fovy": 45,
            "near": 0.01,
            "far": 100,
        },
        "topics": topics,
        "layers": {
            "table": {
                "instanceId": "table",
                "layerId": "foxglove.Grid",
                "label": "Table",
                "visible": True,
                "frameId": viewed.base_frame,
                "size": 2,
                "divisions": 20,
                "color": "#d8dee4",
            }
        },
    }


def _foxglove_plot(viewed: Viewed) -> dict[str, Any]:
    topic = viewed.topic("joint_states")
    paths = [
        {
            "value": f"{topic}.velocity[{viewed.state_joints.index(joint)}]",
            "label": joint,
            "enabled": True,
            "timestampMethod": "headerStamp",
        }
        for joint in viewed.joints
    ]
    return {
        "foxglovePanelTitle": "Joint velocities",
        "paths": paths,
        "xAxisVal": "timestamp",
        "yAxisLabel": "rad/s",
        "followingViewWidth": 20,
        "showLegend": True,
        "legendDisplay": "left",
    }


def _foxglove_words(topic: str) -> dict[str, Any]:
    return {"topicPath": topic, "diffEnabled": False, "expansion": "all"}


def _foxglove_button(service: str, text: str, colour: str) -> dict[str, Any]:
    return {
        "serviceName": service,
        "requestPayload": "{}",
        "buttonText": text,
        "buttonColor": colour,
        "layout": "vertical",
    }


def _split(direction: str, parts: Sequence[Any], first_percent: float | None = None) -> Any:
    """Nest panels two by two, as the layout wants them; all alike unless the first one's share is given."""
    if len(parts) == 1:
        return parts[0]
    share = first_percent if first_percent is not None else 100.0 / len(parts)
    rest = _split(direction, parts[1:])
    return {"direction": direction, "first": parts[0], "second": rest, "splitPercentage": round(share, 1)}


# ---------------------------------------------------------------------------------------------------- RViz


def rviz_config(viewed: Viewed) -> dict[str, Any]:
    """Return a configuration for `rviz2 -d`."""
    panels = ("Displays", "Time", "Views")
    orbit = {"Distance": 2.2, "Pitch": 0.45, "Yaw": 5.5, "Focal Point": {"X": 0.4, "Y": 0.0, "Z": 0.2}}
    view = {"Class": "rviz_default_plugins/Orbit", "Name": "Current View", **orbit}
    return {
        "Panels": [{"Class": f"rviz_common/{name}", "Name": name} for name in panels],
        "Visualization Manager": {
            "Class": "",
            "Displays": _rviz_displays(viewed),
            "Enabled": True,
            "Global Options": {"Background Color": "255; 255; 255", "Fixed Frame": viewed.base_frame, "Frame Rate": 30},
            "Name": "root",
            "Tools": [{"Class": f"rviz_default_plugins/{name}"} for name in ("MoveCamera", "Select", "Measure")],
            "Value": True,
            "Views": {"Current": view},
        },
        "Window Geometry": {"Height": 900, "Width": 1500},
    }


def _rviz_displays(viewed: Viewed) -> list[dict[str, Any]]:
    grid = {"Cell Size": 0.1, "Plane Cell Count": 20, "Color": "216; 222; 228", "Reference Frame": viewed.base_frame}
    description = _rviz_topic(viewed.topic("robot_description"), is_latched=True)
    shown = [
        _rviz_display("Grid", "Table", grid),
        _rviz_display("TF", "Frames", {"Marker Scale": 0.3, "Show Names": True}),
        _rviz_display("RobotModel", "Robot", {"Description Source": "Topic", "Description Topic": description}),
        _rviz_display("MarkerArray", "Policy's beliefs", {"Topic": _rviz_topic(viewed.topic("policy/spatial"))}),
    ]
    arrows = {"Shape": "Arrow (Flat)", "Arrow Length": 0.03, "Color": "15; 118; 110"}
    for arm in viewed.arms:
        topic = _rviz_topic(viewed.topic(f"adapter/planned_path/{arm}"))
        shown.append(_rviz_display("PoseArray", f"Plan of {arm}", {**arrows, "Topic": topic}))
    behind = {"Image Rendering": "background and overlay", "Overlay Alpha": 0.5}
    for camera in viewed.cameras:
        topic = _rviz_topic(viewed.topic(f"camera/{camera}/image_raw"), is_reliable=False)
        shown.append(_rviz_display("Camera", f"Camera {camera}", {**behind, "Topic": topic}))
    return shown


def _rviz_display(kind: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"Class": f"rviz_default_plugins/{kind}", "Name": name, "Enabled": True, **settings}


def _rviz_topic(name: str, *, is_reliable: bool = True, is_latched: bool = False) -> Mapping[str, Any]:
    return {
        "Value": name,
        "Depth": 5,
        "History Policy": "Keep Last",
        "Reliability Policy": "Reliable" if is_reliable else "Best Effort",
        "Durability Policy": "Transient Local" if is_latched else "Volatile",
    }
