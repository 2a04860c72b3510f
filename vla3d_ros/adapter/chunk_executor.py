"""Which pose is due when: chunks of relative poses become one absolute plan, without jumps between chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ArmChunk
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform, blend_transforms, interpolate_transforms

Float = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PosePlan:
    """Where one arm's end effector should be: Ts_base_ee (T, 4, 4) and gripper_opening (T,) at times_ns (T,).

    dropped_steps of the chunk were already past when it arrived.
    """

    arm: str
    times_ns: Times
    Ts_base_ee: Float
    gripper_opening: Float
    dropped_steps: int

    def slowed(self, from_ns: int, factor: float) -> PosePlan:
        """Return the plan with the time after an instant stretched by a factor >= 1."""
        later = np.maximum(self.times_ns - from_ns, 0)
        stretched = self.times_ns + np.round((factor - 1.0) * later).astype(np.int64)
        return replace(self, times_ns=stretched)

    def poses_at(self, times_ns: Times) -> Float:
        """Return (N, 4, 4) poses; before the first and after the last step, those are held."""
        inside = np.clip(times_ns, self.times_ns[0], self.times_ns[-1])
        if len(self.times_ns) == 1:
            return np.repeat(self.Ts_base_ee, len(inside), axis=0)
        return interpolate_transforms(self.times_ns, self.Ts_base_ee, inside)


class ChunkExecutor:
    """Turn the chunks of one arm into plans: each chunk is resolved once, past steps are dropped, plans are blended.

    Until `lead_ns` after now the arm is committed to what it was told before; after that the plan moves from the
    previous plan to the new chunk along the screw between them: within `blend_ns`, or as long as it takes to make up
    for their disagreement at the catch-up speed.
    """

    def __init__(self, *, lead_ns: int, blend_ns: int, catch_up: tuple[float, float]) -> None:
        """Start without a plan.

        Args:
            lead_ns: Length of the commitment from now.
            blend_ns: Shortest blend.
            catch_up: Speed (m/s) and turning rate (rad/s) at which a disagreement is made up for.
        """
        self._lead_ns = lead_ns
        self._blend_ns = blend_ns
        self._catch_up = catch_up
        self._plan: PosePlan | None = None

    def accept(
        self, chunk: ArmChunk, due_ns: Times, T_base_ee0: Transform, now_ns: int, T_base_ee_now: Transform
    ) -> PosePlan:
        """Resolve a chunk and make it the plan.

        Args:
            chunk: Relative poses (T, 4, 4) and openings (T,).
            due_ns: (T,) when the steps are due.
            T_base_ee0: Measured pose of the end effector at the chunk's stamp.
            now_ns: Current time.
            T_base_ee_now: Where the arm is told to be; blended from if no plan is running.

        Returns:
            The steps due after now.

        Raises:
            StaleObservationError: If every step is past.
        """
        dropped = int(np.searchsorted(due_ns, now_ns, side="right"))
        if dropped == len(due_ns):
            late_ms = (now_ns - int(due_ns[-1])) / 1e6
            raise StaleObservationError(f"arm '{chunk.arm}': the last of {dropped} steps was due {late_ms:.1f} ms ago")
        times_ns = due_ns[dropped:]
        wanted = T_base_ee0.matrix @ chunk.Ts_ee0_ee[dropped:]
        self._plan = PosePlan(
            arm=chunk.arm,
            times_ns=times_ns,
            Ts_base_ee=self._blend(times_ns, wanted, now_ns, T_base_ee_now),
            gripper_opening=chunk.gripper_opening[dropped:],
            dropped_steps=dropped,
        )
        return self._plan

    def replace_plan(self, plan: PosePlan) -> None:
        """Take note that the plan is executed differently, e.g. slower; the next chunk is blended from this one."""
        self._plan = plan

    def clear(self) -> None:
        """Forget the plan: the next chunk is blended from where the arm is told to be."""
        self._plan = None

    def _blend(self, times_ns: Times, wanted: Float, now_ns: int, T_base_ee_now: Transform) -> Float:
        """Return wanted (T, 4, 4), moved towards what the arm does anyway where the step is due soon."""
        if self._plan is not None and int(self._plan.times_ns[-1]) > now_ns:
            known = self._plan.poses_at(times_ns)
        else:
            known = np.repeat(T_base_ee_now.matrix[None], len(times_ns), axis=0)
        first = int(np.clip(np.searchsorted(times_ns, now_ns + self._lead_ns), 0, len(times_ns) - 1))
        gap_m, gap_rad = Transform(known[first]).distance_to(Transform(wanted[first]))
        gap_s = max(gap_m / self._catch_up[0], gap_rad / self._catch_up[1])
        blend_ns = max(self._blend_ns, int(gap_s * 1e9), 1)
        fraction = np.clip((times_ns - now_ns - self._lead_ns) / blend_ns, 0.0, 1.0)
        is_mixed = fraction < 1.0
        blended: Float = wanted.copy()
        blended[is_mixed] = blend_transforms(known[is_mixed], wanted[is_mixed], fraction[is_mixed])
        return blended
