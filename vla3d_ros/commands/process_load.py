"""How much processor time processes use and how old they are, as Linux counts it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from vla3d_ros.errors import DependencyError

_AFTER_NAME = ")"  # the name may hold blanks and brackets; fields are counted from its end
_USER, _SYSTEM, _STARTED = 11, 12, 19


def cpu_seconds(pid: int) -> float:
    """Return the processor time that all threads of a process have used so far, in user and kernel mode.

    Raises:
        DependencyError: If there is no such process, or no /proc.
    """
    fields = _fields(pid)
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def process_age_s() -> float | None:
    """Return the wall time since this program was started, in seconds; None where the system does not tell."""
    try:
        started_s = int(_fields(os.getpid())[_STARTED]) / os.sysconf("SC_CLK_TCK")
    except DependencyError:
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def _fields(pid: int) -> list[str]:
    path = Path("/proc") / str(pid) / "stat"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DependencyError(f"{path} can not be read: {error}; is the process alive, and is this Linux?") from error
    return text.rpartition(_AFTER_NAME)[2].split()


def cpu_shares(before: Mapping[str, float], after: Mapping[str, float], wall_s: float) -> dict[str, float]:
    """Return the cores that each process kept busy on average: 1.0 is one core all the time.

    Args:
        before: Processor seconds by name at the beginning.
        after: The same at the end.
        wall_s: Wall time between the two.
    """
    return {name: (after[name] - seconds) / wall_s for name, seconds in before.items() if name in after}
