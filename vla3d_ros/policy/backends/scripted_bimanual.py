"""The scripted policy for two arms side by side: each works on its own half, and the middle is where they hand over.

The arm on the pad's side places the cube. If the cube lies out of its reach, the other arm first brings it to the
hand-over point between them. Who has nothing to do parks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, ArmChunk, Observation, PolicyReport, RobotState
from vla3d_ros.errors import ConfigError, InstructionError
from vla3d_ros.policy.backend import PolicyBackend, PolicyDescription
from vla3d_ros.policy.backends.scripted_bimanual_config import BimanualConfig, read_bimanual_config
from vla3d_ros.policy.backends.scripted_instruction import read_instruction
from vla3d_ros.policy.backends.scripted_motion import tool_poses
from vla3d_ros.policy.backends.scripted_parking import ParkingPlanner
from vla3d_ros.policy.backends.scripted_perception import Belief, TabletopPerception
from vla3d_ros.policy.backends.scripted_phases import Phase
from vla3d_ros.policy.backends.scripted_planner import ScriptedPlanner

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One arm takes the cube to the pad, or to the hand-over point."""

    arm: str
    hands_over: bool


class ScriptedBimanualPolicy:
    """Two planners and one pair of eyes."""

    def __init__(self, config: BimanualConfig, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        """Take settings, and a monotonic clock that only measures compute time for the report."""
        self._config = config
        self._clock_ns = clock_ns
        self._parking = {
            name: ParkingPlanner(config.of_arm(name), np.array([*config.sides[name].park_m, 0.0, 0.0, 0.0]))
            for name in config.arms
        }
        self._perception: TabletopPerception | None = None
        self._planner: ScriptedPlanner | None = None
        self._job: _Job | None = None
        self._attempts = 0

    @classmethod
    def from_config(cls, mapping: Mapping[str, Any]) -> PolicyBackend:
        """Build from the contents of a policy YAML.

        Raises:
            ConfigError: Naming every missing, unknown or malformed key.
        """
        return cls(read_bimanual_config(mapping))

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        shared = self._config.shared
        return PolicyDescription(
            name="scripted_bimanual",
            cameras=shared.cameras,
            arms=self._config.arms,
            steps=shared.chunk.steps,
            dt_ns=int(1e9 / shared.chunk.rate_hz),
        )

    def reset(self, instruction: str) -> None:
        """Start a new task.

        Raises:
            InstructionError: If the sentence or a colour is unknown; names the known ones.
        """
        colours = self._config.shared.colours
        task = read_instruction(instruction, colours.cubes_hue_deg, colours.pads_hue_deg)
        self._perception = TabletopPerception(self._config.shared, task)
        self._planner, self._job, self._attempts = None, None, 0
        for parking in self._parking.values():
            parking.forget()

    def infer(self, observation: Observation) -> ActionChunk:
        """Turn what is seen into the next chunk for both arms, stamped with the observation's stamp.

        Raises:
            InstructionError: If no task was started.
            PerceptionError: If the observation does not show what the instruction names.
        """
        if self._perception is None:
            raise InstructionError("the scripted policy has no instruction; call reset(instruction) first")
        begin_ns = self._clock_ns()
        beliefs = self._perception.update(observation)
        robots = self._robots(observation)
        self._assign(beliefs, observation.stamp_ns)
        chunks = tuple(self._arm_chunk(robots, name, beliefs, observation.stamp_ns) for name in self._config.arms)
        report = PolicyReport(compute_ns=self._clock_ns() - begin_ns, details=self._details(beliefs))
        return ActionChunk(stamp_ns=observation.stamp_ns, dt_ns=self.description.dt_ns, arms=chunks, report=report)

    def close(self) -> None:
        """Forget the task."""
        self._perception, self._planner, self._job = None, None, None

    # ------------------------------------------------------------------------------------- who does what

    def _assign(self, beliefs: Mapping[str, Belief | None], stamp_ns: int) -> None:
        """Change hands only between two jobs, never with a cube in them."""
        cube, pad = beliefs["cube"], beliefs["pad"]
        phase = self._planner.phase if self._planner is not None else None
        if cube is None or pad is None or phase not in (None, Phase.APPROACH, Phase.DONE):
            return
        placing = self._config.side_of(float(pad.box[1]))
        is_within = self._config.reaches(placing, float(cube.box[1]))
        job = _Job(arm=placing if is_within else self._config.other(placing), hands_over=not is_within)
        if job != self._job:
            self._retire(stamp_ns)
            self._job, self._attempts = job, self._attempts + 1

    def _retire(self, stamp_ns: int) -> None:
        """Hand the working arm's motion over to its parking."""
        motion = self._planner.motion_at(stamp_ns) if self._planner is not None else None
        if motion is not None and self._job is not None:
            self._parking[self._job.arm].start_from(motion, stamp_ns)
        self._planner = None

    def _set_to_work(self, arm: str, stamp_ns: int) -> ScriptedPlanner:
        """Hand a parking arm's motion over to a planner."""
        planner = ScriptedPlanner(self._config.of_arm(arm))
        motion = self._parking[arm].motion_at(stamp_ns)
        if motion is not None:
            planner.start_from(motion, stamp_ns)
        return planner

    def _is_free(self, robots: Mapping[str, RobotState], arm: str) -> bool:
        """Whether the other arm is out of the way."""
        other = self._config.other(arm)
        side = self._config.sides[other]
        return side.sign * float(robots[other].T_base_ee.translation[1]) >= self._config.clear_y_m

    # ------------------------------------------------------------------------------------------- chunks

    def _arm_chunk(
        self, robots: Mapping[str, RobotState], arm: str, beliefs: Mapping[str, Belief | None], stamp_ns: int
    ) -> ArmChunk:
        robot, job = robots[arm], self._job
        if job is None or job.arm != arm or (self._planner is None and not self._is_free(robots, arm)):
            positions = self._parking[arm].plan(robot, stamp_ns)
            return _chunk(robot, positions, np.ones(len(positions)))
        if self._planner is None:
            self._planner = self._set_to_work(arm, stamp_ns)
        goals = dict(beliefs)
        if job.hands_over and goals["pad"] is not None:
            goals["pad"] = replace(goals["pad"], box=np.array([*self._config.hand_over_m, 0.0, 0.0]))
        states = self._planner.plan(robot, goals, stamp_ns)
        positions = np.stack([state.motion.position for state in states])
        return _chunk(robot, positions, np.array([state.opening for state in states]))

    def _robots(self, observation: Observation) -> dict[str, RobotState]:
        robots = {robot.arm: robot for robot in observation.robot_states}
        missing = [name for name in self._config.arms if name not in robots]
        if missing:
            raise ConfigError(f"observation lacks arms {missing}; it has {list(robots)}; fix 'bimanual' in the YAML")
        return robots

    def _details(self, beliefs: Mapping[str, Belief | None]) -> dict[str, str]:
        phase = self._planner.phase if self._planner is not None else None
        details = {"phase": phase.value} if phase is not None else {}
        more = self._planner.attempts - 1 if self._planner is not None else 0
        details["attempts"] = str(self._attempts + more)
        if self._job is not None:
            details["job"] = f"{self._job.arm} to the {'hand-over point' if self._job.hands_over else 'pad'}"
        for name, belief in beliefs.items():
            if belief is not None:
                details[name] = belief.describe()
        return details


def _chunk(robot: RobotState, positions: Float, openings: Float) -> ArmChunk:
    return ArmChunk(
        arm=robot.arm,
        Ts_ee0_ee=robot.T_base_ee.inverse().matrix @ tool_poses(positions),
        gripper_opening=openings,
    )
