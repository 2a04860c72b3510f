"""Serialized messages made without ROS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_KILTED)


def message(msgtype: str, **fields: Any) -> Any:
    """Build a message of a standard type."""
    return STORE.types[msgtype](**fields)


def cdr(msgtype: str, **fields: Any) -> bytes:
    """Build and serialize a message of a standard type."""
    return bytes(STORE.serialize_cdr(message(msgtype, **fields), msgtype))


def header(stamp_ns: int, frame_id: str = "base") -> Any:
    """Build a std_msgs/Header."""
    stamp = message("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def text(data: str) -> bytes:
    """Serialize a std_msgs/String."""
    return cdr("std_msgs/msg/String", data=data)


def image(rgb: np.ndarray, stamp_ns: int, encoding: str = "rgb8") -> bytes:
    """Serialize a sensor_msgs/Image of (H, W, C) pixels."""
    height, width, channels = rgb.shape
    return cdr(
        "sensor_msgs/msg/Image",
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * channels,
        data=rgb.ravel(),
    )


def joint_state(stamp_ns: int, names: list[str], q: list[float], dq: list[float]) -> bytes:
    """Serialize a sensor_msgs/JointState."""
    return cdr(
        "sensor_msgs/msg/JointState",
        header=header(stamp_ns),
        name=names,
        position=np.array(q),
        velocity=np.array(dq),
        effort=np.zeros(0),
    )


def pose(x: float, y: float, z: float) -> Any:
    """Build a geometry_msgs/Pose without rotation."""
    return message(
        "geometry_msgs/msg/Pose",
        position=message("geometry_msgs/msg/Point", x=x, y=y, z=z),
        orientation=message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )


def ee_state(stamp_ns: int, **positions: tuple[float, float, float]) -> bytes:
    """Serialize a sensor_msgs/MultiDOFJointState with the position of each arm's end effector and an open finger."""
    names, transforms = [], []
    for arm, position in positions.items():
        for suffix, (x, y, z) in (("ee", position), ("finger", (0.08, 0.0, 0.0))):
            names.append(f"{arm}_{suffix}")
            translation = message("geometry_msgs/msg/Vector3", x=x, y=y, z=z)
            rotation = message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
            transforms.append(message("geometry_msgs/msg/Transform", translation=translation, rotation=rotation))
    return cdr(
        "sensor_msgs/msg/MultiDOFJointState",
        header=header(stamp_ns),
        joint_names=names,
        transforms=transforms,
        twist=[],
        wrench=[],
    )


def status(name: str, level: int, text_: str, **values: str) -> bytes:
    """Serialize a diagnostic_msgs/DiagnosticStatus."""
    return bytes(
        STORE.serialize_cdr(status_message(name, level, text_, **values), "diagnostic_msgs/msg/DiagnosticStatus")
    )


def status_message(name: str, level: int, text_: str, **values: str) -> Any:
    """Build a diagnostic_msgs/DiagnosticStatus."""
    pairs = [message("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in values.items()]
    return message(
        "diagnostic_msgs/msg/DiagnosticStatus", level=level, name=name, message=text_, hardware_id="", values=pairs
    )


@pytest.fixture
def ros() -> SimpleNamespace:
    """Builders of serialized messages, for tests."""
    return SimpleNamespace(
        message=message,
        cdr=cdr,
        header=header,
        text=text,
        image=image,
        joint_state=joint_state,
        pose=pose,
        ee_state=ee_state,
        status=status,
        status_message=status_message,
    )
