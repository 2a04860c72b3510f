"""The phases of a pick-and-place, as a function from one step to the next.

The same function commits real progress and predicts the steps of a chunk. What only the fingers or the eyes can tell
(cube held, cube dropped) is not predicted: `scripted_planner` decides that once per observation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.policy.backends.scripted_config import ScriptedConfig
from vla3d_ros.policy.backends.scripted_motion import MotionProfile, ToolMotion

Float = NDArray[np.float64]

_STILL_M_S = 0.02
_REACHED_M = 0.02


class Phase(Enum):
    """What the arm is doing."""

    APPROACH = "approach"
    DESCEND = "descend"
    GRASP = "grasp"
    LIFT = "lift"
    TRANSFER = "transfer"
    LOWER = "lower"
    RELEASE = "release"
    RETREAT = "retreat"
    DONE = "done"


_CLOSED = frozenset({Phase.GRASP, Phase.LIFT, Phase.TRANSFER, Phase.LOWER})
CARRYING = frozenset({Phase.LIFT, Phase.TRANSFER, Phase.LOWER})
"""Phases in which the cube must be between the fingers."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PlanState:
    """Where the plan is: phase, motion of the tool, time in the phase and time settled at its goal (s).

    anchor (6,): tool position at which the phase began.
    """

    phase: Phase
    motion: ToolMotion
    anchor: Float
    phase_s: float = 0.0
    settled_s: float = 0.0

    def enter(self, phase: Phase) -> PlanState:
        """Begin another phase here, without a jump of the motion."""
        return replace(self, phase=phase, anchor=self.motion.position, phase_s=0.0, settled_s=0.0)

    @property
    def opening(self) -> float:
        """Gripper opening wanted in this phase."""
        return 0.0 if self.phase in _CLOSED else 1.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Goals:
    """Where things are, for the tool: pick and place (6,) tool positions at the table's and the pad's height."""

    pick: Float
    place: Float


class PhaseMachine:
    """Advances a plan by one step, given the goals."""

    def __init__(self, config: ScriptedConfig) -> None:
        self._task = config.task
        self._table_m = config.objects.table_height_m
        self._step_s = 1.0 / config.chunk.rate_hz
        self._profile = MotionProfile(config.motion, self._step_s)

    def step(self, state: PlanState, goals: Goals) -> PlanState:
        """Return the plan one step later."""
        state = self._next_phase(state, goals)
        goal = self._goal(state, goals)
        motion = self._profile.step(state.motion, goal)
        is_settled = (
            float(np.linalg.norm(motion.position[:3] - goal[:3])) <= self._task.settle_m
            and float(np.linalg.norm(motion.velocity[:3])) <= _STILL_M_S
        )
        return replace(
            state,
            motion=motion,
            phase_s=state.phase_s + self._step_s,
            settled_s=state.settled_s + self._step_s if is_settled else 0.0,
        )

    def _next_phase(self, state: PlanState, goals: Goals) -> PlanState:
        """Follow the arrows that geometry alone decides."""
        following = self._following(state, goals)
        return state if following is None else state.enter(following)

    def _following(self, state: PlanState, goals: Goals) -> Phase | None:
        task, position = self._task, state.motion.position
        is_settled = state.settled_s >= task.settle_s
        height_m = float(position[2]) - self._table_m
        if state.phase is Phase.DESCEND and not self._is_over(position, goals.pick, task.escape_m):
            return Phase.APPROACH
        arrows = {
            Phase.APPROACH: (self._is_over(position, goals.pick, task.funnel_m), Phase.DESCEND),
            Phase.DESCEND: (is_settled, Phase.GRASP),
            Phase.LIFT: (height_m >= task.clear_height_m, Phase.TRANSFER),
            Phase.TRANSFER: (self._is_over(position, goals.place, task.funnel_m), Phase.LOWER),
            Phase.LOWER: (is_settled, Phase.RELEASE),
            Phase.RETREAT: (height_m >= task.retreat_height_m - _REACHED_M, Phase.DONE),
        }
        is_due, following = arrows.get(state.phase, (False, state.phase))
        return following if is_due else None

    def _is_over(self, position: Float, goal: Float, tolerance_m: float) -> bool:
        sideways_m = float(np.linalg.norm(position[:2] - goal[:2]))
        turn_rad = float(np.abs(position[3:] - goal[3:]).max())
        return sideways_m <= tolerance_m and turn_rad <= self._task.funnel_rad * tolerance_m / self._task.funnel_m

    def _goal(self, state: PlanState, goals: Goals) -> Float:
        task = self._task
        heights = {Phase.LIFT: task.carry_height_m, Phase.RETREAT: task.retreat_height_m}
        heights[Phase.DONE] = task.retreat_height_m
        if state.phase in heights:
            return self._raised(state.anchor, heights[state.phase])
        if state.phase is Phase.APPROACH:
            return self._above(state, goals.pick, task.hover_height_m)
        if state.phase is Phase.TRANSFER:
            return self._above(state, goals.place, task.carry_height_m)
        return {Phase.DESCEND: goals.pick, Phase.LOWER: goals.place}.get(state.phase, state.anchor)

    def _above(self, state: PlanState, goal: Float, height_m: float) -> Float:
        """Move sideways only above the clear height: rise on the spot first."""
        is_clear = state.motion.position[2] >= self._table_m + self._task.clear_height_m
        return self._raised(goal if is_clear else state.anchor, height_m)

    def _raised(self, position: Float, height_m: float) -> Float:
        return np.array([*position[:2], self._table_m + height_m, 0.0, 0.0, position[5]])
