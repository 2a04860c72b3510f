"""Serialized messages into a rosbag2 MCAP, off the caller's thread, with every loss counted.

Two threads: one packs, compresses and writes, and closes a chunk every quarter of a second; one makes the disk keep
what was written, twice a second. A killed process loses at most the open chunk and the queue; a power cut at most what
the disk had not confirmed.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rosbags.interfaces import Qos

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.bag_summary import BagSummary, WriterState
from vla3d_ros.recording.image_packing import ImagePacking
from vla3d_ros.recording.mcap_sink import McapSink
from vla3d_ros.recording.message_definitions import MessageDefinitions, MessageType

__all__ = ["PROGRESS_FILE", "BagSummary", "BagWriter"]

PROGRESS_FILE = "progress.json"

_QUEUE_BYTES = 256 * 2**20
_FLUSH_S = 0.25
_SYNC_S = 0.5
_NS_PER_S = 1e9

log = logging.getLogger(__name__)


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
    accepted_s: float


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
        packing: ImagePacking | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the bag and start the threads.

        Args:
            path: Folder of the finished bag; neither it nor `<path>.partial` may exist.
            definitions: Where message types are looked up; the standard ones by default.
            is_compressed: Compress MCAP chunks with zstd.
            queue_bytes: Most bytes of messages waiting for the disk.
            custom_data: Facts about the recording, stored in the bag's metadata.
            packing: Store colour images as JPEG; raw by default.
            now_s: A clock that nobody sets, for flushing.

        Raises:
            RecordingError: If the bag exists or the folder can not be written.
        """
        self.path = path
        self.partial_path = path.with_name(f"{path.name}.partial")
        self._definitions = definitions or MessageDefinitions()
        self._packing, self._queue_bytes, self._now_s = packing, queue_bytes, now_s
        self._declared: dict[str, _Topic] = {}
        self._stored_topics: set[str] = set()
        self._received: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._queue: deque[_Topic | _Message] = deque()
        self._waiting_bytes, self._newest_ns = 0, 0
        self._accepted_s = self._written_s = self._flushed_s = self._flushed_until_s = self._kept_s = now_s()
        self._longest_sync_s = 0.0
        self._is_closing = False
        self._summary: BagSummary | None = None
        self._error: RecordingError | None = None
        self._changed = threading.Condition()
        self._close_lock = threading.Lock()
        self._is_written = threading.Event()
        self._sink = self._opened(is_compressed, custom_data or {})
        self._thread = threading.Thread(target=self._run, name="bag-writer", daemon=True)
        self._thread.start()
        threading.Thread(target=self._keep, name="bag-sync", daemon=True).start()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """Where the bag is being built; what lies in it moves with the bag."""
        return self._sink.folder

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics declared so far."""
        return tuple(self._declared)

    @property
    def dropped(self) -> int:
        """Messages lost so far, on their way here or because the queue was full."""
        return sum(self._dropped.values())

    @property
    def state(self) -> WriterState:
        """How it is doing now."""
        with self._changed:
            return WriterState(
                received=sum(self._received.values()),
                dropped={topic: count for topic, count in self._dropped.items() if count},
                waiting_bytes=self._waiting_bytes,
                waiting_share=self._waiting_bytes / self._queue_bytes,
                at_risk_s=max(0.0, self._accepted_s - self._kept_s),
            )

    def add_topic(self, topic: str, msgtype: str, qos: Qos) -> None:
        """Declare a topic before its first message.

        Args:
            topic: Full name.
            msgtype: Full type name, e.g. `sensor_msgs/msg/Image`.
            qos: What its publisher offers; stored so that a player can offer the same.

        Raises:
            RecordingError: If the topic is declared twice, its type is unknown, or writing has failed.
        """
        if topic in self._declared:
            raise RecordingError(f"{self.path}: topic '{topic}' is already in the bag; declare a topic once")
        item = _Topic(topic, self._definitions.lookup(msgtype, topic), qos)
        with self._changed:
            self._refuse_if_finished()
            self._declared[topic] = item
            self._dropped[topic] = 0
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
            if topic not in self._declared:
                raise RecordingError(f"{self.path}: topic '{topic}' is not declared; available: {sorted(self.topics)}")
            is_lost = self._waiting_bytes + len(cdr) > self._queue_bytes
            if not is_lost:
                self._accepted_s = self._now_s()
                self._queue.append(_Message(topic, stamp_ns, cdr, self._accepted_s))
                self._waiting_bytes += len(cdr)
                self._received[topic] += 1
                self._newest_ns = max(self._newest_ns, stamp_ns)
                self._changed.notify()
            else:
                self._dropped[topic] += 1
        if is_lost and self._dropped[topic] == 1:
            log.warning("%s: queue of %d bytes is full, dropping on '%s'", self.path, self._queue_bytes, topic)
        return not is_lost

    def count_missed(self, topic: str, count: int) -> None:
        """Count messages of a declared topic that were published and never arrived here: they are lost, too."""
        with self._changed:
            self._dropped[topic] += count
        if self._dropped[topic] == count:
            log.warning("%s: the first messages got lost on their way here, on '%s'", self.path, topic)

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
            while not self._is_drained():
                if (item := self._next()) is not None:
                    self._store(item)
                if self._now_s() - self._flushed_s >= _FLUSH_S:
                    self._flush()
            self._sink.close()
        except Exception as error:  # whatever it was, a dead thread must not pass for a finished bag
            self._fail(error)
            self._sink.abort()
        finally:
            self._is_written.set()

    def _is_drained(self) -> bool:
        with self._changed:
            return self._error is not None or (self._is_closing and not self._queue)

    def _next(self) -> _Topic | _Message | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing, timeout=_FLUSH_S)
            return self._queue.popleft() if self._queue else None

    def _store(self, item: _Topic | _Message) -> None:
        if isinstance(item, _Topic):
            if self._packing is None:
                self._declare(item.name, item)
            return
        topic, msgtype, cdr = item.topic, self._declared[item.topic].type.name, item.cdr
        if self._packing is not None:
            topic, msgtype, cdr = self._packing.pack(topic, msgtype, cdr)
            if topic not in self._stored_topics:
                kind = self._definitions.lookup(msgtype, topic)
                self._declare(topic, _Topic(topic, kind, self._declared[item.topic].qos))
        self._sink.write(topic, item.stamp_ns, cdr)
        with self._changed:
            self._messages[topic] += 1
            self._waiting_bytes -= len(item.cdr)
            self._written_s = item.accepted_s

    def _declare(self, topic: str, item: _Topic) -> None:
        self._sink.add_topic(topic, item.type, item.qos)
        self._stored_topics.add(topic)
        self._messages[topic] += 0

    def _flush(self) -> None:
        with self._changed:
            written_s = self._written_s if self._queue else self._now_s()
        self._sink.flush()
        self._flushed_s, self._flushed_until_s = self._now_s(), written_s

    # ------------------------------------------------------------------------------------------- sync thread

    def _keep(self) -> None:
        """Let the disk confirm, and note how far the recording got, for `recover`."""
        try:
            while not self._is_written.wait(_SYNC_S):
                started_s, until_s = self._now_s(), self._flushed_until_s
                self._sink.sync()
                self._longest_sync_s = max(self._longest_sync_s, self._now_s() - started_s)
                self._kept_s = until_s
                self._note_progress()
        except OSError as error:
            self._fail(error)

    def _note_progress(self) -> None:
        with self._changed:
            progress = {"newest_ns": self._newest_ns, "received": dict(self._received), "dropped": dict(self._dropped)}
        fresh = self.partial_path / f"{PROGRESS_FILE}.new"
        fresh.write_text(json.dumps(progress), encoding="utf-8")
        os.replace(fresh, self.partial_path / PROGRESS_FILE)  # noqa: PTH105

    # --------------------------------------------------------------------------------------------- life cycle

    def _opened(self, is_compressed: bool, custom_data: Mapping[str, str]) -> McapSink:
        existing = [str(path) for path in (self.path, self.partial_path) if path.exists()]
        if existing:
            raise RecordingError(f"bag {', '.join(existing)} exists already; choose another name or move it away")
        try:
            return McapSink(
                self.partial_path / self.path.name, is_compressed=is_compressed, custom_data=dict(custom_data)
            )
        except OSError as error:
            raise self._failure(error) from error

    def _finished(self) -> BagSummary:
        try:
            for name in (PROGRESS_FILE, f"{PROGRESS_FILE}.new"):
                (self.partial_path / name).unlink(missing_ok=True)
            self.folder.rename(self.path)
            self.partial_path.rmdir()
            size_bytes = sum(file.stat().st_size for file in self.path.iterdir())
        except OSError as error:
            raise self._failure(error) from error
        return BagSummary(
            path=self.path,
            messages=dict(self._messages),
            dropped=dict(self._dropped),
            size_bytes=size_bytes,
            duration_s=max(0, self._sink.end_ns - self._sink.start_ns) / _NS_PER_S,
            longest_sync_s=self._longest_sync_s,
        )

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = self._error or self._failure(error)
            self._changed.notify()
        log.error("%s", self._error)

    def _failure(self, error: Exception) -> RecordingError:
        return RecordingError(
            f"bag {self.path} can not be written: {error}; what was saved is in {self.partial_path}: free disk space "
            f"or choose a writable folder, then run 'vla3d bag recover {self.partial_path}'"
        )

    def _refuse_if_finished(self) -> None:
        if self._error is not None:
            raise self._error
        if self._is_closing:
            raise RecordingError(f"bag {self.path} is closed; start a new one")
