"""Colour images as JPEG on their way into a bag; everything else stays as it came from the wire."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import ConfigError, RecordingError

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
COMPRESSED_SUFFIX = "/compressed"

_CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}
_BEST = 100


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RawImage:
    """A sensor_msgs/Image where it lies in its message. pixels (H, W, C) uint8; None if it is not 8-bit colour."""

    stamp_ns: int
    frame_id: str
    encoding: str
    width_px: int
    height_px: int
    pixels: NDArray[np.uint8] | None


class ImagePacking:
    """Turns 8-bit colour images into `<topic>/compressed`, in the words of compressed_image_transport.

    Depth and other encodings are not touched: they are stored bit by bit, inside the bag's zstd chunks.
    """

    def __init__(self, jpeg_quality: int) -> None:
        """Choose the quality, 1 to 100.

        Raises:
            ConfigError: If it is outside.
        """
        if not 1 <= jpeg_quality <= _BEST:
            raise ConfigError(f"jpeg_quality is {jpeg_quality}; expected 1 to {_BEST}, or 0 to record images raw")
        self._options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]

    def pack(self, topic: str, msgtype: str, cdr: bytes) -> tuple[str, str, bytes]:
        """Return topic, type and bytes to be stored for a message.

        Raises:
            RecordingError: If an image is not what its header says.
        """
        if msgtype != IMAGE_TYPE:
            return topic, msgtype, cdr
        image = read_image(cdr)
        if image.pixels is None:
            return topic, msgtype, cdr
        pixels = image.pixels[:, :, ::-1] if image.encoding == "rgb8" else image.pixels
        is_encoded, data = cv2.imencode(".jpg", pixels, self._options)
        if not is_encoded:
            raise RecordingError(f"topic '{topic}': {image.width_px}x{image.height_px} image can not become a JPEG")
        kind = f"{image.encoding}; jpeg compressed {'mono8' if image.encoding == 'mono8' else 'bgr8'}"
        return topic + COMPRESSED_SUFFIX, COMPRESSED_TYPE, _compressed_cdr(image, kind, data.tobytes())


def stamp_ns(cdr: bytes) -> int:
    """Read the stamp of any message that begins with a std_msgs/Header.

    Raises:
        RecordingError: If the message is too short to have one.
    """
    try:
        seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    except (struct.error, IndexError) as error:
        raise RecordingError(f"a message of {len(cdr)} bytes has no header: {error}") from error
    return int(seconds) * 10**9 + int(nanoseconds)


def read_image(cdr: bytes) -> RawImage:
    """Read a serialized sensor_msgs/Image without copying its pixels.

    Raises:
        RecordingError: If the bytes are no image, or fewer than its header promises.
    """
    order = "<" if len(cdr) > 1 and cdr[1] & 1 else ">"
    try:
        frame_id, at = _text(cdr, 12, order)
        height, width = struct.unpack_from(f"{order}II", cdr, _aligned(at))
        encoding, at = _text(cdr, _aligned(at) + 8, order)
        step, size = struct.unpack_from(f"{order}II", cdr, _aligned(at + 1))
        start = _aligned(at + 1) + 8
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise RecordingError(f"a message of {len(cdr)} bytes is no sensor_msgs/Image: {error}") from error
    channels = _CHANNELS.get(encoding)
    pixels = None
    if channels is not None:
        if step < width * channels or height * step > size or start + size > len(cdr):
            raise RecordingError(
                f"image is {width}x{height} '{encoding}' with rows of {step} and {size} bytes in all; "
                "expected full rows"
            )
        rows = np.frombuffer(cdr, dtype=np.uint8, count=height * step, offset=start).reshape(height, step)
        pixels = rows[:, : width * channels].reshape(height, width, channels)
    return RawImage(
        stamp_ns=stamp_ns(cdr),
        frame_id=frame_id,
        encoding=encoding,
        width_px=int(width),
        height_px=int(height),
        pixels=pixels,
    )


def _text(cdr: bytes, at: int, order: str) -> tuple[str, int]:
    (length,) = struct.unpack_from(f"{order}I", cdr, at)
    end = at + 4 + length
    if end > len(cdr):
        raise IndexError(f"a text of {length} bytes ends behind the message")
    return bytes(cdr[at + 4 : end - 1]).decode(), end


def _aligned(at: int) -> int:
    """The next multiple of four, counted from behind the four bytes of encapsulation."""
    return (at + 3) // 4 * 4


def _compressed_cdr(image: RawImage, kind: str, data: bytes) -> bytes:
    seconds, nanoseconds = divmod(image.stamp_ns, 10**9)
    parts = bytearray(b"\x00\x01\x00\x00" + struct.pack("<iI", seconds, nanoseconds))
    for text in (image.frame_id, kind):
        parts += bytes(-len(parts) % 4)
        encoded = text.encode() + b"\x00"
        parts += struct.pack("<I", len(encoded)) + encoded
    parts += bytes(-len(parts) % 4)
    return bytes(parts + struct.pack("<I", len(data)) + data)
