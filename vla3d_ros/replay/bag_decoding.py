"""Decoded messages of a bag -> datatypes, number for number as the nodes convert them from the wire, without ROS."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import CameraImage, CameraModel, CameraMount, Rgb
from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

_NS = 1_000_000_000
_BODY = 4  # bytes before the body of a serialized message
_EE, _FINGER = "_ee", "_finger"
_DEPTHS = {"16UC1": "u2", "32FC1": "f4"}
_MM_PER_M = 1000.0
_ORDERS = {"rgb8": slice(None), "bgr8": slice(None, None, -1)}


def duration_ns(stamp: Any) -> int:
    """Return a time or duration in nanoseconds."""
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def image(camera: str, msg: Any, receive_ns: int) -> CameraImage:
    """Return the RGB image of an Image (rgb8, bgr8) or CompressedImage message.

    Raises:
        ShapeError: If the encoding is another, or the picture can not be decoded.
    """
    stamp_ns = duration_ns(msg.header.stamp)
    if hasattr(msg, "format"):
        bgr = cv2.imdecode(np.asarray(msg.data), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ShapeError(f"a compressed image of camera '{camera}' can not be decoded ({msg.format})")
        rgb: Rgb = np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)
        return CameraImage(camera=camera, rgb=rgb, stamp_ns=stamp_ns, receive_ns=receive_ns)
    if msg.encoding not in _ORDERS or msg.step < msg.width * 3:
        raise ShapeError(
            f"image of camera '{camera}' is {msg.width}x{msg.height} '{msg.encoding}' with step {msg.step}; "
            "expected encoding rgb8 or bgr8"
        )
    rows = np.asarray(msg.data, dtype=np.uint8).reshape(msg.height, msg.step)
    rgb = rows[:, : msg.width * 3].reshape(msg.height, msg.width, 3)
    if msg.encoding == "bgr8":
        rgb = np.ascontiguousarray(rgb[:, :, ::-1], dtype=np.uint8)
    return CameraImage(camera=camera, rgb=rgb, stamp_ns=stamp_ns, receive_ns=receive_ns)


def image_of_cdr(camera: str, cdr: bytes, receive_ns: int) -> CameraImage:
    """Return the RGB image of a serialized sensor_msgs/Image without copying its pixels.

    Raises:
        ShapeError: If the encoding is none of rgb8 and bgr8, or the message is cut off.
    """
    order = "<" if cdr[1] & 1 else ">"
    try:
        sec, nanosec, length = struct.unpack_from(f"{order}iII", cdr, _BODY)
        height, width, length, start = _after_text(cdr, order, 12 + length, "II")
        encoding = bytes(cdr[start : start + length - 1]).decode()
        step, size, _, data = _after_text(cdr, order, start - _BODY + length + 1, "II", is_last=True)
        rows = np.frombuffer(cdr, dtype=np.uint8, count=height * step, offset=data).reshape(height, step)
    except (struct.error, ValueError) as error:
        raise ShapeError(f"an image of camera '{camera}' is cut off: {error}") from error
    if encoding not in _ORDERS or step < width * 3 or size < height * step:
        raise ShapeError(
            f"image of camera '{camera}' is {width}x{height} '{encoding}' with step {step}; expected rgb8 or bgr8"
        )
    rgb = rows[:, : width * 3].reshape(height, width, 3)
    if encoding == "bgr8":
        rgb = np.ascontiguousarray(rgb[:, :, ::-1])
    return CameraImage(camera=camera, rgb=rgb, stamp_ns=sec * _NS + nanosec, receive_ns=receive_ns)


def _after_text(cdr: bytes, order: str, offset: int, kinds: str, *, is_last: bool = False) -> tuple[int, int, int, int]:
    """Read two 4-byte numbers after a text that ends at an offset of the body, and the length of the text after them.

    Returns:
        The numbers, the length, and where that text starts in the message; without a text, where the numbers end.
    """
    aligned = _BODY + (offset + 3) // 4 * 4
    first, second = struct.unpack_from(f"{order}{kinds}", cdr, aligned)
    if is_last:
        return first, second, 0, aligned + 8
    (length,) = struct.unpack_from(f"{order}I", cdr, aligned + 8)
    return first, second, length, aligned + 12


def depth(camera: str, msg: Any) -> NDArray[np.float32]:
    """Return (H, W) metres, NaN where there is no return, of a 16UC1 (mm) or 32FC1 (m) message.

    Raises:
        ShapeError: If the encoding is another.
    """
    if msg.encoding not in _DEPTHS:
        raise ShapeError(f"depth of camera '{camera}' has encoding '{msg.encoding}'; expected one of {sorted(_DEPTHS)}")
    dtype = np.dtype((">" if msg.is_bigendian else "<") + _DEPTHS[msg.encoding])
    rows = np.asarray(msg.data, dtype=np.uint8).reshape(msg.height, msg.step)
    values: NDArray[np.float32] = rows[:, : msg.width * dtype.itemsize].copy().view(dtype).astype(np.float32)
    if msg.encoding == "32FC1":
        return values
    values[values == 0] = np.nan
    return np.asarray(values / np.float32(_MM_PER_M), dtype=np.float32)


def camera_model(camera: str, msg: Any) -> CameraModel:
    """Return the pinhole model of a CameraInfo message.

    Raises:
        ShapeError: If the distortion model is not plumb_bob, or the camera is not calibrated.
    """
    K = np.array(msg.k, dtype=np.float64).reshape(3, 3)
    if msg.distortion_model not in ("plumb_bob", "") or not (K[0, 0] > 0 and K[1, 1] > 0):
        raise ShapeError(
            f"camera_info of '{camera}' has distortion model '{msg.distortion_model}' and focal lengths {K[0, 0]:g}, "
            f"{K[1, 1]:g} px; expected 'plumb_bob' and a calibrated camera"
        )
    distortion = np.array(msg.d, dtype=np.float64)
    return CameraModel(
        width_px=int(msg.width),
        height_px=int(msg.height),
        K=K,
        distortion=distortion if distortion.any() else np.zeros(0),
    )


def camera_mount(camera: str, msg: Any) -> CameraMount:
    """Return the extrinsics of a TransformStamped message."""
    return CameraMount(
        camera=camera,
        parent_frame=msg.header.frame_id,
        optical_frame=msg.child_frame_id,
        T_parent_camera=transform(msg.transform),
    )


def transform(msg: Any) -> Transform:
    """Return a rigid transform; the quaternion must be of unit length."""
    t, r = msg.translation, msg.rotation
    return Transform.from_xyzw((t.x, t.y, t.z), (r.x, r.y, r.z, r.w))


def joint_state(msg: Any) -> tuple[tuple[str, ...], Float, Float, int]:
    """Return (names, q (J,), dq (J,), stamp_ns); dq is NaN where the driver did not send it.

    Raises:
        ShapeError: If there are not as many positions as names.
    """
    names, q = tuple(msg.name), np.array(msg.position, dtype=np.float64)
    if q.shape != (len(names),):
        raise ShapeError(f"a joint state has {len(names)} names and {len(q)} positions; expected one position a name")
    dq = np.array(msg.velocity, dtype=np.float64)
    return names, q, dq if dq.shape == q.shape else np.full(q.shape, np.nan), duration_ns(msg.header.stamp)


def ee_state(msg: Any, strokes_m: Mapping[str, float]) -> dict[str, tuple[Transform, float]]:
    """Return (T_base_ee, opening 0..1) per arm.

    Raises:
        ShapeError: If an arm that is asked for is missing.
    """
    by_name = dict(zip(msg.joint_names, msg.transforms, strict=True))
    missing = [f"{arm}{end}" for arm in strokes_m for end in (_EE, _FINGER) if f"{arm}{end}" not in by_name]
    if missing:
        raise ShapeError(f"ee_state lacks {missing}: it names {sorted(by_name)}; is this bag of another robot?")
    return {
        arm: (transform(by_name[f"{arm}{_EE}"]), by_name[f"{arm}{_FINGER}"].translation.x / stroke_m)
        for arm, stroke_m in strokes_m.items()
    }


def status_values(msg: Any) -> dict[str, str]:
    """Return the named values of a DiagnosticStatus."""
    return {value.key: value.value for value in msg.values}
