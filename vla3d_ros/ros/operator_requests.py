"""What an operator asks of the graph by pressing something: services of adapter and recorder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node

from vla3d_ros.ros.persistent_client import Question
from vla3d_ros.ros.robot_services import RobotServices

SERVICES = {
    **{name: f"adapter/{name}" for name in ("arm", "disarm", "stop", "reset", "home")},
    **{f"record_{name}": f"recorder/{name}" for name in ("start", "stop", "success", "failure", "discard")},
}
"""Request -> service, below the robot's namespace."""

OnAnswer = Callable[[str, bool, str], None]


class OperatorRequests:
    """Sends requests without waiting; answers come in the thread that spins the node, within a second or so.

    No answer is an answer, too. What is asked again then, and what is not, is said in `robot_services`.
    """

    def __init__(self, node: Node, on_answer: OnAnswer) -> None:
        """Create the clients.

        Args:
            node: In the robot's namespace.
            on_answer: Called with the request, whether it was granted, and what was said.
        """
        self._on_answer = on_answer
        self._services = RobotServices(node, SERVICES.values())

    def send(self, request: str) -> None:
        """Send one of `SERVICES`; where nobody offers it, that is the answer."""
        service = SERVICES[request]
        if not self._services.is_ready(service):
            self._on_answer(request, False, f"nobody offers the service '{service}'")
            return
        self._services.ask(service, partial(self._on_over, request), partial(self._on_answer, request, False))

    def _on_over(self, request: str, question: Question) -> None:
        if question.response is None:
            self._on_answer(request, False, question.problem)
        else:
            self._on_answer(request, bool(question.response.success), str(question.response.message))
