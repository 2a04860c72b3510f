"""The topics of one camera, by the conventions of image_transport, RViz and REP-118."""

from __future__ import annotations

import array

import cv2
import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ShapeError
from vla3d_ros.ros import conversions, qos

_JPEG_QUALITY = 90
_MM_PER_M = 1000.0
_FARTHEST_MM = 65535


class CameraTopics:
    """Publishers of one camera. What nobody listens to is neither copied nor encoded."""

    def __init__(self, node: Node, spec: CameraSpec, model: CameraModel, *, has_depth: bool) -> None:
        """Create the publishers below `~/<camera>`, for images with the given intrinsics."""
        name = spec.name
        self._spec = spec
        self._info_msg = conversions.camera_info_to_msg(model, spec.mount.optical_frame, 0)
        self._image = node.create_publisher(Image, f"~/{name}/image_raw", qos.SENSOR)
        self._compressed = node.create_publisher(CompressedImage, f"~/{name}/image_raw/compressed", qos.SENSOR)
        self._info = node.create_publisher(CameraInfo, f"~/{name}/camera_info", qos.SENSOR)
        self._extrinsics = node.create_publisher(TransformStamped, f"~/{name}/extrinsics", qos.LATCHED)
        self._depth = node.create_publisher(Image, f"~/{name}/depth", qos.SENSOR) if has_depth else None

    def announce(self, stamp_ns: int) -> TransformStamped:
        """Publish the extrinsics and return them, for /tf_static."""
        mount = conversions.mount_to_msg(self._spec.mount, stamp_ns)
        self._extrinsics.publish(mount)
        return mount

    def publish_image(self, image: CameraImage) -> None:
        """Publish the colour image."""
        if self._image.get_subscription_count():
            self._image.publish(conversions.image_to_msg(image, self._spec.mount.optical_frame))

    def publish_rest(self, image: CameraImage) -> None:
        """Publish the image's intrinsics, and depth where there is any, with the image's stamp."""
        self._info_msg.header.stamp = conversions.stamp_from_ns(image.stamp_ns)
        self._info.publish(self._info_msg)
        if self._depth is not None and image.depth_m is not None and self._depth.get_subscription_count():
            self._depth.publish(depth_to_msg(image.depth_m, self._spec.mount.optical_frame, image.stamp_ns))

    @property
    def is_compressed_wanted(self) -> bool:
        """Whether somebody listens to the JPEGs."""
        return bool(self._compressed.get_subscription_count())

    def publish_compressed(self, image: CameraImage) -> None:
        """Encode and publish the image."""
        self._compressed.publish(jpeg_to_msg(image, self._spec.mount.optical_frame))


def jpeg_to_msg(image: CameraImage, frame_id: str) -> CompressedImage:
    """Return the image as JPEG, in the words of compressed_image_transport."""
    encoded = cv2.imencode(".jpg", image.rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    msg = CompressedImage(format="rgb8; jpeg compressed bgr8", data=array.array("B", encoded.tobytes()))
    msg.header.frame_id = frame_id
    msg.header.stamp = conversions.stamp_from_ns(image.stamp_ns)
    return msg


def depth_to_msg(depth_m: np.ndarray, frame_id: str, stamp_ns: int) -> Image:
    """Return depth as 16UC1, millimetres, 0 where there is no return or where it does not fit (REP-118).

    Args:
        depth_m: (H, W) float32 metres, NaN where there is no return.
        frame_id: Optical frame of the colour camera it is aligned to.
        stamp_ns: Capture time.
    """
    depth_mm = np.rint(depth_m * _MM_PER_M)
    depth_mm[~((depth_mm >= 0) & (depth_mm <= _FARTHEST_MM))] = 0
    height, width = depth_m.shape
    msg = Image(height=height, width=width, encoding="16UC1", is_bigendian=0, step=width * 2)
    msg.header.frame_id = frame_id
    msg.header.stamp = conversions.stamp_from_ns(stamp_ns)
    msg.data = array.array("B", depth_mm.astype("<u2").tobytes())
    return msg


def depth_from_msg(msg: Image) -> np.ndarray:
    """Return (H, W) float32 metres, NaN where there is no return, of a 16UC1 or 32FC1 message.

    Raises:
        ShapeError: If the encoding is another.
    """
    kinds = {"16UC1": "u2", "32FC1": "f4"}
    if msg.encoding not in kinds:
        raise ShapeError(f"depth image has encoding '{msg.encoding}'; expected one of {sorted(kinds)}")
    dtype = np.dtype((">" if msg.is_bigendian else "<") + kinds[msg.encoding])
    rows = np.frombuffer(msg.data, dtype=np.uint8).reshape(msg.height, msg.step)
    values = rows[:, : msg.width * dtype.itemsize].copy().view(dtype).astype(np.float32)
    if msg.encoding == "32FC1":
        return values
    values[values == 0] = np.nan
    return values / np.float32(_MM_PER_M)
