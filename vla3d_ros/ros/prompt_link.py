"""A trial runner's side of prompts: masks from the twin come in, marked pictures for the policy go out."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, Queue

import yaml
from rclpy.node import Node
from sensor_msgs.msg import Image

from vla3d_ros.datatypes import ReferringPrompt
from vla3d_ros.evaluation.live_trials import TrialError
from vla3d_ros.evaluation.prompting import TargetMask
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.prompt_topic import PROMPT_TOPIC, prompt_to_msg
from vla3d_ros.ros.twin_conversions import mask_from_msg

_TIMEOUT_S = 10.0


class PromptLink:
    """Publisher of `policy/prompt`, latched, and ear for `/twin/target_mask`."""

    def __init__(self, node: Node) -> None:
        """Create both on a node that somebody else spins."""
        self._publisher = node.create_publisher(Image, PROMPT_TOPIC, qos.LATCHED)
        self._masks: Queue[Image] = Queue()
        self._seen: dict[str, tuple[str, int]] = {}
        node.create_subscription(Image, "/twin/target_mask", self._masks.put, qos.EVENT)

    def note(self, camera: str, msg: Image) -> None:
        """Take note of a picture's optical frame and stamp: a prompt drawn on it carries them."""
        self._seen[camera] = (msg.header.frame_id, conversions.stamp_to_ns(msg.header.stamp))

    def publish(self, prompt: ReferringPrompt) -> None:
        """Show a prompt to the policy, and to whoever comes later.

        Raises:
            TrialError: If no picture of its camera was noted.
        """
        if prompt.camera not in self._seen:
            raise TrialError(f"a prompt on camera '{prompt.camera}', of which no picture was taken; take one first")
        self._publisher.publish(prompt_to_msg(prompt, *self._seen[prompt.camera]))

    def target_mask(self, ask: Callable[[], str]) -> TargetMask:
        """Ask the twin for its target and wait for the mask.

        Args:
            ask: Makes the twin publish it, and returns what it says: YAML with `camera` and `target`.

        Raises:
            TrialError: If none comes.
        """
        while not self._masks.empty():
            self._masks.get()
        said = yaml.safe_load(ask())
        try:
            msg = self._masks.get(timeout=_TIMEOUT_S)
        except Empty as error:
            raise TrialError(f"no mask on '/twin/target_mask' within {_TIMEOUT_S:g} s") from error
        return TargetMask(camera=str(said["camera"]), mask=mask_from_msg(msg), name=str(said["target"]))
