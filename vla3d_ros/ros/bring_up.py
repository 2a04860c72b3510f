"""Drives managed nodes to active in order, and says which one refused and why.

python -m vla3d_ros.ros.bring_up /fr3/twin /fr3/camera /fr3/adapter
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vla3d_ros.errors import BringUpError
from vla3d_ros.ros.qos import EVENT
from vla3d_ros.ros.transitions import TransitionClient

_REASON_WAIT_S = 1.0
_ATTEMPTS, _ATTEMPT_S = 4, 10.0


class _Patience:
    """How long to wait from now on, and whom to ask for processes that ended meanwhile."""

    def __init__(self, timeout_s: float, dead: Callable[[], Iterable[str]]) -> None:
        self.timeout_s = timeout_s
        self.dead = dead
        self._deadline_s = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        return time.monotonic() > self._deadline_s


class BringUp:
    """Walks nodes through configure and activate, one node after the other."""

    def __init__(self, node: Node) -> None:
        """Take a node of the caller's; it is spun here while waiting."""
        self._node = node
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._errors: dict[str, str] = {}
        self._subscription = node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, EVENT)

    def close(self) -> None:
        """Hand the node back."""
        self._node.destroy_subscription(self._subscription)
        self._executor.remove_node(self._node)
        self._executor.shutdown()

    def activate(
        self,
        names: Sequence[str],
        *,
        timeout_s: float,
        on_active: Callable[[str], None] = lambda name: None,
        dead_processes: Callable[[], Iterable[str]] = lambda: (),
    ) -> None:
        """Activate nodes in order.

        Args:
            names: Fully qualified node names.
            timeout_s: Longest wait for one node to appear, and for one transition.
            on_active: Called with each node's name when it is active.
            dead_processes: Sentences about processes that ended; asked while waiting.

        Raises:
            BringUpError: Naming the node that refused, or did not come, and why.
        """
        for name in names:
            for verb in ("configure", "activate"):
                self._change_state(name, verb, _Patience(timeout_s, dead_processes))
            on_active(name)

    def _change_state(self, name: str, verb: str, patience: _Patience) -> None:
        client = TransitionClient(self._node, name)
        try:
            if not self._wait(lambda: client.is_ready, patience, name):
                raise BringUpError(
                    f"node '{name}' did not appear within {patience.timeout_s:g} s; see its process' log"
                )
            patience, question = _Patience(patience.timeout_s, patience.dead), client.ask(verb)
            if not self._wait(lambda: question.is_over, patience, name):
                raise BringUpError(f"node '{name}' did not {verb} within {patience.timeout_s:g} s")
            if not question.result().success:
                self._wait(lambda: name in self._errors, _Patience(_REASON_WAIT_S, patience.dead), name)
                reason = self._errors.get(name, "it gave no reason; see its log")
                raise BringUpError(f"node '{name}': {reason}")
        finally:
            client.close()

    def _wait(self, is_done: Callable[[], bool], patience: _Patience, name: str) -> bool:
        while not is_done():
            if patience.is_over():
                return False
            if gone := list(patience.dead()):
                raise BringUpError(f"waiting for node '{name}': {'; '.join(gone)}")
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.level == DiagnosticStatus.ERROR:
                self._errors[status.name] = status.message
            else:
                self._errors.pop(status.name, None)


def reactivate_nodes(names: Sequence[str], *, dead_processes: Callable[[], Iterable[str]]) -> None:
    """Drive restarted nodes to active, from a process that has joined the graph already.

    For a while DDS takes the node that was killed for the new one, and requests are lost: they are made again.

    Raises:
        BringUpError: Naming the node that refused, or did not come, and why.
    """
    node = rclpy.create_node("bring_up", start_parameter_services=False)
    walker = BringUp(node)
    try:
        for name in names:
            for attempt in range(_ATTEMPTS):
                try:
                    walker.activate([name], timeout_s=_ATTEMPT_S, dead_processes=dead_processes)
                    break
                except BringUpError:
                    if attempt == _ATTEMPTS - 1 or list(dead_processes()):
                        raise
    finally:
        walker.close()
        node.destroy_node()


def bring_up(
    names: Sequence[str],
    *,
    on_active: Callable[[str], None],
    dead_processes: Callable[[], Iterable[str]] = lambda: (),
    timeout_s: float = 30.0,
) -> None:
    """Drive nodes to active from a process that runs no node of its own.

    Raises:
        BringUpError: Naming the node that refused, or did not come, and why.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        walker = BringUp(rclpy.create_node("bring_up", start_parameter_services=False))
        walker.activate(names, timeout_s=timeout_s, on_active=on_active, dead_processes=dead_processes)
        walker.close()
    finally:
        rclpy.try_shutdown()


def main(argv: list[str] | None = None) -> int:
    """Activate the named nodes, then end: 0 when all are active."""
    try:
        bring_up(sys.argv[1:] if argv is None else argv, on_active=lambda name: print(f"active: {name}", flush=True))
    except BringUpError as error:
        print(f"bring-up failed: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
