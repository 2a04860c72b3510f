"""A parallel gripper that takes GripperCommand goals and behaves like Franka's own gripper node.

Opening is a move to a width. Closing is a grasp: the fingers close until they are stopped and then press with
`max_effort`; the goal counts as reached only if they stopped at the commanded width, so closing on an object reports
`stalled` and an aborted goal while the object is held. Commands and results speak of different things, as on the real
robot: the goal's position is the gripper's own measure (`GripperSpec.command_gap_m`), feedback and result are the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla3d_ros.adapter.embodiment import GripperSpec

_NS = 1e-9
_ALREADY_THERE_M = 1e-4
_GRASP_EPSILON_M = 0.005
_MOVE_EPSILON_M = 0.001
_STALL_SPEED_M_S = 0.002
_STALL_TIMEOUT_S = 0.15
_MOVING_EFFORT_N = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GripperState:
    """What the action reports: gap between the pads in metres, effort in N, and how the current goal stands."""

    gap_m: float
    effort_n: float
    is_active: bool
    stalled: bool
    reached_goal: bool
    is_aborted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GripperDrive:
    """What the fingers' servo should do until the next update."""

    gap_m: float
    effort_n: float


class GripperController:
    """One gripper; `submit` takes a goal, `update` runs once a control period."""

    def __init__(self, spec: GripperSpec, *, speed_m_s: float) -> None:
        """Start open.

        Args:
            spec: The gripper.
            speed_m_s: Speed at which the gap changes, both fingers together.
        """
        self._spec = spec
        self._speed_m_s = speed_m_s
        self.reset()

    def reset(self) -> None:
        """Forget any goal and stay open."""
        self._target_m = self._spec.stroke_m
        self._reference_m = self._spec.stroke_m
        self._previous_gap_m = self._spec.stroke_m
        self._effort_n = self._spec.max_effort_n
        self._is_grasp = False
        self._is_active = False
        self._stalled = False
        self._reached = False
        self._aborted = False
        self._still_ns = 0

    def submit(self, position: float, max_effort: float, gap_m: float) -> None:
        """Take a goal; it replaces the one in progress. A goal outside the stroke is aborted without motion.

        Args:
            position: As in the action, in the gripper's own measure.
            max_effort: N; a grasp with 0 closes and then holds with no force.
            gap_m: Present gap between the pads.
        """
        target_m = self._spec.command_gap_m(position)
        self._stalled = self._reached = self._aborted = False
        self._still_ns = 0
        if not -_ALREADY_THERE_M <= target_m <= self._spec.stroke_m + _ALREADY_THERE_M:
            self._is_active, self._aborted = False, True
            return
        if abs(target_m - gap_m) < _ALREADY_THERE_M:
            self._is_active, self._reached = False, True
            return
        self._is_active = True
        self._is_grasp = target_m < gap_m
        self._target_m = min(max(target_m, 0.0), self._spec.stroke_m)
        self._reference_m = gap_m
        self._effort_n = min(abs(max_effort), self._spec.max_effort_n) if self._is_grasp else self._spec.max_effort_n

    def update(self, period_ns: int, gap_m: float) -> GripperDrive:
        """Advance one control period.

        Args:
            period_ns: Since the last update.
            gap_m: Measured gap between the pads.
        """
        step_m = self._speed_m_s * period_ns * _NS
        difference_m = self._target_m - self._reference_m
        self._reference_m += max(-step_m, min(step_m, difference_m))
        speed_m_s = abs(gap_m - self._previous_gap_m) / (period_ns * _NS)
        self._previous_gap_m = gap_m
        self._still_ns = 0 if speed_m_s > _STALL_SPEED_M_S else self._still_ns + period_ns
        if self._is_active:
            self._judge(gap_m)
        is_pressing = self._is_grasp and self._stalled
        effort_n = self._effort_n if is_pressing else max(self._effort_n, _MOVING_EFFORT_N)
        return GripperDrive(gap_m=self._reference_m, effort_n=effort_n)

    def state(self, gap_m: float) -> GripperState:
        """Report how things stand at a measured gap."""
        return GripperState(
            gap_m=gap_m,
            effort_n=self._effort_n if self._stalled else 0.0,
            is_active=self._is_active,
            stalled=self._stalled,
            reached_goal=self._reached,
            is_aborted=self._aborted,
        )

    def _judge(self, gap_m: float) -> None:
        error_m = abs(gap_m - self._target_m)
        if not self._is_grasp and error_m < _MOVE_EPSILON_M:
            self._is_active, self._reached = False, True
        elif self._still_ns * _NS >= _STALL_TIMEOUT_S:
            self._is_active, self._stalled = False, True
            self._reached = self._is_grasp and error_m < _GRASP_EPSILON_M
            self._aborted = not self._reached
