"""Give back the shared memory of processes that died without doing so.

Fast DDS keeps one segment per process, `fastdds_<id>`, and holds a file lock on `fastdds_<id>_el` while the process
lives. A killed process leaves both behind: 64 MiB each time, until nothing is left.
"""

from __future__ import annotations

import fcntl
import re
import time
from pathlib import Path

_LOCK_NAME = re.compile(r"fast(dds|rtps)_[0-9a-f]{16}_el")
_YOUNGEST_S = 10.0


def remove_stale_segments(shared_memory_dir: Path) -> int:
    """Delete the segments that no living process holds.

    Args:
        shared_memory_dir: Where the system keeps shared memory.

    Returns:
        How many were deleted. Those of other users, and those just being created, are left alone.
    """
    locks = [path for path in shared_memory_dir.iterdir() if _LOCK_NAME.fullmatch(path.name)]
    return sum(_remove_if_stale(lock) for lock in locks)


def _remove_if_stale(lock: Path) -> bool:
    """Delete one segment and its lock file unless a process holds the lock."""
    try:
        if time.time() - lock.stat().st_mtime < _YOUNGEST_S:
            return False
        with lock.open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
            lock.unlink()
    except OSError:
        return False
    return True
