"""The newest message of each topic, kept as bytes and read only when somebody asks for it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from vla3d_ros.ros.conversions import stamp_ns_of_cdr

_STAMPS_KEPT = 30


class NewestMessages:
    """Subscribes, counts and forgets: a stream at 200 Hz costs next to nothing until it is looked at. Thread-safe."""

    def __init__(self, node: Node, clock_s: Callable[[], float]) -> None:
        """Take the node.

        Args:
            node: Subscribes.
            clock_s: Steady time in seconds, for how long somebody has been silent.
        """
        self._node, self._clock_s = node, clock_s
        self._lock = threading.Lock()
        self._kinds: dict[str, type] = {}
        self._heard: dict[str, tuple[int, float, bytes]] = {}
        self._read: dict[str, tuple[int, Any]] = {}
        self._stamps_ns: dict[str, deque[int]] = {}
        self._subscriptions: list[Any] = []

    def listen(self, key: str, kind: type, topic: str, profile: QoSProfile, *, has_header: bool = False) -> None:
        """Subscribe; with a header, the stamps of the last messages are kept, too."""
        self._kinds[key] = kind
        if has_header:
            self._stamps_ns[key] = deque(maxlen=_STAMPS_KEPT)
        subscription = self._node.create_subscription(kind, topic, partial(self._take, key), profile, raw=True)
        self._subscriptions.append(subscription)

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def silent_s(self, key: str) -> float:
        """Return the seconds since the last message, infinity if there was none."""
        with self._lock:
            heard = self._heard.get(key)
        return self._clock_s() - heard[1] if heard else math.inf

    def count(self, key: str) -> int:
        """Return how many messages have come."""
        with self._lock:
            return self._heard[key][0] if key in self._heard else 0

    def raw(self, key: str) -> tuple[int, bytes] | None:
        """Return number and bytes of the newest message, None if there was none."""
        with self._lock:
            heard = self._heard.get(key)
        return (heard[0], heard[2]) if heard else None

    def message(self, key: str) -> Any:
        """Return the newest message, None if there was none; each is read once."""
        heard = self.raw(key)
        if heard is None:
            return None
        number, cdr = heard
        kept = self._read.get(key)
        if kept is None or kept[0] != number:
            kept = (number, deserialize_message(cdr, self._kinds[key]))
            self._read[key] = kept
        return kept[1]

    def stamps_ns(self, key: str) -> tuple[int, ...]:
        """Return the stamps of the last messages, oldest first."""
        with self._lock:
            return tuple(self._stamps_ns[key])

    def _take(self, key: str, cdr: bytes) -> None:
        with self._lock:
            number = self._heard[key][0] + 1 if key in self._heard else 1
            self._heard[key] = (number, self._clock_s(), cdr)
            stamps = self._stamps_ns.get(key)
            if stamps is not None:
                stamp_ns = stamp_ns_of_cdr(cdr)
                if stamps and stamp_ns < stamps[-1]:
                    stamps.clear()
                stamps.append(stamp_ns)
