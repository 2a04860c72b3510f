"""One arm's chunk in absolute poses, the plan made of it, and the account of what was really executed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, ExecutedSteps
from vla3d_ros.geometry import Transform, blend_transforms, interpolate_transforms

Float = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AnchoredChunk:
    """One arm's part of a chunk, resolved once against the end effector's pose at the chunk's stamp.

    Ts_base_ee (T, 4, 4) and gripper_opening (T,) are due at due_ns (T,). The policy conditioned the first
    `conditioned_steps` on what it knew would be executed anyway.
    """

    arm: str
    stamp_ns: int
    due_ns: Times
    Ts_base_ee: Float
    gripper_opening: Float
    conditioned_steps: int = 0

    @classmethod
    def resolve(cls, chunk: ActionChunk, index: int, T_base_ee0: Transform) -> AnchoredChunk:
        """Resolve part `index` of a chunk against the pose at its stamp."""
        part = chunk.arms[index]
        return cls(
            arm=part.arm,
            stamp_ns=chunk.stamp_ns,
            due_ns=chunk.due_ns(),
            Ts_base_ee=T_base_ee0.matrix @ part.Ts_ee0_ee,
            gripper_opening=part.gripper_opening,
            conditioned_steps=chunk.conditioned_steps,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RampIn:
    """How an arm at rest takes up a moving chunk: by a share of it that grows smoothly from 0 to 1."""

    T_base_ee_rest: Transform
    start_ns: int
    duration_ns: int

    def is_over(self, now_ns: int) -> bool:
        """Whether the share has reached 1."""
        return now_ns >= self.start_ns + self.duration_ns

    def apply(self, times_ns: Times, wanted: Float) -> Float:
        """Return wanted (T, 4, 4), moved towards rest where the share at times_ns (T,) is below 1."""
        s = np.clip((times_ns - self.start_ns) / max(self.duration_ns, 1), 0.0, 1.0)
        share = s**3 * (10.0 - 15.0 * s + 6.0 * s * s)
        rest = np.repeat(self.T_base_ee_rest.matrix[None], len(times_ns), axis=0)
        return np.where((share < 1.0)[:, None, None], blend_transforms(rest, wanted, share), wanted)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PosePlan:
    """What one arm is told: Ts_base_ee (T, 4, 4) at times_ns (T,), gripper_opening (G,) at gripper_times_ns (G,).

    Times are those of the commands: earlier than the steps are due by the actuators' latency. dropped_steps of the
    chunk were already past when it arrived. is_spliced: it continues the plan before it without a blend.
    """

    chunk: AnchoredChunk
    times_ns: Times
    Ts_base_ee: Float
    gripper_times_ns: Times
    gripper_opening: Float
    dropped_steps: int
    is_spliced: bool = False
    ramp: RampIn | None = None

    @property
    def arm(self) -> str:
        """Name of the arm."""
        return self.chunk.arm

    def slowed(self, from_ns: int, factor: float) -> PosePlan:
        """Return the plan with the time after an instant stretched by a factor >= 1."""
        return replace(
            self,
            times_ns=_stretched(self.times_ns, from_ns, factor),
            gripper_times_ns=_stretched(self.gripper_times_ns, from_ns, factor),
        )

    def held_at(self, T_base_ee: Transform, end_ns: int, now_ns: int) -> PosePlan:
        """Return a plan that gives up on the chunk: one pose from an instant on, the gripper as it is now."""
        step = min(int(np.searchsorted(self.gripper_times_ns, now_ns)), len(self.gripper_opening) - 1)
        return replace(
            self,
            times_ns=np.array([end_ns], dtype=np.int64),
            Ts_base_ee=T_base_ee.matrix[None].copy(),
            gripper_times_ns=self.gripper_times_ns[step : step + 1],
            gripper_opening=self.gripper_opening[step : step + 1],
            dropped_steps=len(self.chunk.due_ns),
            ramp=None,
        )

    def poses_at(self, times_ns: Times) -> Float:
        """Return (N, 4, 4) poses; before the first and after the last step, those are held."""
        inside = np.clip(times_ns, self.times_ns[0], self.times_ns[-1])
        if len(self.times_ns) == 1:
            return np.repeat(self.Ts_base_ee, len(inside), axis=0)
        return interpolate_transforms(self.times_ns, self.Ts_base_ee, inside)

    def executed(self, from_ns: int, until_ns: int) -> ExecutedSteps:
        """Return which steps of the chunk the arm was told between two instants, the later one included."""
        begin, end = np.searchsorted(self.times_ns, [from_ns, until_ns], side="right").tolist()
        first = self.dropped_steps + begin
        count = max(0, min(end - begin, len(self.chunk.due_ns) - first))
        return ExecutedSteps(arm=self.arm, chunk_stamp_ns=self.chunk.stamp_ns, first=first, count=count)


def _stretched(times_ns: Times, from_ns: int, factor: float) -> Times:
    later = np.maximum(times_ns - from_ns, 0)
    return times_ns + np.round((factor - 1.0) * later).astype(np.int64)
