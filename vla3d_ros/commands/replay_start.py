"""Before recorded chunks are followed: the twin's arms to where the recording starts, and a look whether they are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.errors import RecordingError, join_problems
from vla3d_ros.geometry import Transform
from vla3d_ros.replay import bag_decoding
from vla3d_ros.replay.approach import Approach
from vla3d_ros.replay.chunk_playlist import start_differences, start_reading
from vla3d_ros.replay.recorded_run import RecordedRun

_POLL_S, _STALL_S, _REST_NS = 0.02, 20.0, 300_000_000


def strokes_m(embodiment: Embodiment) -> dict[str, float]:
    """Return the opening of each fully open gripper, by arm; 1 where an arm has none, as on the wire."""
    return {arm.name: arm.gripper.stroke_m if arm.gripper else 1.0 for arm in embodiment.arms}


def recorded_start(run: RecordedRun, embodiment: Embodiment, stamp_ns: int) -> dict[str, tuple[Transform, float]]:
    """Return T_base_ee and opening of every arm, as they were recorded last before a time, or else first.

    Raises:
        RecordingError: If the bag has no end-effector states.
        ShapeError: If they are of another robot.
    """
    if not run.ee_messages:
        raise RecordingError(
            f"bag {run.path} has no 'ee_state': neither the start nor the path of its arms is known; record it with "
            "the adapter running, or use --through, which moves nothing"
        )
    before = [msg for stamp, msg in run.ee_messages if stamp <= stamp_ns]
    return bag_decoding.ee_state(before[-1] if before else run.ee_messages[0][1], strokes_m(embodiment))


def postures(run: RecordedRun, embodiment: Embodiment, stamp_ns: int, q: dict[str, float]) -> list[str]:
    """Say which joints stand elsewhere than at the start of the recording; q: rad by joint."""
    found = []
    for arm in embodiment.arms:
        q_now = np.array([q.get(name, np.nan) for name in arm.joint_names])
        found += start_differences(arm.joint_names, start_reading(run, arm.joint_names, stamp_ns), q_now)
    return found


def bring_to_start(
    runner: Any, player: Any, run: RecordedRun, embodiment: Embodiment, stamp_ns: int, console: Console
) -> None:
    """Drive resting arms from home to where the recording starts, slowly, through adapter and safety.

    Args:
        runner: The graph as a trial runner.
        player: Publishes chunks.
        run: The recording.
        embodiment: Its robot.
        stamp_ns: Of the first chunk's observation.
        console: Where it is said.

    Raises:
        RecordingError: If safety stops the arms on their way, or they do not get there.
    """
    goals = recorded_start(run, embodiment, stamp_ns)
    if not postures(run, embodiment, stamp_ns, player.q):
        return
    approach = Approach(player.ee, goals, player.stamp_ns)
    console.print(
        f"the recording does not start at home: driving there first, {1e3 * approach.distance_m:.0f} mm and "
        f"{math.degrees(approach.turn_rad):.0f} deg away, in {approach.duration_s:.1f} s"
    )
    runner.arm()
    player.drive(approach.chunk)
    try:
        _wait(runner, lambda status: approach.is_over(status.now_ns))
        runner.disarm()
    finally:
        player.drive(None)
    start_ns = runner.status().now_ns
    _wait(runner, lambda status: not status.is_moving and status.now_ns - start_ns > _REST_NS)
    if problems := approach.misses(player.ee):
        raise RecordingError(join_problems("the twin's arms did not get to where the recording starts", problems))
    for text in postures(run, embodiment, stamp_ns, player.q):
        console.print(f"  [yellow]another posture[/] {escape(text)}")
    player.forget()


def _wait(runner: Any, is_so: Callable[[Any], bool]) -> None:
    """Wait for something in ROS time.

    Raises:
        RecordingError: If the arm was stopped, or time stands still.
    """
    last_ns, changed_s = -1, time.monotonic()
    while True:
        time.sleep(_POLL_S)
        runner.check_alive()
        status = runner.status()
        if status.stop_reason:
            remedy = "record from home, or use --through, which moves nothing"
            raise RecordingError(f"stopped on the way to where the recording starts: {status.stop_reason}; {remedy}")
        if is_so(status):
            return
        if status.now_ns != last_ns:
            last_ns, changed_s = status.now_ns, time.monotonic()
        elif time.monotonic() - changed_s > _STALL_S:
            raise RecordingError(f"ROS time has stood still at {last_ns / 1e9:.3f} s for {_STALL_S:g} s")
