"""Drives managed nodes to active in order, and says which one refused and why.

python -m vla3d_ros.ros.bring_up /fr3/twin /fr3/camera /fr3/adapter
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from vla3d_ros.errors import BringUpError
from vla3d_ros.ros.qos import EVENT

_CONFIGURE = (
    "configure",
    Transition.TRANSITION_CONFIGURE,
    State.PRIMARY_STATE_UNCONFIGURED,
    State.PRIMARY_STATE_INACTIVE,
)
_ACTIVATE = ("activate", Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE)
_ANSWER_S = 3.0  # after so long without an answer the node is asked whether it got the request
_REASON_WAIT_S = 1.0
_ATTEMPTS, _ATTEMPT_S = 4, 10.0


class _OutOfPatienceError(Exception):
    """Neither answer nor state came in time."""


class _Patience:
    """How long to wait from now on, and whom to ask for processes that ended meanwhile."""

    def __init__(self, timeout_s: float, dead: Callable[[], Iterable[str]]) -> None:
        self.timeout_s = timeout_s
        self.dead = dead
        self._deadline_s = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        return time.monotonic() > self._deadline_s

    def at_most(self, seconds: float) -> _Patience:
        return _Patience(max(0.0, min(seconds, self._deadline_s - time.monotonic())), self.dead)


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
            for verb, transition, before, after in (_CONFIGURE, _ACTIVATE):
                self._change_state(name, verb, transition, (before, after), _Patience(timeout_s, dead_processes))
            on_active(name)

    def _change_state(
        self, name: str, verb: str, transition: int, before_after: tuple[int, int], patience: _Patience
    ) -> None:
        client = self._node.create_client(ChangeState, f"{name}/change_state")
        states = self._node.create_client(GetState, f"{name}/get_state")
        try:
            if not self._wait(client.service_is_ready, patience, name):
                raise BringUpError(
                    f"node '{name}' did not appear within {patience.timeout_s:g} s; see its process' log"
                )
            request = ChangeState.Request(transition=Transition(id=transition))
            patience = _Patience(patience.timeout_s, patience.dead)
            futures: list[Future] = []
            state: int | None = before_after[0]
            while state == before_after[0]:  # it never got the request, which is therefore made again
                futures.append(client.call_async(request))
                ask = partial(states.call_async, GetState.Request())
                state = self._state_unless(lambda: _is_answered(futures), ask, before_after, name, patience)
            if state is None and not _has_succeeded(futures):
                self._wait(lambda: name in self._errors, _Patience(_REASON_WAIT_S, patience.dead), name)
                reason = self._errors.get(name, "it gave no reason; see its log")
                raise BringUpError(f"node '{name}': {reason}")
        except _OutOfPatienceError as error:
            raise BringUpError(f"node '{name}' did not {verb} within {patience.timeout_s:g} s") from error
        finally:
            self._node.destroy_client(client)
            self._node.destroy_client(states)

    def _state_unless(
        self,
        is_answered: Callable[[], bool],
        ask: Callable[[], Future],
        expected: tuple[int, int],
        name: str,
        patience: _Patience,
    ) -> int | None:
        """Return which of two states a node is in, None as soon as it has answered. Busy nodes tell it later."""
        while not self._wait(is_answered, patience.at_most(_ANSWER_S), name):
            if patience.is_over():
                raise _OutOfPatienceError
            asked = ask()
            is_told = self._wait(asked.done, patience.at_most(_ANSWER_S), name)
            if is_told and not is_answered() and asked.result().current_state.id in expected:
                return int(asked.result().current_state.id)
        return None

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


def _has_succeeded(futures: Iterable[Future]) -> bool:
    return any(future.done() and future.result().success for future in futures)


def _is_answered(futures: Sequence[Future]) -> bool:
    """Whether one request succeeded or the newest was refused; answers come in the order of the requests."""
    return _has_succeeded(futures) or futures[-1].done()


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
