"""Scenes of the twin, drawn from a seed, for a person who has no cubes to put on a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node

from vla3d_ros.ros.persistent_client import PersistentClient, Question, ask_again
from vla3d_ros.ros.robot_services import RobotServices

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
        self._seeder = PersistentClient(node, SetParameters, _SEED)
        self._placer = RobotServices(node, [_PLACE])
        self.scene: Mapping[str, Any] = {}
        """Seed and instruction of the scene that was set last."""
        self._is_busy = False

    def place(self, seed: int) -> None:
        """Set the scene of a seed."""
        if not (self._seeder.is_ready and self._placer.is_ready(_PLACE)):
            self._refuse(f"nobody offers the service '{_PLACE}': is the twin running?")
            return
        if self._is_busy:
            self._refuse(f"scene {seed} was not set: another one is being set; try again")
            return
        self._is_busy = True
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="scene_seed", value=value)])
        self._seeder.ask(request, on_silence=ask_again, on_over=partial(self._on_seeded, seed), on_delay=self._refuse)

    def _on_seeded(self, seed: int, question: Question) -> None:
        result = question.response.results[0] if question.response is not None else None
        if result is not None and result.successful:
            self._placer.ask(_PLACE, partial(self._on_placed, seed), self._refuse)
            return
        self._is_busy = False
        self._refuse(f"the twin refused seed {seed}: {result.reason}" if result is not None else question.problem)

    def _on_placed(self, seed: int, question: Question) -> None:
        self._is_busy = False
        response = question.response
        if response is None or not response.success:
            self._refuse(question.problem if response is None else str(response.message))
            return
        self.scene = {"seed": seed, "instruction": str(yaml.safe_load(response.message)["instruction"])}
        self._on_answer("scene", True, f"scene {seed} is set")

    def _refuse(self, reason: str) -> None:
        self._on_answer("scene", False, reason)
