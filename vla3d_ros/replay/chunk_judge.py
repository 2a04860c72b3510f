"""Adapter and safety behind the policy, in dry run: what they would have said to every chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vla3d_ros.datatypes import ActionChunk
from vla3d_ros.execution import ExecutionPipeline
from vla3d_ros.replay.recorded_run import JointReading
from vla3d_ros.replay.replay_setup import ReplaySetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one chunk: allow, clamp, stop, or refuse (not followed, nothing latched); reasons by check."""

    kind: str
    reasons: tuple[tuple[str, str], ...]
    dropped_steps: int


class ChunkJudge:
    """Feeds the pipeline with the recorded joint states and asks it about every chunk at the time it arrives.

    A stop that a chunk latches is counted and reset: every chunk is judged. Every plan starts from the measured state,
    which is the recorded robot's, whoever moved it.
    """

    def __init__(self, joints: Sequence[JointReading], setup: ReplaySetup) -> None:
        """Take joint states in order of reception."""
        self._pipeline = ExecutionPipeline(setup.embodiment, setup.execution, dry_run=True)
        self._joints, self._next = joints, 0

    def judge(self, chunk: ActionChunk, now_ns: int) -> Judgement:
        """Judge a chunk that arrives at a time, not before that of the last one."""
        self._advance(now_ns)
        pipeline = self._pipeline
        if not pipeline.is_armed:
            armed = pipeline.arm(now_ns)
            if not armed.accepted:
                return Judgement(kind="refuse", reasons=(("arm", armed.message),), dropped_steps=0)
        execution = pipeline.on_chunk(chunk, now_ns)
        kind = execution.verdict.kind.value
        if pipeline.stop_reason is not None:
            pipeline.reset(now_ns)
        elif not execution.accepted:
            kind = "refuse"
        reasons = tuple((reason.check, reason.message) for reason in execution.verdict.reasons)
        return Judgement(kind=kind, reasons=reasons, dropped_steps=execution.dropped_steps)

    def _advance(self, now_ns: int) -> None:
        """Feed what was sampled until now; the clock moves along, so that it does not seem to leap."""
        while self._next < len(self._joints) and self._joints[self._next].stamp_ns <= now_ns:
            reading = self._joints[self._next]
            self._pipeline.on_joint_state(reading.names, reading.q, reading.dq, reading.stamp_ns)
            self._pipeline.watch.clock(reading.stamp_ns)
            self._next += 1
