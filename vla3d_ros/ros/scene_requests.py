"""Scenes of the twin, drawn from a seed, for a person who has no cubes to put on a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

_SEED, _PLACE = "twin/set_parameters", "/twin/place"
OnAnswer = Callable[[str, bool, str], None]


class SceneRequests:
    """Asks the twin without waiting; answers come in the thread that spins the node."""

    def __init__(self, node: Node, on_answer: OnAnswer) -> None:
        """Create the clients.

        Args:
            node: In the robot's namespace.
            on_answer: Called with "scene", whether it was set, and what was said.
        """
        self._on_answer = on_answer
        self._seeder = node.create_client(SetParameters, _SEED)
        self._placer = node.create_client(Trigger, _PLACE)
        self.scene: Mapping[str, Any] = {}
        """Seed and instruction of the scene that was set last."""

    def place(self, seed: int) -> None:
        """Set the scene of a seed."""
        if not (self._seeder.service_is_ready() and self._placer.service_is_ready()):
            self._on_answer("scene", False, f"nobody offers the service '{_PLACE}': is the twin running?")
            return
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="scene_seed", value=value)])
        self._seeder.call_async(request).add_done_callback(lambda future: self._on_seeded(seed, future))

    def _on_seeded(self, seed: int, future: Future) -> None:
        result = future.result().results[0]
        if not result.successful:
            self._on_answer("scene", False, f"the twin refused seed {seed}: {result.reason}")
            return
        self._placer.call_async(Trigger.Request()).add_done_callback(lambda done: self._on_placed(seed, done))

    def _on_placed(self, seed: int, future: Future) -> None:
        response = future.result()
        if not response.success:
            self._on_answer("scene", False, str(response.message))
            return
        self.scene = {"seed": seed, "instruction": str(yaml.safe_load(response.message)["instruction"])}
        self._on_answer("scene", True, f"scene {seed} is set")
