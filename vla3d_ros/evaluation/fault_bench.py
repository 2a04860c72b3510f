"""The course of one fault: move, strike, let it settle, look at the twin's own log, recover. Knows no ROS."""

from __future__ import annotations

import time
from typing import Protocol

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.errors import Vla3dError
from vla3d_ros.evaluation.faults import Fault, FaultResult, FaultTools, judge, measure
from vla3d_ros.evaluation.live_trials import LiveSession, TrialError, go_home
from vla3d_ros.twin.motion_log import MotionRecord

_POLL_S = 0.02
_MOVING_RAD_S = 0.15
_MOVING_TIMEOUT_S = 25.0
_MOVING_POLLS = 8  # in a row: a message from the way home may still come late
_WALL_PER_SIM = 4.0
_WALL_MIN_S = 4.0
_BEFORE_NS = 500_000_000
_LEASE_S = 30.0  # longer than DDS takes to forget a participant that was killed
_HEALING_S = 0.5  # until what was broken has been heard to work


class FaultBench(FaultTools, Protocol):
    """`FaultTools`, and what is needed around a fault."""

    fastest_rad_s: float
    refusals: list[str]

    def clear(self) -> None:
        """Undo everything that can be undone, and forget what was heard."""
        ...

    def save_log(self) -> MotionRecord:
        """Return the twin's own log."""
        ...


class Processes(Protocol):
    """The processes of the running graph."""

    def newly_dead_processes(self) -> list[str]:
        """Return sentences about processes that ended since the last call."""
        ...

    def revive(self) -> str:
        """Start what has ended again and bring its nodes up; return what was done, empty for nothing."""
        ...


def run_fault(
    fault: Fault,
    session: LiveSession,
    bench: FaultBench,
    processes: Processes,
    embodiment: Embodiment,
    seed: int,
) -> FaultResult:
    """Strike a running graph with one fault, and have it whole again afterwards.

    Args:
        fault: What to do, and what has to follow.
        session: Drives the graph; disarmed.
        bench: Strikes.
        processes: Notices ends and starts anew.
        embodiment: Limits.
        seed: Of the scene in which the policy moves.

    Returns:
        What followed, including whether the graph recovered.
    """
    bench.clear()
    _start(fault, session, bench, seed)
    start_ns = session.status().now_ns
    processes.newly_dead_processes()
    fault.strike(bench)
    _settle(session, start_ns, fault.settle_s)
    record = _log(bench, start_ns)
    status = session.status()
    dead = processes.newly_dead_processes()
    problems = judge(fault, status.stop_reason, bench.refusals, dead, record)
    said = status.stop_reason or "; ".join(dead) or ", ".join(sorted(set(bench.refusals)))
    extremes = measure(record, embodiment) if record is not None else None
    problems += extremes.violations() if extremes else []
    recovered, trouble = _recover(session, bench, processes)
    return FaultResult(
        fault=fault.name,
        title=fault.title,
        expected=fault.expectation,
        stop_reason=said,
        extremes=extremes,
        problems=(*problems, *trouble),
        recovered=recovered,
        sim_s=(status.now_ns - start_ns) / 1e9,
    )


def _start(fault: Fault, session: LiveSession, bench: FaultBench, seed: int) -> None:
    """Bring the arm into the state in which the fault is to strike."""
    _go_home_at_last(session)
    instruction = session.place(seed)
    session.arm()
    if not fault.is_driven:
        return
    bench.fastest_rad_s = 0.0  # what was heard before is no news
    session.instruct(instruction)
    deadline = time.monotonic() + _MOVING_TIMEOUT_S
    moving_polls = 0
    while moving_polls < _MOVING_POLLS:
        moving_polls = moving_polls + 1 if bench.fastest_rad_s > _MOVING_RAD_S else 0
        session.check_alive()
        if time.monotonic() > deadline:
            raise TrialError(f"the policy did not move the arm within {_MOVING_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)


def _settle(session: LiveSession, start_ns: int, seconds: float) -> None:
    """Let simulated time pass; a world that stands still is given up after a while."""
    from_ns = max(session.status().now_ns, start_ns)
    deadline = time.monotonic() + max(_WALL_MIN_S, _WALL_PER_SIM * seconds)
    while session.status().now_ns - from_ns < seconds * 1e9 and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _go_home_at_last(session: LiveSession) -> None:
    """Go home; arming is refused while the heartbeat is not heard yet, or DDS still lists a process that was killed."""
    deadline = time.monotonic() + _LEASE_S
    while True:
        try:
            go_home(session)
        except TrialError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
        else:
            return


def _log(bench: FaultBench, start_ns: int) -> MotionRecord | None:
    try:
        record = bench.save_log()
    except Vla3dError:
        return None  # the twin is gone, and its log with it
    record = record.since(start_ns - _BEFORE_NS)
    return record if len(record.times_ns) > 1 else None


def _recover(session: LiveSession, bench: FaultBench, processes: Processes) -> tuple[str, list[str]]:
    """Do what the documentation says: revive what ended, reset, arm, home."""
    try:
        revived = processes.revive()
        bench.break_twin("")
        bench.clear()
        time.sleep(_HEALING_S)
        _go_home_at_last(session)
    except Vla3dError as error:
        return "no", [f"did not recover: {error}"]
    return ", ".join([*([revived] if revived else []), "reset, arm, home"]), []
