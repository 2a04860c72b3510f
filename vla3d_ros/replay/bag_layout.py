"""Which topic of a bag carries what a replay needs, found by the ends of their names and by their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_IMAGES = {"sensor_msgs/msg/Image": "/image_raw", "sensor_msgs/msg/CompressedImage": "/image_raw/compressed"}
_INFO, _MOUNT = "sensor_msgs/msg/CameraInfo", "geometry_msgs/msg/TransformStamped"
_JOINTS = "sensor_msgs/msg/JointState"
_STATUS = "diagnostic_msgs/msg/DiagnosticStatus"
_ENDINGS: Mapping[str, tuple[str, str]] = {
    "ee_state": ("/ee_state", "sensor_msgs/msg/MultiDOFJointState"),
    "instruction": ("/instruction", "std_msgs/msg/String"),
    "session": ("/session", "std_msgs/msg/String"),
    "prompt": ("/policy/prompt", "sensor_msgs/msg/Image"),
    "chunk": ("/policy/chunk", "trajectory_msgs/msg/MultiDOFJointTrajectory"),
    "report": ("/policy/report", _STATUS),
    "verdict": ("/adapter/verdict", _STATUS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BagLayout:
    """Topics by role, "" where the bag has none; those of cameras by camera name."""

    images: Mapping[str, str]
    infos: Mapping[str, str]
    mounts: Mapping[str, str]
    depths: Mapping[str, str] = field(default_factory=dict)
    joint_states: str = ""
    ee_state: str = ""
    instruction: str = ""
    session: str = ""
    prompt: str = ""
    chunk: str = ""
    report: str = ""
    verdict: str = ""


def bag_layout(topics: Mapping[str, str]) -> BagLayout:
    """Recognise topics.

    Args:
        topics: Message type by topic.

    Returns:
        The layout. Raw images are preferred to compressed ones; joint states are those on `joint_states`, else the
        only topic of that type.
    """
    images: dict[str, str] = {}
    for msgtype, ending in reversed(_IMAGES.items()):
        for topic in sorted(topics):
            if topics[topic] == msgtype and topic.endswith(ending):
                images[topic.removesuffix(ending).rpartition("/")[2]] = topic
    base = {camera: topic[: topic.rindex("/image_raw")] for camera, topic in images.items()}
    infos = {camera: f"{below}/camera_info" for camera, below in base.items()}
    mounts = {camera: f"{below}/extrinsics" for camera, below in base.items()}
    depths = {camera: f"{below}/depth" for camera, below in base.items()}
    found = {
        role: next((topic for topic in sorted(topics) if topic.endswith(end) and topics[topic] == msgtype), "")
        for role, (end, msgtype) in _ENDINGS.items()
    }
    return BagLayout(
        images=dict(sorted(images.items())),
        infos={camera: topic for camera, topic in infos.items() if topics.get(topic) == _INFO},
        mounts={camera: topic for camera, topic in mounts.items() if topics.get(topic) == _MOUNT},
        depths={camera: topic for camera, topic in depths.items() if topics.get(topic) == "sensor_msgs/msg/Image"},
        joint_states=_joint_states(topics),
        **found,
    )


def _joint_states(topics: Mapping[str, str]) -> str:
    joints = sorted(topic for topic, msgtype in topics.items() if msgtype == _JOINTS)
    named = [topic for topic in joints if topic.endswith("/joint_states")]
    if named:
        return min(named, key=len)
    return joints[0] if len(joints) == 1 else ""
