"""The append-only journal of a run: one JSON object a line, on the disk before anything else happens."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vla3d_ros.errors import RecordingError

Event = Mapping[str, Any]


class Journal:
    """Appends events. Nothing is ever changed or removed; `kill -9` costs at most the line being written."""

    def __init__(self, path: Path) -> None:
        """Open a journal, or begin one, for this process alone.

        A half-written last line is closed with a line end and an event that tells how long it was.

        Raises:
            RecordingError: If the file can not be written, another process has it open, or it is broken in the middle.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordingError(f"journal {path} can not be opened: {error}; choose a writable folder") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise RecordingError(f"journal {path} is being written by another process; end that one first") from error
        try:
            torn = _torn_bytes(path)
            if torn:
                self._write(b"\n")
                self.append("recovered", {"torn_bytes": torn})
            self.events: list[Event] = read_journal(path)
        except BaseException:
            os.close(self._file)
            raise
        _sync_folder(path.parent)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, event: str, values: Event) -> Event:
        """Write one event and wait until the disk has it.

        Raises:
            RecordingError: If it can not be written.
        """
        entry = {"event": event, **values}
        try:
            self._write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise RecordingError(f"journal {self._path} can not be written: {error}") from error
        if hasattr(self, "events"):
            self.events.append(entry)
        return entry

    def close(self) -> None:
        """Let others have the file."""
        os.close(self._file)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal; a line that was torn by a crash is left out.

    Raises:
        RecordingError: If the file is missing, or broken in a way that no crash explains; names the line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise RecordingError(f"journal {path} can not be read: {error}") from error
    parsed = [_parse(line) for line in lines]
    events: list[Event] = []
    for number, entry in enumerate(parsed):
        if entry is not None:
            events.append(entry)
        elif lines[number] and number < len(lines) - 1 and not _is_recovery(parsed[number + 1]):
            raise RecordingError(f"journal {path}, line {number + 1} is no event: {lines[number][:80]!r}")
    return events


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None


def _is_recovery(entry: Event | None) -> bool:
    return entry is not None and entry["event"] == "recovered"


def _torn_bytes(path: Path) -> int:
    """Length of the last line if it has no line end."""
    return len(path.read_bytes().rsplit(b"\n", 1)[-1])


def _sync_folder(folder: Path) -> None:
    """Have the folder's list of names on the disk, so that a new file is found after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Write a whole file or nothing: a reader sees the old or the new content, also after a crash.

    Raises:
        RecordingError: If it can not be written.
    """
    draft = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RecordingError(f"{path} can not be written: {error}; choose a writable folder") from error
