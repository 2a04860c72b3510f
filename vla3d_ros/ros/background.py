"""Work beside a node's thread: what takes milliseconds must not delay what is due every ten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

T = TypeVar("T")


class BackgroundWorker(Generic[T]):
    """One thread that does one piece of work at a time; results come back in the thread that spins the node.

    `begin` and `wait` are to be called in that thread, too. Exceptions of the work are raised there.
    """

    def __init__(self, node: Node, name: str) -> None:
        """Start the thread; it ends with the process."""
        self._work: Callable[[], T] | None = None
        self._on_result: Callable[[T], None] | None = None
        self._result: T | None = None
        self._error: BaseException | None = None
        self._is_wanted, self._is_done = threading.Event(), threading.Event()
        self._guard = node.create_guard_condition(self._deliver, MutuallyExclusiveCallbackGroup())
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether a result is still to come."""
        return self._on_result is not None

    def begin(self, work: Callable[[], T], on_result: Callable[[T], None]) -> None:
        """Do a piece of work; the one before must have been delivered."""
        assert not self.is_busy, "one piece of work at a time"
        self._work, self._on_result = work, on_result
        self._is_wanted.set()

    def wait(self) -> None:
        """Wait for the work in progress and deliver its result now; also for work that a result began."""
        while self.is_busy:
            self._is_done.wait()
            self._deliver()

    def _run(self) -> None:
        while True:
            self._is_wanted.wait()
            self._is_wanted.clear()
            assert self._work is not None
            try:
                self._result = self._work()
            except Exception as error:  # raised again where it can be handled
                self._error = error
            self._is_done.set()
            self._guard.trigger()

    def _deliver(self) -> None:
        if not self._is_done.is_set() or self._on_result is None:
            return  # `wait` was faster
        self._is_done.clear()
        on_result, result, error = self._on_result, self._result, self._error
        self._on_result = self._result = self._error = None
        if error is not None:
            raise error
        on_result(result)  # type: ignore[arg-type]
