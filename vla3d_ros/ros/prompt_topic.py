"""The prompt picture as a message: one `sensor_msgs/Image`, so that nothing of it can come apart on the way.

The header has the stamp and the optical frame of the picture it was drawn on. Which colour the mask has is seen in the
picture itself: everything else in it is grey.
"""

from __future__ import annotations

from collections.abc import Mapping

from sensor_msgs.msg import Image

from vla3d_ros.datatypes import CameraImage, ReferringPrompt
from vla3d_ros.errors import FrameError
from vla3d_ros.evaluation.referring import mask_colour
from vla3d_ros.ros import conversions

PROMPT_TOPIC = "policy/prompt"


def prompt_to_msg(prompt: ReferringPrompt, frame_id: str, stamp_ns: int) -> Image:
    """Return the message.

    Args:
        prompt: Grey picture with the mask in colour.
        frame_id: Optical frame of its camera.
        stamp_ns: Capture of the picture it was drawn on.
    """
    image = CameraImage(camera=prompt.camera, rgb=prompt.rgb, stamp_ns=stamp_ns, receive_ns=stamp_ns)
    return conversions.image_to_msg(image, frame_id)


def prompt_from_msg(msg: Image, camera_of_frame: Mapping[str, str]) -> ReferringPrompt:
    """Return the prompt.

    Args:
        msg: rgb8 or bgr8.
        camera_of_frame: Camera by optical frame.

    Raises:
        FrameError: If the picture is of no known camera.
        ShapeError: If its encoding is another.
        ConfigError: If nothing in it is marked, or in no known colour.
    """
    frame = msg.header.frame_id
    if frame not in camera_of_frame:
        raise FrameError(
            f"the prompt picture is of frame '{frame}'; expected the optical frame of a camera that the policy looks "
            f"through: {sorted(camera_of_frame)}"
        )
    camera = camera_of_frame[frame]
    rgb = conversions.image_from_msg(camera, msg, 0).rgb
    return ReferringPrompt(camera=camera, rgb=rgb, colour=mask_colour(rgb))
