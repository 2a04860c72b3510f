"""Ends an episode while there is still room to end it well."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

_BYTES_PER_MB = 1e6


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class DiskGuard:
    """Compares the room on the disk with what must stay free for the queue, the index and the metadata."""

    def __init__(self, folder: Path, min_free_bytes: int, free_bytes: Callable[[Path], int] = _free_bytes) -> None:
        """Watch the disk of a folder.

        Args:
            folder: Where episodes go; need not exist yet.
            min_free_bytes: What must stay free.
            free_bytes: How the room is measured.
        """
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._measure = free_bytes

    @property
    def free_bytes(self) -> int:
        """Room left now."""
        return self._measure(next(path for path in (self._folder, *self._folder.resolve().parents) if path.exists()))

    def problem(self) -> str:
        """Return a sentence if there is too little room, else ""."""
        free_bytes = self.free_bytes
        if free_bytes >= self._min_free_bytes:
            return ""
        return (
            f"disk of {self._folder} has {free_bytes / _BYTES_PER_MB:.0f} MB free; expected at least "
            f"{self._min_free_bytes / _BYTES_PER_MB:.0f} MB (parameter 'min_free_mb'); "
            "remove recordings, or choose another output_dir"
        )
