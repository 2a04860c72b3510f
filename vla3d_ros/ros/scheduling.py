"""Real-time priority for a process that has to be on time."""

from __future__ import annotations

import os
from pathlib import Path

_TASKS = Path("/proc/self/task")
_REMEDY = "allow it with a line '@realtime - rtprio 98' in /etc/security/limits.d and membership of that group"


def request_realtime(priority: int) -> str:
    """Ask Linux to run all threads of this process before every ordinary one (SCHED_FIFO).

    Threads that are created later inherit it from those that create them.

    Args:
        priority: 1 to 99; 0 asks for nothing.

    Returns:
        "" if that was granted or not wanted, else why not and what to do.
    """
    if priority == 0:
        return ""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time priorities"
    try:
        for task in sorted(int(entry.name) for entry in _TASKS.iterdir()):
            os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, ValueError) as error:
        return f"real-time priority {priority} was refused ({error}): {_REMEDY}"
    return ""
