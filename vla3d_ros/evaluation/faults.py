"""What a fault is, what may follow from it, and whether the robot stayed inside its limits meanwhile. Knows no ROS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.body_capsules import RobotCapsules
from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.geometry.segments import segment_distances
from vla3d_ros.twin.motion_log import MotionRecord

Float = NDArray[np.float64]

_NS = 1_000_000_000
_WINDOW_NS = 20_000_000  # accelerations are judged as the mean over this time
_POSITION_TOLERANCE_RAD = 1e-4
_SHARE_TOLERANCE = 1.01
_MAX_TABLE_FORCE_N = 5.0
_RESTING_RAD_S = 0.02
_REST_NS = 200_000_000
_BODY_LOOKS = 100


class FaultTools(Protocol):
    """What a fault may do to the running graph. All calls return at once unless they say otherwise."""

    def kill(self, process: str) -> None:
        """End a process with SIGKILL."""
        ...

    def pause(self, process: str, seconds: float) -> None:
        """SIGSTOP a process, wait that long (wall time), and let it go on."""
        ...

    def fill_disk(self, process: str) -> None:
        """Let every further write of a process fail, as on a full disk."""
        ...

    def break_twin(self, fault: str) -> None:
        """Let the twin's hardware fail, see `vla3d_ros/twin/faults.py`."""
        ...

    def send_chunk(self, flaw: str) -> None:
        """Publish one chunk with a flaw beside those of the policy."""
        ...

    def flood(self, seconds: float) -> None:
        """Publish sound chunks as fast as 1 kHz for that long (wall time)."""
        ...

    def steer(self, course: str, seconds: float) -> None:
        """Be the policy for that long (simulated time): head for trouble."""
        ...

    def leap_clock(self, seconds: float) -> None:
        """Publish a clock that is off by that much, over the true one, for half a second."""
        ...

    def claim_command_topic(self) -> None:
        """Become a second publisher on the arm's command topic."""
        ...

    def hold_heartbeat(self) -> None:
        """Let go of the deadman."""
        ...

    def instruct(self, instruction: str) -> None:
        """Tell the policy what to do."""
        ...

    def call(self, service: str) -> None:
        """Call one of the adapter's services."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault and what has to follow.

    Attributes:
        name: For the command line and the table.
        title: What happens, for people.
        strike: Does it.
        stops: One of these checks must latch the stop; empty = nothing may latch.
        refuses: This check must refuse at least one command.
        dies: This process must be reported as ended.
        rests: Whether the arm must be at rest in the end.
        settle_s: Simulated seconds from the strike to the judgement.
        is_driven: Whether the policy moves the arm when the fault strikes; a seeker starts from rest.
        any_stop: Whether a stop with any reason, or none, will do.
    """

    name: str
    title: str
    strike: Callable[[FaultTools], None]
    stops: tuple[str, ...] = ()
    refuses: str = ""
    dies: str = ""
    rests: bool = True
    settle_s: float = 2.0
    is_driven: bool = True
    any_stop: bool = False

    @property
    def expectation(self) -> str:
        """What has to follow, in words."""
        if self.any_stop:
            return "stays inside all limits"
        parts = [f"stop: {' or '.join(self.stops)}"] if self.stops else []
        parts += [f"refused: {self.refuses}"] if self.refuses else []
        parts += [f"'{self.dies}' reported dead"] if self.dies else []
        return ", ".join(parts) if parts else "goes on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """How far the robot went, as shares of its limits (1 = at the limit), from the twin's own log.

    `position` is rad beyond a limit (negative: inside), `gap_m` the least distance between bodies that must stay apart.
    """

    position_rad: float
    velocity: float
    acceleration: float
    table_force_n: float
    gap_m: float
    samples: int

    def violations(self) -> list[str]:
        """Return what was exceeded, one sentence each."""
        found = []
        if self.position_rad > _POSITION_TOLERANCE_RAD:
            found.append(f"a joint went {self.position_rad:.4f} rad beyond its range")
        for name in ("velocity", "acceleration"):
            if getattr(self, name) > _SHARE_TOLERANCE:
                found.append(f"{name} reached {getattr(self, name):.2f} of its limit")
        if self.table_force_n > _MAX_TABLE_FORCE_N:
            found.append(f"the robot pressed on the table with {self.table_force_n:.1f} N")
        if self.gap_m < 0:
            found.append(f"bodies that must stay apart overlapped by {-1e3 * self.gap_m:.1f} mm")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultResult:
    """What followed from one fault; `problems` is empty if it was all as it has to be."""

    fault: str
    title: str
    expected: str
    stop_reason: str
    extremes: Extremes | None
    problems: tuple[str, ...]
    recovered: str
    sim_s: float

    @property
    def passed(self) -> bool:
        """Whether everything was as it has to be."""
        return not self.problems


def measure(record: MotionRecord, embodiment: Embodiment) -> Extremes:
    """Compare what the robot did with its limits.

    Args:
        record: The twin's log, at least two samples.
        embodiment: The robot; its limits include those of velocity that depend on position.
    """
    columns = {name: index for index, name in enumerate(record.joint_names)}
    position = velocity = acceleration = -np.inf
    for arm in embodiment.arms:
        at = [columns[name] for name in arm.joint_names]
        q, dq = record.q[:, at], record.dq[:, at]
        limits = arm.limits
        position = max(position, float(np.maximum(q - limits.q_upper, limits.q_lower - q).max()))
        lowest, highest = limits.velocity_bounds(q)
        bound = np.maximum(np.where(dq >= 0, highest, -lowest), _RESTING_RAD_S)
        velocity = max(velocity, float((np.abs(dq) / bound).max()))
        acceleration = max(acceleration, float((_accelerations(record.times_ns, dq) / limits.acceleration).max()))
    return Extremes(
        position_rad=position,
        velocity=velocity,
        acceleration=acceleration,
        table_force_n=float(record.table_force_n.max()),
        gap_m=_least_gap(record, embodiment, columns),
        samples=len(record.times_ns),
    )


def is_at_rest(record: MotionRecord) -> bool:
    """Whether the robot hardly moved in the last moments of a record."""
    last = record.times_ns >= record.times_ns[-1] - _REST_NS
    return bool(np.abs(record.dq[last]).max() < _RESTING_RAD_S)


def judge(
    fault: Fault, stop_reason: str, refusals: Sequence[str], dead: Sequence[str], record: MotionRecord | None
) -> list[str]:
    """Return what was not as the fault demands, apart from limits; empty if all was.

    Args:
        fault: What was done.
        stop_reason: `check: sentence` of the latched stop, empty for none.
        refusals: Checks that refused or clamped commands since the strike.
        dead: Sentences about processes that ended.
        record: The twin's log since the strike, None if there was no twin any more.
    """
    problems = []
    check = stop_reason.partition(":")[0]
    if not fault.any_stop and fault.stops and check not in fault.stops:
        problems.append(f"expected a stop for {' or '.join(fault.stops)}, got '{stop_reason or 'none'}'")
    if not fault.any_stop and not fault.stops and not fault.dies and stop_reason:
        problems.append(f"expected no stop, got '{stop_reason}'")
    if fault.refuses and fault.refuses not in refusals:
        problems.append(f"expected a refusal for {fault.refuses}, got {sorted(set(refusals))}")
    if fault.dies and not any(f"'{fault.dies}'" in line for line in dead):
        problems.append(f"nobody reported that process '{fault.dies}' ended")
    problems += [line for line in dead if f"process '{fault.dies}'" not in line]
    if fault.stops and fault.rests and record is not None and not is_at_rest(record):
        problems.append("the arm is not at rest")
    return problems


def _accelerations(times_ns: NDArray[np.int64], dq: Float) -> Float:
    later = np.searchsorted(times_ns, times_ns + _WINDOW_NS)
    inside = np.flatnonzero(later < len(times_ns))
    if not len(inside):
        return np.zeros((1, dq.shape[1]))
    seconds = (times_ns[later[inside]] - times_ns[inside])[:, None] / _NS
    rates: Float = np.abs(dq[later[inside]] - dq[inside]) / seconds
    return rates


def _least_gap(record: MotionRecord, embodiment: Embodiment, columns: dict[str, int]) -> float:
    capsules = RobotCapsules(embodiment.urdf_path, embodiment.arms)
    looks = np.unique(np.linspace(0, len(record.times_ns) - 1, _BODY_LOOKS).astype(np.int64))
    q = {arm.name: record.q[looks][:, [columns[name] for name in arm.joint_names]] for arm in embodiment.arms}
    ends = capsules.place(q)
    first, second = capsules.pairs.T
    gap = segment_distances(ends[:, first], ends[:, second]) - capsules.radii[first] - capsules.radii[second]
    return float(gap.min())
