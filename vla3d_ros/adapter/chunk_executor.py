"""Which pose is due when: chunks of relative poses become one absolute plan, without jumps between chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.ensembling import PoseEnsemble
from vla3d_ros.adapter.pose_plan import AnchoredChunk, PosePlan, RampIn
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform, blend_transforms

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_QUINTIC_PEAK = 1.875  # highest speed of the ramp's quintic over its mean speed
_SPLICE_M, _SPLICE_RAD = 0.005, 0.03  # a conditioned chunk further off than this did not continue the plan after all


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendTiming:
    """How one arm passes from plan to plan.

    Attributes:
        lead_ns: Until so long after now, the arm is committed to what it was told before.
        blend_ns: Shortest blend.
        ramp_in_ns: Time over which a resting arm takes up its first chunk.
        catch_up: Speed (m/s) and turning rate (rad/s) at which a disagreement is made up for.
        arm_latency_ns: How long before a step is due the arm has to be told.
        gripper_latency_ns: The same for the gripper.
    """

    lead_ns: int
    blend_ns: int
    ramp_in_ns: int
    catch_up: tuple[float, float]
    arm_latency_ns: int = 0
    gripper_latency_ns: int = 0


class ChunkExecutor:
    """Turn the chunks of one arm into plans: past steps are dropped, plans are blended.

    Until `lead_ns` after now the arm is committed to what it was told before; after that the plan moves from the
    previous plan to the new chunk along the screw between them: within `blend_ns`, or as long as it takes to make up
    for their disagreement at the catch-up speed. A chunk which the policy conditioned on the steps that run meanwhile
    continues the plan by itself and is spliced without a blend. From rest, the chunk is taken up gradually.
    """

    def __init__(self, timing: BlendTiming, ensemble: PoseEnsemble | None = None) -> None:
        """Start without a plan.

        Args:
            timing: How plans follow one another.
            ensemble: Average each chunk with those before it; None follows the newest chunk alone.
        """
        self._timing = timing
        self._ensemble = ensemble
        self._plan: PosePlan | None = None

    def accept(self, chunk: AnchoredChunk, now_ns: int, T_base_ee_now: Transform) -> PosePlan:
        """Return the plan that follows a chunk; it is in force once it is handed to `replace_plan`.

        Args:
            chunk: Absolute poses and when they are due.
            now_ns: Current time.
            T_base_ee_now: Where the arm is told to be; blended from if no plan is running.

        Returns:
            The steps the arm has to be told after now.

        Raises:
            StaleObservationError: If every step is past.
        """
        times_ns = chunk.due_ns - self._timing.arm_latency_ns
        dropped = int(np.searchsorted(times_ns, now_ns, side="right"))
        if dropped == len(times_ns):
            late_ms = (now_ns - int(times_ns[-1])) / 1e6
            raise StaleObservationError(f"arm '{chunk.arm}': the last of {dropped} steps was due {late_ms:.1f} ms ago")
        plan = PosePlan(
            chunk=chunk,
            times_ns=times_ns[dropped:],
            Ts_base_ee=chunk.Ts_base_ee[dropped:],
            gripper_times_ns=chunk.due_ns - self._timing.gripper_latency_ns,
            gripper_opening=chunk.gripper_opening,
            dropped_steps=dropped,
        )
        running = self._running(now_ns)
        if running is None:
            return self._from_rest(plan, now_ns, T_base_ee_now)
        if self._continues(plan, running, now_ns):
            return replace(plan, is_spliced=True, Ts_base_ee=self._mix(plan, plan.Ts_base_ee, running, now_ns, 1))
        wanted = self._averaged(plan)
        if running.ramp is not None and not running.ramp.is_over(int(plan.times_ns[0])):
            plan, wanted = replace(plan, ramp=running.ramp), running.ramp.apply(plan.times_ns, wanted)
        blend_ns = self._blend_ns(plan, wanted, running, now_ns)
        return replace(plan, Ts_base_ee=self._mix(plan, wanted, running, now_ns, blend_ns))

    def replace_plan(self, plan: PosePlan) -> None:
        """Take note that a plan is executed; the next chunk is blended from this one."""
        self._plan = plan
        if self._ensemble is not None:
            chunk = plan.chunk
            times_ns = chunk.due_ns - self._timing.arm_latency_ns
            self._ensemble.add(chunk.stamp_ns, times_ns, chunk.Ts_base_ee)

    def clear(self) -> None:
        """Forget the plan: the next chunk is taken up from rest, where the arm is told to be."""
        self._plan = None
        if self._ensemble is not None:
            self._ensemble.clear()

    def _running(self, now_ns: int) -> PosePlan | None:
        return self._plan if self._plan is not None and int(self._plan.times_ns[-1]) > now_ns else None

    def _from_rest(self, plan: PosePlan, now_ns: int, T_base_ee_now: Transform) -> PosePlan:
        """Take up the chunk gradually: over the ramp, or as long as the catch-up speed needs to get to it."""
        gap_ns = self._gap_ns(plan.Ts_base_ee[self._first_free(plan, now_ns)], T_base_ee_now.matrix)
        timing = self._timing
        ramp = RampIn(
            T_base_ee_rest=T_base_ee_now,
            start_ns=now_ns + timing.lead_ns,
            duration_ns=max(timing.ramp_in_ns, int(_QUINTIC_PEAK * gap_ns)),
        )
        return replace(plan, ramp=ramp, Ts_base_ee=ramp.apply(plan.times_ns, plan.Ts_base_ee))

    def _continues(self, plan: PosePlan, running: PosePlan, now_ns: int) -> bool:
        """Whether the chunk repeats the running plan up to where it takes over, as its policy says it does."""
        takes_over = self._first_free(plan, now_ns)
        is_ramping = running.ramp is not None and not running.ramp.is_over(int(plan.times_ns[0]))
        if is_ramping or plan.chunk.conditioned_steps < max(plan.dropped_steps + takes_over, 1):
            return False
        last = max(takes_over - 1, 0)
        known = running.poses_at(plan.times_ns[last : last + 1])[0]
        gap_m, gap_rad = Transform(known).distance_to(Transform(plan.Ts_base_ee[last]))
        return gap_m <= _SPLICE_M and gap_rad <= _SPLICE_RAD

    def _averaged(self, plan: PosePlan) -> Float:
        if self._ensemble is None:
            return plan.Ts_base_ee
        return self._ensemble.average(plan.chunk.stamp_ns, plan.times_ns, plan.Ts_base_ee)

    def _first_free(self, plan: PosePlan, now_ns: int) -> int:
        """Index of the first step after the commitment; the last one if there is none."""
        first = int(np.searchsorted(plan.times_ns, now_ns + self._timing.lead_ns))
        return min(first, len(plan.times_ns) - 1)

    def _blend_ns(self, plan: PosePlan, wanted: Float, running: PosePlan, now_ns: int) -> int:
        first = self._first_free(plan, now_ns)
        known = running.poses_at(plan.times_ns[first : first + 1])[0]
        return max(self._timing.blend_ns, self._gap_ns(wanted[first], known), 1)

    def _gap_ns(self, wanted: Float, known: Float) -> int:
        """How long it takes, at the catch-up speed, from what the arm does anyway to what the chunk wants (4, 4)."""
        gap_m, gap_rad = Transform(known).distance_to(Transform(wanted))
        speed_m_s, turn_rad_s = self._timing.catch_up
        return int(max(gap_m / speed_m_s, gap_rad / turn_rad_s) * 1e9)

    def _mix(self, plan: PosePlan, wanted: Float, running: PosePlan, now_ns: int, blend_ns: int) -> Float:
        """Return wanted (T, 4, 4), moved towards what the arm does anyway where the step is due soon."""
        fraction = np.clip((plan.times_ns - now_ns - self._timing.lead_ns) / blend_ns, 0.0, 1.0)
        is_mixed = fraction < 1.0
        known = running.poses_at(plan.times_ns[is_mixed])
        mixed: Float = wanted.copy()
        mixed[is_mixed] = blend_transforms(known, wanted[is_mixed], fraction[is_mixed])
        return mixed
