"""Serialized messages into a rosbag2 MCAP, off the caller's thread, with every loss counted."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.message_definitions import MessageDefinitions, MessageType

_METADATA_VERSION: Final = 8  # the newest whose QoS text Humble, Jazzy and Kilted all read
_QUEUE_BYTES = 256 * 2**20
_NS_PER_S = 1e9
_BYTES_PER_MB = 1e6

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BagSummary:
    """What a closed bag holds and what it lost: messages per topic, bytes on disk, seconds of recorded time."""

    path: Path
    messages: Mapping[str, int]
    dropped: Mapping[str, int]
    size_bytes: int
    duration_s: float

    def line(self) -> str:
        """Return one line for people, naming every topic that lost messages."""
        text = (
            f"{self.path}: {sum(self.messages.values())} messages on {len(self.messages)} topics, "
            f"{self.duration_s:.1f} s, {self.size_bytes / _BYTES_PER_MB:.1f} MB"
        )
        lost = [f"{count} on {topic}" for topic, count in sorted(self.dropped.items()) if count]
        return f"{text}, nothing dropped" if not lost else f"{text}, DROPPED {', '.join(lost)}"


@dataclass(frozen=True, slots=True)
class _Topic:
    name: str
    type: MessageType
    qos: Qos


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    stamp_ns: int
    cdr: bytes


class BagWriter:
    """Writes one bag. The bag is built in `<path>.partial` and moved to `path` by `close`.

    `write` never waits for the disk: it queues, and one thread compresses and writes. A full queue drops the newest
    message, counts it against its topic and logs the first loss of each topic.
    """

    def __init__(
        self,
        path: Path,
        *,
        definitions: MessageDefinitions | None = None,
        is_compressed: bool = True,
        queue_bytes: int = _QUEUE_BYTES,
        custom_data: Mapping[str, str] | None = None,
    ) -> None:
        """Create the bag and start the writing thread.

        Args:
            path: Folder of the finished bag; neither it nor `<path>.partial` may exist.
            definitions: Where message types are looked up; the standard ones by default.
            is_compressed: Compress MCAP chunks with zstd.
            queue_bytes: Most bytes of messages waiting for the disk.
            custom_data: Facts about the recording, stored in the bag's metadata.

        Raises:
            RecordingError: If the bag exists or the folder can not be written.
        """
        self.path = path
        self.partial_path = path.with_name(f"{path.name}.partial")
        self._definitions = definitions or MessageDefinitions()
        self._queue_bytes = queue_bytes
        self._messages: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._queue: deque[_Topic | _Message] = deque()
        self._waiting_bytes = 0
        self._is_closing = False
        self._summary: BagSummary | None = None
        self._error: RecordingError | None = None
        self._changed = threading.Condition()
        self._close_lock = threading.Lock()
        self._connections: dict[str, Connection] = {}
        self._bag = self._opened(is_compressed, custom_data or {})
        self._thread = threading.Thread(target=self._run, name="bag-writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics of this bag so far."""
        return tuple(self._messages)

    @property
    def dropped(self) -> int:
        """Messages lost so far because the queue was full."""
        return sum(self._dropped.values())

    def add_topic(self, topic: str, msgtype: str, qos: Qos) -> None:
        """Declare a topic before its first message.

        Args:
            topic: Full name.
            msgtype: Full type name, e.g. `sensor_msgs/msg/Image`.
            qos: What its publisher offers; stored so that a player can offer the same.

        Raises:
            RecordingError: If the topic is declared twice, its type is unknown, or writing has failed.
        """
        if topic in self._messages:
            raise RecordingError(f"{self.path}: topic '{topic}' is already in the bag; declare a topic once")
        item = _Topic(topic, self._definitions.lookup(msgtype, topic), qos)
        with self._changed:
            self._refuse_if_finished()
            self._messages[topic] = self._dropped[topic] = 0
            self._queue.append(item)
            self._changed.notify()

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> bool:
        """Queue one message.

        Args:
            topic: A declared topic.
            stamp_ns: Receive time, ROS clock.
            cdr: The message as it came from the wire, encapsulation header included.

        Returns:
            False if the queue was full and the message is lost (and counted).

        Raises:
            RecordingError: If the topic is not declared, the bag is closed, or writing has failed.
        """
        with self._changed:
            self._refuse_if_finished()
            if topic not in self._messages:
                raise RecordingError(f"{self.path}: topic '{topic}' is not declared; available: {sorted(self.topics)}")
            is_lost = self._waiting_bytes + len(cdr) > self._queue_bytes
            if not is_lost:
                self._queue.append(_Message(topic, stamp_ns, cdr))
                self._waiting_bytes += len(cdr)
                self._changed.notify()
            else:
                self._dropped[topic] += 1
        if is_lost and self._dropped[topic] == 1:
            log.warning("%s: queue of %d bytes is full, dropping on '%s'", self.path, self._queue_bytes, topic)
        return not is_lost

    def close(self) -> BagSummary:
        """Write what is queued, finish the bag and move it to its final name. Safe to call again.

        Returns:
            What was written and what was dropped.

        Raises:
            RecordingError: If anything could not be written; the partial bag stays where it is.
        """
        with self._close_lock:
            if self._summary is None:
                with self._changed:
                    self._is_closing = True
                    self._changed.notify()
                self._thread.join()
                if self._error is not None:
                    raise self._error
                self._summary = self._finished()
            return self._summary

    # ---------------------------------------------------------------------------------------- writing thread

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._store(item)
            self._bag.close()
        except Exception as error:  # whatever it was, a dead thread must not pass for a finished bag
            self._error = self._failure(error)
            log.error("%s", self._error)
            with suppress(OSError):
                self._bag.abort()

    def _next(self) -> _Topic | _Message | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing)
            return self._queue.popleft() if self._queue else None

    def _store(self, item: _Topic | _Message) -> None:
        if isinstance(item, _Topic):
            self._connections[item.name] = self._bag.add_connection(
                item.name,
                item.type.name,
                msgdef=item.type.text,
                rihs01=item.type.rihs01,
                offered_qos_profiles=[item.qos],
            )
            return
        self._bag.write(self._connections[item.topic], item.stamp_ns, item.cdr)
        with self._changed:
            self._messages[item.topic] += 1
            self._waiting_bytes -= len(item.cdr)

    # --------------------------------------------------------------------------------------------- life cycle

    def _opened(self, is_compressed: bool, custom_data: Mapping[str, str]) -> Writer:
        existing = [str(path) for path in (self.path, self.partial_path) if path.exists()]
        if existing:
            raise RecordingError(f"bag {', '.join(existing)} exists already; choose another name or move it away")
        bag = Writer(self.partial_path / self.path.name, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        if is_compressed:
            bag.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, value in custom_data.items():
            bag.set_custom_data(key, value)
        try:
            bag.open()
        except (OSError, WriterError) as error:
            raise self._failure(error) from error
        return bag

    def _finished(self) -> BagSummary:
        try:
            (self.partial_path / self.path.name).rename(self.path)
            self.partial_path.rmdir()
            size_bytes = sum(file.stat().st_size for file in self.path.iterdir())
        except OSError as error:
            raise self._failure(error) from error
        duration_ns = max(0, self._bag.max_timestamp - self._bag.min_timestamp)
        return BagSummary(
            path=self.path,
            messages=dict(self._messages),
            dropped=dict(self._dropped),
            size_bytes=size_bytes,
            duration_s=duration_ns / _NS_PER_S,
        )

    def _failure(self, error: Exception) -> RecordingError:
        return RecordingError(
            f"bag {self.path} can not be written: {error}; what was saved is in {self.partial_path}; "
            "free disk space or choose a writable folder, then record again"
        )

    def _refuse_if_finished(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_closing:
            raise RecordingError(f"bag {self.path} is closed; start a new one")
