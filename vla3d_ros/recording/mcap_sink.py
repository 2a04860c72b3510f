"""One MCAP being written: chunks closed by time, so that a crash costs little, and bytes forced to the disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from vla3d_ros.recording.message_definitions import MessageType

if sys.version_info >= (3, 14):
    from compression import zstd
else:  # what rosbags depends on
    from backports import zstd

_METADATA_VERSION: Final = 8  # the newest whose QoS text Humble, Jazzy and Kilted all read


class McapSink:
    """A rosbag2 folder with one MCAP in it. All calls but `sync` come from one thread.

    rosbags closes a chunk when it holds 1 MiB; a recording of joint states alone would keep minutes in memory.
    `flush` closes it earlier.
    """

    def __init__(self, folder: Path, *, is_compressed: bool, custom_data: Mapping[str, str]) -> None:
        """Create the folder and the file.

        Args:
            folder: The bag; must not exist.
            is_compressed: Compress chunks with zstd.
            custom_data: Facts for the metadata.

        Raises:
            OSError: If it can not be written.
        """
        self.folder = folder
        self._bag = Writer(folder, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        if is_compressed:
            self._bag.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, value in custom_data.items():
            self._bag.set_custom_data(key, value)
        try:
            self._bag.open()
        except WriterError as error:
            raise OSError(str(error)) from error
        self._storage = cast(Any, self._bag.storage)
        if is_compressed:
            self._storage.compressor = _compressed
        self._connections: dict[str, Connection] = {}

    @property
    def start_ns(self) -> int:
        """The earliest stamp written; 0 without any."""
        return int(self._bag.min_timestamp) if self._bag.max_timestamp else 0

    @property
    def end_ns(self) -> int:
        """The latest stamp written; 0 without any."""
        return int(self._bag.max_timestamp)

    def add_topic(self, topic: str, kind: MessageType, qos: Qos) -> None:
        """Declare a topic."""
        self._connections[topic] = self._bag.add_connection(
            topic, kind.name, msgdef=kind.text, rihs01=kind.rihs01, offered_qos_profiles=[qos]
        )

    def write(self, topic: str, stamp_ns: int, cdr: bytes) -> None:
        """Write one message of a declared topic."""
        self._bag.write(self._connections[topic], stamp_ns, cdr)

    def flush(self) -> None:
        """Close the open chunk and hand it to the operating system: from here on, a killed process loses it not."""
        if self._storage.chunk.msgs:
            self._storage.close_chunk()
        self._storage.bio.flush()

    def sync(self) -> None:
        """Wait until what was flushed is on the disk: from here on, a power cut loses it not. For another thread."""
        with suppress(ValueError):  # closed meanwhile: `close` has synchronised it
            os.fsync(self._storage.bio.fileno())

    def close(self) -> None:
        """Write index and metadata, and wait until all of it is on the disk."""
        self.flush()
        self._bag.close()
        for entry in (*self.folder.iterdir(), self.folder):
            _sync_path(entry)

    def abort(self) -> None:
        """Leave the file as it is, without index."""
        with suppress(OSError, ValueError):
            self._bag.abort()


def _compressed(data: bytes) -> bytes:
    """Compress with a checksum: what a torn page turned to zeros must not pass for a recording."""
    return bytes(zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}))


def _sync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
