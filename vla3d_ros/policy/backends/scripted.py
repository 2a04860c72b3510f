"""The scripted pick-and-place policy: sees what a learned policy sees, and is the baseline each must beat."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from vla3d_ros.datatypes import ActionChunk, Observation, PolicyReport, RobotState
from vla3d_ros.errors import ConfigError, InstructionError, PerceptionError
from vla3d_ros.policy.backend import PolicyBackend, PolicyDescription
from vla3d_ros.policy.backends.scripted_config import ScriptedConfig, read_scripted_config
from vla3d_ros.policy.backends.scripted_instruction import read_instruction
from vla3d_ros.policy.backends.scripted_perception import Belief, TabletopPerception
from vla3d_ros.policy.backends.scripted_planner import ScriptedPlanner, planned_chunk


class ScriptedPolicy:
    """Finds the named cube and pad in the views, and plans the arm's motion anew at every observation."""

    def __init__(self, config: ScriptedConfig, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        """Take settings, and a monotonic clock that only measures compute time for the report."""
        self._config = config
        self._clock_ns = clock_ns
        self._instruction: str | None = None
        self._perception: TabletopPerception | None = None
        self._planner: ScriptedPlanner | None = None

    @classmethod
    def from_config(cls, mapping: Mapping[str, Any]) -> PolicyBackend:
        """Build from the contents of a policy YAML.

        Raises:
            ConfigError: Naming every missing, unknown or malformed key.
        """
        return cls(read_scripted_config(mapping))

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        chunk = self._config.chunk
        return PolicyDescription(
            name="scripted",
            cameras=self._config.cameras,
            arms=(self._config.arm,),
            steps=chunk.steps,
            dt_ns=int(1e9 / chunk.rate_hz),
        )

    def reset(self, instruction: str) -> None:
        """Start a new task.

        Raises:
            InstructionError: If the sentence or a colour is unknown; names the known ones.
        """
        colours = self._config.colours
        task = read_instruction(instruction, colours.cubes_hue_deg, colours.pads_hue_deg)
        self._instruction = instruction
        self._perception = TabletopPerception(self._config, task)
        self._planner = ScriptedPlanner(self._config)

    def infer(self, observation: Observation) -> ActionChunk:
        """Turn what is seen into the next chunk, stamped with the observation's stamp.

        Raises:
            InstructionError: If no task was started.
            PerceptionError: If the observation does not show what the instruction names, or not where the arm is.
        """
        if self._perception is None or self._planner is None:
            raise InstructionError("the scripted policy has no instruction; call reset(instruction) first")
        begin_ns = self._clock_ns()
        robot = self._robot(observation)
        beliefs = self._perception.update(observation)
        seen_ns = self._clock_ns()
        states = self._planner.plan(robot, beliefs, observation.stamp_ns)
        details = self._details(beliefs, observation.stamp_ns, (seen_ns - begin_ns) / 1e6)
        report = PolicyReport(compute_ns=self._clock_ns() - begin_ns, details=details)
        arm = planned_chunk(states, robot)
        return ActionChunk(stamp_ns=observation.stamp_ns, dt_ns=self.description.dt_ns, arms=(arm,), report=report)

    def close(self) -> None:
        """Forget the task."""
        self._perception = None
        self._planner = None

    def _robot(self, observation: Observation) -> RobotState:
        for robot in observation.robot_states:
            if robot.arm == self._config.arm:
                return robot
        arms = [robot.arm for robot in observation.robot_states]
        if not arms:
            raise PerceptionError("the observation has no robot state; the scripted policy can not do without")
        raise ConfigError(f"observation has no arm '{self._config.arm}'; it has {arms}; fix 'arm' in the policy's YAML")

    def _details(self, beliefs: Mapping[str, Belief | None], stamp_ns: int, perception_ms: float) -> dict[str, str]:
        planner = self._planner
        details = {"phase": str(planner.phase.value)} if planner is not None and planner.phase is not None else {}
        details["attempts"] = str(planner.attempts if planner is not None else 0)
        details["perception"] = f"{perception_ms:.1f} ms"
        for name, belief in beliefs.items():
            if belief is not None:
                details[name] = f"{belief.describe()}; seen {belief.age_ns(stamp_ns) / 1e6:.0f} ms ago"
        return details
