"""What the pipeline of adapter and safety answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from vla3d_ros.adapter.arm_motion import PlannedMotion
from vla3d_ros.adapter.pose_plan import PosePlan
from vla3d_ros.datatypes import ExecutedSteps, GripperTarget, JointTrajectory, Reason, Verdict

# A chunk with one of these faults is refused; the arm ends its motion at rest and the watchdog decides what follows.
# Any other fault means that the policy or this program is broken: that latches the stop.
REFUSED_ONLY = frozenset(
    {
        "disarmed",
        "chunk_age",
        "chunk_future",
        "chunk_expired",
        "chunk_order",
        "chunk_rate",
        "anchor",
        "homing",
        "superseded",
    }
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Execution:
    """What to send now, and why.

    trajectories and gripper_targets are to be sent as they are; plans are for people and recordings; accepted says
    whether the request was carried out; executed_steps says what was executed of the chunks that are over now.
    """

    verdict: Verdict
    accepted: bool
    message: str
    trajectories: tuple[JointTrajectory, ...] = ()
    gripper_targets: tuple[GripperTarget, ...] = ()
    plans: tuple[PosePlan, ...] = ()
    dropped_steps: int = 0
    executed_steps: tuple[ExecutedSteps, ...] = ()


PlannedChunk = tuple[list[PlannedMotion], list[Reason]]
"""What the arms would do with a chunk, and what the gate has against it."""

ChunkSteps = Generator[Callable[[], PlannedChunk], tuple[PlannedChunk, int], Execution]
"""A chunk's way through the pipeline: yields the work that may be done in another thread, takes its result
and the time then, returns what to send."""


def run_steps(steps: ChunkSteps, now_ns: int) -> Execution:
    """Do a chunk's work here and now, and return what to send."""
    try:
        work = next(steps)
        steps.send((work(), now_ns))
    except StopIteration as end:
        execution: Execution = end.value
        return execution
    raise AssertionError("a chunk is one piece of work")
