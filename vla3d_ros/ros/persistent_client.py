"""Asks a service so that a lost answer is found out, and the question is put again where that does no harm.

DDS drops an answer when the server has not discovered the client's reader yet, and a request when the server was
started anew: whoever waits for the answer would wait for ever. Here a question that has been open for half a second
looks whether its effect can be seen, is put again if whoever asks allows it, and is called unanswered in the end.
Somebody is told after a second at the latest.

Which answer a repeated question gets: the first one that comes. It is handed on when the newest request was answered,
too, so that no request is left that could be carried out after something else was asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from vla3d_ros.errors import TransportError

_LOOK_S = 0.5
_SILENT_LOOKS = 2  # after so many it is said that there is no answer yet
_PATIENCE_S = 5.0
_POLL_S = 0.05


class Silence(Enum):
    """What to do about a question that was not answered so far."""

    ASK_AGAIN = "ask again"
    WAIT = "wait"


OnSilence = Callable[[], Any]
"""Returns a `Silence`, or the response that the answer must have been, because its effect is there."""


def ask_again() -> Silence:
    """Put it again: what is asked for comes to the same when it is done twice, or later than it was wanted."""
    return Silence.ASK_AGAIN


def only_wait() -> Silence:
    """Never put it again: a second time, or later, it could mean something else."""
    return Silence.WAIT


class Question:
    """One question to one service, however often it is put."""

    def __init__(
        self,
        service: str,
        request: Any,
        on_silence: OnSilence,
        on_over: Callable[[Question], None],
        on_delay: Callable[[str], None],
    ) -> None:
        """Made by `PersistentClient.ask`, which says what the arguments are."""
        self.service, self.request = service, request
        self.on_silence, self.on_over, self.on_delay = on_silence, on_over, on_delay
        self.response: Any = None
        """The answer; None as long as there is none."""
        self.problem = ""
        """Why there will be no answer."""
        self.looks = 0
        self.futures: list[Future] = []
        self._is_over = threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether there is an answer, or will be none."""
        return self._is_over.is_set()

    def wait(self, timeout_s: float) -> Any:
        """Return the response, from another thread than the one that spins the client's node.

        Raises:
            TransportError: If there is none.
        """
        self._is_over.wait(timeout_s)
        return self.result()

    def result(self) -> Any:
        """Return the response.

        Raises:
            TransportError: If there is none.
        """
        if self.response is None:
            raise TransportError(self.problem or f"service '{self.service}' has not answered")
        return self.response

    def end(self, problem: str = "") -> None:
        """Be over, with or without a problem; once."""
        if not self.is_over:
            self.problem = problem
            self._is_over.set()
            self.on_over(self)


class PersistentClient:
    """Asks one service one question at a time. Ask in any thread; the rest is done where the node spins."""

    def __init__(self, node: Node, kind: Any, service: str, *, patience_s: float = _PATIENCE_S) -> None:
        """Create the client; early, so that both sides have found each other before the first question.

        Args:
            node: Its owner.
            kind: Type of the service.
            service: Name of the service.
            patience_s: A question is given up after so long without an answer.
        """
        self._node, self.service, self.patience_s = node, service, patience_s
        self._client = node.create_client(kind, service)
        self._question: Question | None = None
        self._lock = threading.Lock()
        self._timer = node.create_timer(_LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    @property
    def is_ready(self) -> bool:
        """Whether somebody offers the service."""
        return bool(self._client.service_is_ready())

    def close(self) -> None:
        """Destroy client and timer; nobody may be spinning the node."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_client(self._client)

    def ask(
        self,
        request: Any,
        *,
        on_silence: OnSilence = only_wait,
        on_over: Callable[[Question], None] = lambda question: None,
        on_delay: Callable[[str], None] | None = None,
    ) -> Question:
        """Put a question without waiting. The same one again goes on with the open one, another one replaces it.

        Args:
            request: Of the service's type.
            on_silence: What to do as long as there is no answer; asked twice a second.
            on_over: Called once with the question when there is an answer, or will be none.
            on_delay: Called once, after a second without an answer, with a sentence; None: that is logged.
        """
        with self._lock:
            replaced, question = None, self._question
            if question is None or question.request != request:
                replaced = question
                on_delay = on_delay or self._node.get_logger().warning
                question = self._question = Question(self.service, request, on_silence, on_over, on_delay)
                self._timer.reset()
        if replaced is not None:
            replaced.end(f"service '{self.service}' was asked something else before it answered")
        self._put(question)
        return question

    def call(self, request: Any, *, on_silence: OnSilence = only_wait) -> Any:
        """Wait for the service, ask, and return the response; in another thread than the one that spins the node.

        Raises:
            TransportError: If nobody offers the service, or there is no answer.
        """
        deadline = time.monotonic() + self.patience_s
        while not self.is_ready:
            if time.monotonic() > deadline:
                raise TransportError(f"service '{self.service}' is not there after {self.patience_s:g} s")
            time.sleep(_POLL_S)
        return self.ask(request, on_silence=on_silence).wait(2.0 * self.patience_s)

    def _put(self, question: Question) -> None:
        if self.is_ready:
            future = self._client.call_async(question.request)
            question.futures.append(future)
            future.add_done_callback(lambda future: self._on_response(question, future))

    def _on_response(self, question: Question, future: Future) -> None:
        if question.response is None:
            question.response = future.result()
        if future is question.futures[-1]:
            self._close(question)

    def _look(self) -> None:
        with self._lock:
            question = self._question
            if question is None:
                self._timer.cancel()
                return
        question.looks += 1
        if question.response is not None:
            self._close(question)
            return
        found = question.on_silence()
        if not isinstance(found, Silence):
            question.response = found
            self._close(question)
        elif question.looks * _LOOK_S >= self.patience_s:
            self._close(question, f"{self._complaint()} within {self.patience_s:g} s")
        else:
            self._go_on(question, found)

    def _go_on(self, question: Question, silence: Silence) -> None:
        """Say that there is no answer yet, once; put the question again, ever more rarely."""
        if question.looks == _SILENT_LOOKS:
            going = "it is being asked again" if silence is Silence.ASK_AGAIN else "it is not asked again by itself"
            question.on_delay(f"{self._complaint()} so far; {going}")
        if silence is Silence.ASK_AGAIN and question.looks & (question.looks - 1) == 0:
            self._put(question)

    def _complaint(self) -> str:
        if self.is_ready:
            return f"service '{self.service}' did not answer"
        return f"nobody offers the service '{self.service}': it did not answer"

    def _close(self, question: Question, problem: str = "") -> None:
        with self._lock:
            if self._question is question:
                self._question = None
        for future in question.futures:
            self._client.remove_pending_request(future)
        question.end(problem)
