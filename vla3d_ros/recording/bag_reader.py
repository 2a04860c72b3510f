"""Any rosbag2 recording, ours or not, as serialized or decoded messages; every failure says what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.mcap_chunks import indexed_messages, is_indexed

_IDL_SEPARATOR = "=" * 80 + "\n"
_LARGE_BYTES = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class BagMessage:
    """One recorded message: receive stamp on the ROS clock and the bytes of the wire.

    Where the reader was told to share memory, `cdr` of a large message is a view of the unpacked chunk: like bytes, but
    for the methods of text.
    """

    topic: str
    msgtype: str
    stamp_ns: int
    cdr: bytes


class BagReader:
    """Reads a bag folder or a single storage file. Use as a context manager.

    Types are taken from the bag itself, else from the standard ones, and only for the topics that are decoded: an
    exotic topic does not spoil the others.
    """

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            RecordingError: If it is missing, half-written, damaged or not a rosbag2; says which and what to do.
        """
        self.path = path
        self._stores: dict[str, Typestore] = {}
        if not path.exists():
            raise RecordingError(_missing(path))
        try:
            self._bag = Reader(path)
            self._bag.open()
        except Exception as error:  # storages raise what they like; the bag is unreadable in any case
            raise RecordingError(_unreadable(path, error)) from error

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._bag.close()

    @property
    def topics(self) -> dict[str, str]:
        """Message type by topic."""
        return {connection.topic: connection.msgtype for connection in self._bag.connections}

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages by topic."""
        counts: dict[str, int] = {}
        for connection in self._bag.connections:
            counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
        return counts

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The bag's topics with definition, type hash and offered QoS."""
        return tuple(self._bag.connections)

    @property
    def custom_data(self) -> Mapping[str, str]:
        """Facts the recorder stored in the metadata."""
        return dict(self._bag.storage.metadata.custom or {})

    @property
    def start_ns(self) -> int:
        """Receive stamp of the first message; 0 for an empty bag."""
        return int(self._bag.start_time) if self._bag.message_count else 0

    @property
    def duration_ns(self) -> int:
        """Time between first and last message; 0 for an empty bag."""
        return max(0, int(self._bag.duration)) if self._bag.message_count else 0

    def messages(self, topics: Collection[str] | None = None, *, shares_memory: bool = False) -> Iterator[BagMessage]:
        """Iterate over messages in order of receive stamp.

        Args:
            topics: Which topics; all by default.
            shares_memory: Large messages are not copied: for who looks at pictures and lets them go.

        Raises:
            RecordingError: If the bag lacks a topic (lists those it has), or is damaged further on.
        """
        unknown = sorted(set(topics or ()) - set(self.topics))
        if unknown:
            raise RecordingError(f"bag {self.path} has no topics {unknown}; available: {sorted(self.topics)}")
        chosen = [c for c in self._bag.connections if topics is None or c.topic in topics]
        if not chosen:
            return
        missing = {topic: count for topic, count in self.counts.items() if topic in {c.topic for c in chosen}}
        for connection, stamp_ns, cdr in self._stored(chosen):
            missing[connection.topic] -= 1
            data = cdr if shares_memory and len(cdr) > _LARGE_BYTES else bytes(cdr)
            yield BagMessage(topic=connection.topic, msgtype=connection.msgtype, stamp_ns=stamp_ns, cdr=data)
        if short := [f"{count} on {topic}" for topic, count in sorted(missing.items()) if count > 0]:
            raise RecordingError(
                f"bag {self.path}: its metadata promises more messages than its storage gives, missing "
                f"{', '.join(short)}; run 'vla3d bag recover {self.path}', or name one of its storage files"
            )

    def _stored(self, chosen: list[Connection]) -> Iterator[tuple[Connection, int, Any]]:
        storages = getattr(self._bag.storage, "storages", None)
        try:
            if storages is None:
                yield from _messages(self._bag.storage, chosen)
                return
            if self._bag.storage.metadata.compression_mode == "message":
                yield from self._bag.messages(chosen)
                return
            # rosbags also wants equal QoS in metadata and storage; recorders of 2020 wrote it in one of them only
            by_name = {(c.topic, c.msgtype): c for c in chosen}
            for storage in storages:
                wanted = [c for c in storage.connections if (c.topic, c.msgtype) in by_name]
                for connection, stamp_ns, cdr in _messages(storage, wanted) if wanted else ():
                    yield by_name[connection.topic, connection.msgtype], stamp_ns, cdr
        except Exception as error:  # damage shows itself as any error of the storage or the decompressor
            raise RecordingError(_unreadable(self.path, error)) from error

    def decode(self, message: BagMessage) -> Any:
        """Return a message's fields as plain attributes; numeric arrays are NumPy arrays.

        Raises:
            RecordingError: If the type is not described in the bag and not standard, or the bytes do not fit it.
        """
        try:
            store = self._store_of(message)
            return store.deserialize_cdr(message.cdr, message.msgtype)
        except Exception as error:  # definitions and payloads come from elsewhere and break in many ways
            raise RecordingError(
                f"bag {self.path}: a message of type '{message.msgtype}' on '{message.topic}' can not be decoded: "
                f"{error!r}; expected a type described in the bag or a standard one"
            ) from error

    def _store_of(self, message: BagMessage) -> Typestore:
        if message.msgtype not in self._stores:
            self._stores[message.msgtype] = _store_for(self._described(message))
        return self._stores[message.msgtype]

    def _described(self, message: BagMessage) -> Connection:
        """The topic's connection that carries a definition, in the metadata or in a storage file."""
        storages = getattr(self._bag.storage, "storages", ())
        known: list[Connection] = [*self._bag.connections, *(c for storage in storages for c in storage.connections)]
        found = [c for c in known if c.topic == message.topic]
        return next((c for c in found if c.msgdef.format is not MessageDefinitionFormat.NONE), found[0])


def _messages(storage: Any, wanted: Collection[Connection]) -> Iterator[tuple[Connection, int, Any]]:
    return indexed_messages(storage, wanted) if is_indexed(storage) else storage.messages(wanted)


def _store_for(connection: Connection) -> Typestore:
    definition = connection.msgdef
    if definition.format is MessageDefinitionFormat.NONE:
        return get_typestore(Stores.ROS2_KILTED)
    store = get_typestore(Stores.EMPTY)
    if definition.format is MessageDefinitionFormat.MSG:
        store.register(get_types_from_msg(definition.data, connection.msgtype))
        return store
    for part in definition.data.split(_IDL_SEPARATOR):
        if part.strip():
            store.register(get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part))
    return store


def _missing(path: Path) -> str:
    partial = path.with_name(f"{path.name}.partial")
    if partial.exists():
        return (
            f"bag {path} was never finished: the recorder ended early; what was saved is in {partial}: "
            f"run 'vla3d bag recover {partial}'"
        )
    siblings = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    return f"no bag at {path}; available there: {siblings}"


def _unreadable(path: Path, error: Exception) -> str:
    remedy = "expected a rosbag2 folder with metadata.yaml, or a single .mcap or .db3 file"
    if "Serialization format" in str(error):
        remedy = "only CDR, the format of every DDS, can be decoded; it was recorded with another middleware"
    if path.suffix == ".mcap" or path.name.endswith(".partial"):
        remedy = f"it was damaged, or never finished: run 'vla3d bag recover {path}'"
    if path.is_dir() and not (path / "metadata.yaml").exists():
        remedy = f"it has no metadata.yaml: run 'vla3d bag recover {path}', or name one of its storage files"
        return f"bag {path} can not be read: {remedy}"
    return f"bag {path} can not be read: {error}; {remedy}"
