"""Reads an MCAP from its beginning as far as it goes: no index is needed, and a torn end is an end, not an error."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from rosbags.interfaces import Qos
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.storage_mcap import DECOMPRESSORS

from vla3d_ros.errors import RecordingError

_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0F
_LAST_OPCODE = 0x0F
_HEAD_BYTES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedTopic:
    """A topic as the file describes it: `definition` is "" where the type is not described."""

    name: str
    msgtype: str
    definition: str
    qos: tuple[Qos, ...]


@dataclass(frozen=True, slots=True)
class ScannedMessage:
    """One message and the topic it belongs to."""

    topic: ScannedTopic
    stamp_ns: int
    cdr: bytes


@dataclass(slots=True)
class McapScan:
    """One pass over a file; what `messages` came across is told by the other attributes afterwards.

    Attributes:
        path: The file.
        is_whole: Whether it was finished properly.
        unreadable_bytes: Bytes at the end, or inside damaged chunks, that gave no message.
        damage: One sentence per damage.
    """

    path: Path
    is_whole: bool = False
    unreadable_bytes: int = 0
    damage: list[str] = field(default_factory=list)
    _schemas: dict[int, tuple[str, str]] = field(default_factory=dict)
    _topics: dict[int, ScannedTopic] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[ScannedTopic, ...]:
        """Topics found so far."""
        return tuple(self._topics.values())

    def messages(self) -> Iterator[ScannedMessage]:
        """Iterate in the order of the file.

        Raises:
            RecordingError: If it does not begin like an MCAP.
        """
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise RecordingError(f"{self.path} is no MCAP: its first bytes are others; nothing can be recovered")
            while True:
                start = stream.tell()
                opcode, record = _next_record(stream, size)
                if opcode in (_FOOTER, _DATA_END):
                    self.is_whole = opcode == _FOOTER or self._has_footer(stream, size)
                    return
                if record is None:
                    self.unreadable_bytes += size - start
                    if size > start:
                        self.damage.append(f"the last {size - start} bytes are half a record")
                    return
                yield from self._read(opcode, record)

    def _has_footer(self, stream: BinaryIO, size: int) -> bool:
        stream.seek(max(0, size - len(_MAGIC)))
        return stream.read() == _MAGIC

    def _read(self, opcode: int, record: bytes) -> Iterator[ScannedMessage]:
        if opcode == _CHUNK:
            content = self._unpacked(record)
            stream = io.BytesIO(content)
            while stream.tell() < len(content):
                inner, part = _next_record(stream, len(content))
                if part is None:
                    self.damage.append("a chunk ends inside a record")
                    return
                yield from self._read(inner, part)
        elif opcode == _SCHEMA:
            (key,) = struct.unpack_from("<H", record)
            name, at = _text(record, 2)
            encoding, at = _text(record, at)
            text, _ = _text(record, at)
            self._schemas[key] = (name, text if encoding in ("ros2msg", "ros2idl") else "")
        elif opcode == _CHANNEL:
            self._add_topic(record)
        elif opcode == _MESSAGE:
            channel, _, stamp_ns, _ = struct.unpack_from("<HIQQ", record)
            if channel in self._topics:
                yield ScannedMessage(self._topics[channel], stamp_ns, record[22:])

    def _add_topic(self, record: bytes) -> None:
        key, schema = struct.unpack_from("<HH", record)
        name, at = _text(record, 4)
        _, at = _text(record, at)
        (length,) = struct.unpack_from("<I", record, at)
        metadata, at, end = {}, at + 4, at + 4 + length
        while at < end:
            entry, at = _text(record, at)
            metadata[entry], at = _text(record, at)
        msgtype, definition = self._schemas.get(schema, ("", ""))
        profiles = tuple(parse_qos(metadata.get("offered_qos_profiles", "")) or ())
        self._topics[key] = ScannedTopic(name=name, msgtype=msgtype, definition=definition, qos=profiles)

    def _unpacked(self, record: bytes) -> bytes:
        """Return a chunk's records; b"" if it is damaged, which is counted."""
        try:
            (size,) = struct.unpack_from("<Q", record, 16)
            compression, at = _text(record, 28)
            content = DECOMPRESSORS[compression](record[at + 8 :], size)
            if len(content) != size:
                raise ValueError(f"{len(content)} bytes instead of {size}")
        except Exception as error:  # decompressors raise what they like
            self.damage.append(f"a chunk of {len(record)} bytes can not be unpacked: {error}")
            self.unreadable_bytes += len(record)
            return b""
        return bytes(content)


def _next_record(stream: BinaryIO, size: int) -> tuple[int, bytes | None]:
    """Return opcode and content of the next record; None if it is not all there."""
    head = stream.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return 0, None
    opcode, (length,) = head[0], struct.unpack("<Q", head[1:])
    if not 0 < opcode <= _LAST_OPCODE or length > size - stream.tell():
        return 0, None
    return opcode, stream.read(length)


def _text(record: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", record, at)
    return record[at + 4 : at + 4 + length].decode(), at + 4 + length
