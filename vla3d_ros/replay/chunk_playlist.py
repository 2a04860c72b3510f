"""The chunks of a recording, to be followed once more by an arm: when each is due, and why some must not be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.errors import RecordingError, join_problems
from vla3d_ros.replay.chunk_record import ArmSteps
from vla3d_ros.replay.jump_guard import JumpGuard
from vla3d_ros.replay.playback import restamped
from vla3d_ros.replay.recorded_run import JointReading, RecordedRun

Float = NDArray[np.float64]

_NS = 1_000_000_000
_OLDEST_S = 1.5  # a chunk that took longer from observation to reception was stamped by another clock
_FASTEST_M_S, _LONGEST_TURN_RAD = 3.0, 0.5  # between two steps; the gate of the deployment allows far less
START_BOUND_RAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class DueChunk:
    """A serialized chunk, the stamp of its observation, and when it was received."""

    stamp_ns: int
    receive_ns: int
    cdr: bytes

    def shifted(self, shift_ns: int) -> bytes:
        """Return the message with its stamp moved."""
        return restamped(self.cdr, shift_ns)


def chunk_playlist(run: RecordedRun, embodiment: Embodiment, duration_s: float = -1.0) -> tuple[DueChunk, ...]:
    """Return the chunks in the order of their reception, after the jump guard.

    Args:
        run: The recording.
        embodiment: The robot that is to follow.
        duration_s: How much of the bag, counted from the first chunk; negative: all.

    Raises:
        RecordingError: If an arm would jump, or could not follow; lists every reason.
    """
    if not run.chunks:
        raise RecordingError(f"bag {run.path} has no chunks on a topic 'policy/chunk' that an arm could follow")
    if problems := _problems(run, embodiment):
        raise RecordingError(join_problems(f"bag {run.path} is not played into the twin", problems))
    found = [
        DueChunk(stamp_ns=stamp_ns, receive_ns=message.stamp_ns, cdr=message.cdr)
        for stamp_ns, message in zip(run.chunks, run.bag.messages([run.layout.chunk]), strict=True)
    ]
    end_ns = found[0].receive_ns + round(duration_s * _NS)
    return tuple(one for one in found if duration_s < 0 or one.receive_ns <= end_ns)


def longest_lag_s(chunks: Sequence[DueChunk]) -> float:
    """Return how far behind the clock the newest chunk's stamp ever was, in seconds, just before the next one came."""
    lags_ns = [after.receive_ns - before.stamp_ns for before, after in itertools.pairwise(chunks)]
    return max([chunks[0].receive_ns - chunks[0].stamp_ns, *lags_ns]) / _NS


def start_reading(run: RecordedRun, joint_names: Sequence[str], stamp_ns: int) -> Float:
    """Return the recorded joint positions (J,) rad at a time: each joint's last reading until then, or else its first.

    Raises:
        RecordingError: If a joint is never read; lists those that are.
    """
    found: dict[str, float] = {}
    for reading in run.joints:
        for name, q in zip(reading.names, reading.q.tolist(), strict=True):
            if reading.stamp_ns <= stamp_ns or name not in found:
                found[name] = q
    if missing := [name for name in joint_names if name not in found]:
        raise RecordingError(f"bag {run.path} has no states of joints {missing}; it has {sorted(found)}")
    return np.array([found[name] for name in joint_names])


def start_differences(
    joint_names: Sequence[str], q_recorded: Float, q_now: Float, bound_rad: float = START_BOUND_RAD
) -> list[str]:
    """Say, for every joint that does not stand where the recording starts, by how much.

    Args:
        joint_names: (J,) names.
        q_recorded: (J,) rad.
        q_now: (J,) rad.
        bound_rad: Differences up to this pass.
    """
    return [
        f"joint '{name}' was at {recorded:.3f} rad in the recording, is at {now:.3f} rad: {now - recorded:+.3f} rad, "
        f"allowed {bound_rad:g} rad"
        for name, recorded, now in zip(joint_names, q_recorded.tolist(), q_now.tolist(), strict=True)
        if not abs(now - recorded) <= bound_rad
    ]


def _problems(run: RecordedRun, embodiment: Embodiment) -> list[str]:
    arms = {arm.name for arm in embodiment.arms}
    problems = _state_problems(run.joints, run.layout.joint_states, embodiment)
    first: dict[str, str] = {}
    last_ns = None
    for stamp_ns, chunk in run.chunks.items():
        age_s = (chunk.receive_ns - stamp_ns) / _NS
        if stamp_ns == 0:
            first.setdefault("stamp", "a chunk has a stamp of zero; expected the time of its observation")
        elif not 0.0 <= age_s <= _OLDEST_S:
            text = f"a chunk was received {age_s:.3f} s after its stamp; expected 0 to {_OLDEST_S:g} s: one clock"
            first.setdefault("age", text)
        if last_ns is not None and stamp_ns < last_ns:
            first.setdefault("order", f"a chunk's stamp goes back by {(last_ns - stamp_ns) / _NS:.3f} s")
        last_ns = stamp_ns
        if set(chunk.record.arms) != arms:
            text = f"chunks move the arms {sorted(chunk.record.arms)}; the robot has {sorted(arms)}"
            first.setdefault("arms", text)
        for kind, text in _jumps(chunk.record.arms, chunk.record.dt_ns):
            first.setdefault(kind, text)
    return [*problems, *first.values()]


def _state_problems(joints: Sequence[JointReading], topic: str, embodiment: Embodiment) -> list[str]:
    speeds = {
        name: float(speed)
        for arm in embodiment.arms
        for name, speed in zip(arm.joint_names, arm.limits.velocity, strict=True)
    }
    guard = JumpGuard(topic, speeds)
    for reading in joints:
        guard.accepts(reading.names, reading.q, reading.stamp_ns)
    return guard.sentences()


def _jumps(arms: Mapping[str, ArmSteps], dt_ns: int) -> list[tuple[str, str]]:
    """What no arm should be asked for: numbers that are not finite, steps of decimetres, turns of tens of degrees."""
    found = []
    for arm, steps in arms.items():
        if not all(np.isfinite(array).all() for array in (steps.p_ee0_ee, steps.xyzw, steps.opening_m)):
            found.append(("finite", f"arm '{arm}': a chunk holds numbers that are not finite"))
            continue
        if dt_ns <= 0:
            found.append(("dt", f"arm '{arm}': a chunk's steps are {dt_ns} ns apart; expected more than 0"))
            continue
        path = np.vstack([np.zeros(3), steps.p_ee0_ee])
        turns = np.vstack([[0.0, 0.0, 0.0, 1.0], steps.xyzw])
        step_m = float(np.linalg.norm(np.diff(path, axis=0), axis=1).max())
        cosines = np.abs((turns[1:] * turns[:-1]).sum(axis=1)).clip(0.0, 1.0)
        turn_rad = float(2.0 * np.arccos(cosines).max())
        allowed_m = _FASTEST_M_S * dt_ns / _NS
        if step_m > allowed_m:
            found.append(("step", f"arm '{arm}': a chunk steps by {step_m:.3f} m; expected at most {allowed_m:.3f} m"))
        if turn_rad > _LONGEST_TURN_RAD:
            found.append(
                (
                    "turn",
                    f"arm '{arm}': a chunk turns by {turn_rad:.2f} rad; expected at most {_LONGEST_TURN_RAD:g} rad",
                )
            )
    return found
