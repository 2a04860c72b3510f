"""The course of one live trial: home, set the scene, record, arm, run, judge, rest. Knows no ROS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vla3d_ros.errors import Vla3dError

_POLL_S = 0.05
_STALL_S = 20.0
_HOMING_TIMEOUT_S = 20.0
_SETTLE_S = 0.2


class TrialError(Vla3dError, RuntimeError):
    """A trial could not be run: a node refused, or the graph went silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatus:
    """What the operator sees. `now_ns` is ROS time; `outcome` is running, success or failure."""

    now_ns: int
    outcome: str
    reason: str
    phase: str
    stop_reason: str
    is_moving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMeasurements:
    """What the graph reported during a trial: chunk latencies and view skews in ms, the gate's answers by kind.

    `interventions` counts those of people between instruction and outcome, by kind (`interventions.WORDS`).
    """

    latencies_ms: tuple[float, ...] = ()
    skews_ms: tuple[float, ...] = ()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    interventions: Mapping[str, int] = field(default_factory=dict)


class LiveSession(Protocol):
    """The running graph as a trial needs it. Every call raises TrialError when the graph refuses or is silent."""

    def status(self) -> LiveStatus:
        """Return what is known now."""
        ...

    def place(self, seed: int) -> str:
        """Set the scene and return the instruction."""
        ...

    def instruct(self, instruction: str) -> None:
        """Tell the policy what to do; an empty instruction makes it idle."""
        ...

    def home(self) -> None:
        """Start moving to the home configuration."""
        ...

    def arm(self) -> None:
        """Let chunks move the arm."""
        ...

    def disarm(self) -> None:
        """Bring the arm to rest and ignore chunks."""
        ...

    def reset_stop(self) -> None:
        """Clear a latched stop."""
        ...

    def start_recording(self) -> Path:
        """Start a bag and return its path."""
        ...

    def stop_recording(self) -> str:
        """Close the bag and return the recorder's summary."""
        ...

    def check_alive(self) -> None:
        """Raise TrialError if a process of the graph has ended."""
        ...

    def measured(self) -> LiveMeasurements:
        """Return what the graph has reported since the recording was started."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTrial:
    """One live trial as it went. `sim_s` is on the ROS clock, `wall_s` on the wall."""

    trial: int
    seed: int
    instruction: str
    outcome: str
    reason: str
    sim_s: float
    wall_s: float
    bag: Path
    measured: LiveMeasurements


def run_live_trial(
    session: LiveSession,
    *,
    trial: int,
    seed: int,
    timeout_s: float,
    on_status: Callable[[str, LiveStatus, float], None] = lambda instruction, status, sim_s: None,
    prepare: Callable[[str], str] = lambda instruction: instruction,
) -> LiveTrial:
    """Run one trial and return its outcome, with the arm disarmed and the bag closed whatever happens.

    Args:
        session: The running graph.
        trial: Number for people, from 1.
        seed: Seed of the scene.
        timeout_s: Longest trial on the ROS clock; longer is a failure.
        on_status: Called some twenty times a second with instruction, status and seconds since the start.
        prepare: Called with the instruction when the scene is set; returns what the policy is told instead.

    Raises:
        TrialError: If the graph refuses or falls silent.
    """
    go_home(session)
    instruction = session.place(seed)
    _let_pass(session, _SETTLE_S)  # images of the last scene are still on their way
    instruction = prepare(instruction)
    bag = session.start_recording()
    try:
        _let_pass(session, _SETTLE_S)  # what the policy sees first must lie inside the recording, to be replayed
        session.arm()
        start_ns, start_wall_s = session.status().now_ns, time.monotonic()
        session.instruct(instruction)
        status = _wait_for_outcome(session, instruction, start_ns, timeout_s, on_status)
        wall_s = time.monotonic() - start_wall_s
    except BaseException as error:  # Ctrl-C, too: whatever ending the trial says must not take its place
        _, problems = _wind_up(session)
        if isinstance(error, TrialError) and problems:
            raise TrialError(f"{error}; and at the end: {'; '.join(problems)}") from error
        raise
    measured, problems = _wind_up(session)
    if problems:
        raise TrialError("; ".join(problems))
    outcome, reason = _judge(status, timeout_s)
    return LiveTrial(
        trial=trial,
        seed=seed,
        instruction=instruction,
        outcome=outcome,
        reason=reason,
        sim_s=(status.now_ns - start_ns) / 1e9,
        wall_s=wall_s,
        bag=bag,
        measured=measured,
    )


def go_home(session: LiveSession) -> None:
    """Bring the arm home through the same gate as everything else, and wait until it rests there, disarmed.

    Raises:
        TrialError: If the graph refuses, or the arm does not come to rest.
    """
    session.instruct("")
    session.disarm()
    if session.status().stop_reason:
        session.reset_stop()
    session.arm()
    session.home()
    start_ns = session.status().now_ns
    resting_since_ns = start_ns
    while True:
        time.sleep(_POLL_S)
        session.check_alive()
        status = session.status()
        if status.is_moving or status.now_ns - start_ns < 300_000_000:
            resting_since_ns = status.now_ns
        elif status.now_ns - resting_since_ns > 200_000_000:
            session.disarm()
            return
        if status.now_ns - start_ns > _HOMING_TIMEOUT_S * 1e9:
            raise TrialError(f"the arm did not come to rest at home within {_HOMING_TIMEOUT_S:g} s of ROS time")


def _wind_up(session: LiveSession) -> tuple[LiveMeasurements, list[str]]:
    """Disarm and close the bag, both whatever happens; return what was measured, and what went wrong."""
    session.instruct("")
    _let_pass(session, _SETTLE_S)  # chunks are still on their way
    problems = []
    for end in (session.disarm, session.stop_recording):
        try:
            end()
        except TrialError as error:
            problems.append(str(error))
    return session.measured(), problems


def _let_pass(session: LiveSession, seconds: float) -> None:
    """Wait for some ROS time; give up quietly when the graph has died, the caller notices that anyway."""
    start_ns, deadline = session.status().now_ns, time.monotonic() + _STALL_S
    while session.status().now_ns - start_ns < seconds * 1e9 and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _wait_for_outcome(
    session: LiveSession,
    instruction: str,
    start_ns: int,
    timeout_s: float,
    on_status: Callable[[str, LiveStatus, float], None],
) -> LiveStatus:
    last_ns, last_change = start_ns, time.monotonic()
    while True:
        time.sleep(_POLL_S)
        session.check_alive()
        status = session.status()
        sim_s = (status.now_ns - start_ns) / 1e9
        on_status(instruction, status, sim_s)
        if status.outcome != "running" or status.stop_reason or sim_s > timeout_s:
            return status
        if status.now_ns != last_ns:
            last_ns, last_change = status.now_ns, time.monotonic()
        elif time.monotonic() - last_change > _STALL_S:
            raise TrialError(f"ROS time has stood still at {last_ns / 1e9:.3f} s for {_STALL_S:g} s")


def _judge(status: LiveStatus, timeout_s: float) -> tuple[str, str]:
    if status.outcome != "running":
        return status.outcome, status.reason
    if status.stop_reason.startswith("operator: "):
        return "failure", f"stopped by the {status.stop_reason.removeprefix('operator: ')}"
    if status.stop_reason:
        return "failure", f"safety stop: {status.stop_reason}"
    phase = f" in phase '{status.phase}'" if status.phase else ""
    return "failure", f"timeout after {timeout_s:g} s{phase}"
