"""Work of one stage while the next is busy: decoding ahead of inference, in its own order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")

_POLL_S = 0.1


class _End:
    """What comes after the last item: the error that ended them, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Lane(Generic[Item]):
    """A short queue between two threads that either may leave."""

    def __init__(self, depth: int) -> None:
        self._waiting: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
        self.is_left = threading.Event()

    def put(self, item: Item | _End) -> bool:
        """Wait for room; False if nobody takes any more."""
        while not self.is_left.is_set():
            with suppress(queue.Full):
                self._waiting.put(item, timeout=_POLL_S)
                return True
        return False

    def get(self) -> Item | _End:
        return self._waiting.get()

    def fill(self, items: Iterable[Item]) -> None:
        """Put all items, then their end."""
        error: BaseException | None = None
        try:
            for item in items:
                if not self.put(item):
                    return
        except BaseException as raised:  # handed to the thread that takes the items
            error = raised
        self.put(_End(error))


def ahead(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Iterate in another thread, up to `depth` items ahead; the order and the items are those of the iterable.

    An error of the iterable is raised where its next item would have been. If the caller stops early, so does the
    thread.
    """
    lane: _Lane[Item] = _Lane(depth)
    thread = threading.Thread(target=lane.fill, args=(items,), name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := lane.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        lane.is_left.set()
        thread.join()
