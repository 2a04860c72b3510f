"""From what is seen and felt to the next chunk of tool motion.

The plan is kept in the base frame and continued at every observation: a new chunk starts with the position, velocity
and acceleration the previous chunk has at the new stamp. Anchoring it at the measured pose instead would give away the
arm's tracking lag thirty times a second and slow every motion down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ArmChunk, RobotState
from vla3d_ros.errors import PerceptionError
from vla3d_ros.policy.backends.scripted_config import ScriptedConfig, Triple
from vla3d_ros.policy.backends.scripted_motion import ToolMotion, interpolate_motion, tool_poses, tool_position
from vla3d_ros.policy.backends.scripted_perception import Belief, turn_symmetry
from vla3d_ros.policy.backends.scripted_phases import CARRYING, Goals, Phase, PhaseMachine, PlanState

Float = NDArray[np.float64]

_STEADY_OPENING = 0.02
_NO_GRIP_S = 2.0
_STRAY_TICKS = 3
_LOOK_AGAIN_S = 0.3
_LOOK_AROUND_S = 1.0


class ScriptedPlanner:
    """Keeps one plan going from observation to observation."""

    def __init__(self, config: ScriptedConfig) -> None:
        self._config = config
        self._machine = PhaseMachine(config)
        self._dt_ns = round(1e9 / config.chunk.rate_hz)
        self._rollout: list[PlanState] = []
        self._rollout_ns = 0
        self._measured: tuple[int, Float] | None = None
        self._steady: tuple[int, float] | None = None
        self._yaws = {"pick": config.task.preferred_yaw_rad, "place": config.task.preferred_yaw_rad}
        self._stray_ticks = 0
        self._is_pushed = False
        self.attempts = 1
        """Grasps begun, including the current one."""

    def plan(self, robot: RobotState, beliefs: Mapping[str, Belief | None], stamp_ns: int) -> list[PlanState]:
        """Continue the plan from an observation.

        Args:
            robot: The arm at the observation's stamp.
            beliefs: Where the "cube" and the "pad" are.
            stamp_ns: The observation's stamp.

        Returns:
            The states of the chunk's steps, the first due one step after the stamp.

        Raises:
            PerceptionError: If the cube or the pad is needed and was not seen, or not for too long.
        """
        cube, pad = self._known(beliefs, "cube"), self._known(beliefs, "pad")
        state = self._decide(self._current(robot, stamp_ns), robot, cube, pad, stamp_ns)
        self._check_sight(state, cube, stamp_ns)
        goals = Goals(pick=self._pick(cube), place=self._place(pad))
        self._rollout, self._rollout_ns = [state], stamp_ns
        for _ in range(self._config.chunk.steps):
            self._rollout.append(self._machine.step(self._rollout[-1], goals))
        return self._rollout[1:]

    def start_from(self, motion: ToolMotion, stamp_ns: int) -> None:
        """Begin with a motion that somebody else has planned so far, rather than at rest."""
        state = PlanState(phase=Phase.APPROACH, motion=motion, anchor=motion.position)
        self._rollout, self._rollout_ns = [state, state], stamp_ns

    def start_over(self) -> None:
        """Let the next plan start from the measured motion: the arm was moved by somebody else."""
        self._is_pushed = True

    def motion_at(self, stamp_ns: int) -> ToolMotion | None:
        """Return the planned motion at an instant, None before the first plan."""
        planned = self._planned(stamp_ns)
        return None if planned is None else planned.motion

    @property
    def phase(self) -> Phase | None:
        """Phase at the newest observation."""
        return self._rollout[0].phase if self._rollout else None

    def _known(self, beliefs: Mapping[str, Belief | None], name: str) -> Belief:
        belief = beliefs[name]
        if belief is None:
            cameras = ", ".join(self._config.cameras)
            raise PerceptionError(
                f"the {name} of the instruction was not found in two views; expected it in at least two of {cameras}; "
                "check that it is on the table and that nothing hides it"
            )
        return belief

    def _check_sight(self, state: PlanState, cube: Belief, stamp_ns: int) -> None:
        """Refuse to reach for a memory; right after a drop there is a moment to look around."""
        is_looking = state.phase is Phase.APPROACH and state.phase_s < _LOOK_AROUND_S
        unseen_s = cube.age_ns(stamp_ns) / 1e9
        if state.phase in (Phase.APPROACH, Phase.DESCEND) and not is_looking and unseen_s > self._config.fit.max_age_s:
            raise PerceptionError(
                f"the cube was last seen {unseen_s:.1f} s ago; expected at most {self._config.fit.max_age_s} s; "
                "clear the cameras' view of the table"
            )

    # ------------------------------------------------------------------------------- where the plan is now

    def _current(self, robot: RobotState, stamp_ns: int) -> PlanState:
        """Pick the plan up where it is at the stamp, or start over from the measured motion."""
        position = tool_position(robot.T_base_ee.matrix, self._config.task.preferred_yaw_rad)
        measured = ToolMotion(position=position, velocity=self._velocity(position, stamp_ns), acceleration=np.zeros(6))
        planned = self._planned(stamp_ns)
        if planned is None:
            return PlanState(phase=Phase.APPROACH, motion=measured, anchor=position)
        error = planned.motion.position - position
        settings = self._config.motion
        is_off = np.linalg.norm(error[:3]) > settings.reseed_m or np.abs(error[3:]).max() > settings.reseed_rad
        is_off, self._is_pushed = is_off or self._is_pushed, False
        return replace(planned, motion=measured, settled_s=0.0) if is_off else planned

    def _planned(self, stamp_ns: int) -> PlanState | None:
        if not self._rollout:
            return None
        steps = (stamp_ns - self._rollout_ns) / self._dt_ns
        index = int(np.clip(np.floor(steps), 0, len(self._rollout) - 2))
        before, after = self._rollout[index], self._rollout[index + 1]
        fraction = float(np.clip(steps - index, 0.0, 1.0))
        motion = interpolate_motion(before.motion, after.motion, fraction, self._dt_ns / 1e9)
        return replace(after if fraction > 0.5 else before, motion=motion)

    def _velocity(self, position: Float, stamp_ns: int) -> Float:
        previous, self._measured = self._measured, (stamp_ns, position)
        if previous is None or stamp_ns <= previous[0]:
            return np.zeros(6)
        velocity: Float = (position - previous[1]) / ((stamp_ns - previous[0]) / 1e9)
        return velocity

    # --------------------------------------------------------------------- what the fingers and the eyes say

    def _decide(self, state: PlanState, robot: RobotState, cube: Belief, pad: Belief, stamp_ns: int) -> PlanState:
        is_steady = self._is_steady(robot.gripper_opening, stamp_ns)
        task = self._config.task
        is_held = abs(robot.gripper_opening - task.grasped_opening) <= task.opening_tolerance
        if state.phase is Phase.GRASP and state.phase_s >= task.close_s and is_steady:
            if is_held:
                return state.enter(Phase.LIFT)
            is_answering = robot.gripper_opening < task.released_opening or state.phase_s > _NO_GRIP_S
            return self._again(state) if is_answering else state
        if state.phase in CARRYING and (not is_held or self._is_stray(state, cube, stamp_ns)):
            return self._again(state)
        if state.phase is Phase.RELEASE and robot.gripper_opening >= task.released_opening:
            return state.enter(Phase.RETREAT)
        if state.phase is Phase.DONE and state.phase_s > _LOOK_AGAIN_S and self._is_gone(cube, pad, stamp_ns):
            return self._again(state)
        return state

    def _again(self, state: PlanState) -> PlanState:
        self.attempts += 1
        self._stray_ticks = 0
        return state.enter(Phase.APPROACH)

    def _is_steady(self, opening: float, stamp_ns: int) -> bool:
        if self._steady is None or abs(opening - self._steady[1]) > _STEADY_OPENING:
            self._steady = (stamp_ns, opening)
        return stamp_ns - self._steady[0] >= self._config.task.steady_s * 1e9

    def _is_stray(self, state: PlanState, cube: Belief, stamp_ns: int) -> bool:
        """Whether the cube was just seen, several times in a row, away from the hand."""
        distance_m = float(np.linalg.norm(cube.box[:3] - state.motion.position[:3]))
        is_away = cube.stamp_ns == stamp_ns and distance_m > self._config.task.follow_m
        self._stray_ticks = self._stray_ticks + 1 if is_away else 0
        return self._stray_ticks >= _STRAY_TICKS

    def _is_gone(self, cube: Belief, pad: Belief, stamp_ns: int) -> bool:
        distance_m = float(np.linalg.norm(cube.box[:2] - pad.box[:2]))
        return cube.stamp_ns == stamp_ns and distance_m > self._config.task.gone_m

    # ------------------------------------------------------------------------------------ where to go

    def _pick(self, cube: Belief) -> Float:
        objects, task = self._config.objects, self._config.task
        yaw = self._grasp_yaw("pick", float(cube.box[3]), objects.cube_size_m)
        return np.array([*cube.box[:2], objects.table_height_m + task.grasp_height_m, 0.0, 0.0, yaw])

    def _place(self, pad: Belief) -> Float:
        objects, task = self._config.objects, self._config.task
        height_m = objects.table_height_m + objects.pad_size_m[2] + task.place_clearance_m + task.grasp_height_m
        yaw = self._grasp_yaw("place", float(pad.box[3]), objects.cube_size_m)
        return np.array([*pad.box[:2], height_m, 0.0, 0.0, yaw])

    def _grasp_yaw(self, goal: str, object_yaw: float, size_m: Triple) -> float:
        """Turn the fingers across the object's narrow side, near the preferred yaw, without changing one's mind."""
        task, symmetry = self._config.task, turn_symmetry(size_m)
        is_across_x = size_m[0] <= size_m[1]
        yaw = object_yaw + (0.0 if is_across_x == (task.closing_axis == "x") else np.pi / 2.0)
        kept = _nearest(yaw, self._yaws[goal], symmetry)
        if abs(kept - task.preferred_yaw_rad) > symmetry / 2.0 + task.yaw_hysteresis_rad:
            kept = _nearest(yaw, task.preferred_yaw_rad, symmetry)
        self._yaws[goal] = kept
        return kept


def planned_chunk(states: Sequence[PlanState], robot: RobotState) -> ArmChunk:
    """Return planned states as a chunk of an arm, relative to where it is."""
    Ts_base_ee = tool_poses(np.stack([state.motion.position for state in states]))
    return ArmChunk(
        arm=robot.arm,
        Ts_ee0_ee=robot.T_base_ee.inverse().matrix @ Ts_base_ee,
        gripper_opening=np.array([state.opening for state in states]),
    )


def _nearest(yaw: float, reference: float, symmetry: float) -> float:
    return yaw + symmetry * round((reference - yaw) / symmetry)
