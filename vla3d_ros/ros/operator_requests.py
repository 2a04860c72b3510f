"""What an operator asks of the graph by pressing something: services of adapter and recorder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

SERVICES = {
    **{name: f"adapter/{name}" for name in ("arm", "disarm", "stop", "reset", "home")},
    **{f"record_{name}": f"recorder/{name}" for name in ("start", "stop", "success", "failure", "discard")},
}
"""Request -> service, below the robot's namespace."""

OnAnswer = Callable[[str, bool, str], None]


class OperatorRequests:
    """Sends requests without waiting; answers come in the thread that spins the node."""

    def __init__(self, node: Node, on_answer: OnAnswer) -> None:
        """Create the clients.

        Args:
            node: In the robot's namespace.
            on_answer: Called with the request, whether it was granted, and what was said.
        """
        self._on_answer = on_answer
        self._services: dict[str, Any] = {
            name: node.create_client(Trigger, service) for name, service in SERVICES.items()
        }

    def send(self, request: str) -> None:
        """Send one of `SERVICES`; where nobody offers it, that is the answer."""
        client = self._services[request]
        if not client.service_is_ready():
            self._on_answer(request, False, f"nobody offers the service '{SERVICES[request]}'")
            return
        client.call_async(Trigger.Request()).add_done_callback(partial(self._on_done, request))

    def _on_done(self, request: str, future: Future) -> None:
        response = future.result()
        self._on_answer(request, bool(response.success), str(response.message))
