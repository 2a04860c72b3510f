"""Which camera an image topic belongs to, told by its name."""

from __future__ import annotations

from vla3d_ros.recording.image_packing import COMPRESSED_SUFFIX, COMPRESSED_TYPE, IMAGE_TYPE

_IMAGE_NAMES = {"image_raw", "image", "image_rect", "image_color", "image_mono", "color", "rgb"}
_DEPTH = "depth"


def camera_of(topic: str, msgtype: str) -> str | None:
    """Return the camera's name: the part before `/image_raw`; None if the topic carries no colour images.

    Args:
        topic: Full name, e.g. `/arm/camera/head/image_raw/compressed`.
        msgtype: Full type name.
    """
    if msgtype not in (IMAGE_TYPE, COMPRESSED_TYPE):
        return None
    parts = topic.removesuffix(COMPRESSED_SUFFIX).strip("/").split("/")
    if any(_DEPTH in part for part in parts[-2:]):
        return None
    while len(parts) > 1 and parts[-1] in _IMAGE_NAMES:
        parts.pop()
    return parts[-1]
