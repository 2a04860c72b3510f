"""The scripted policy's planner with the truth in place of its eyes: it is right whatever the cameras see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, Observation, PolicyReport, RobotState
from vla3d_ros.errors import ConfigError, InstructionError, PerceptionError
from vla3d_ros.geometry import Transform
from vla3d_ros.policy.backend import PolicyDescription
from vla3d_ros.policy.backends.scripted_config import ScriptedConfig
from vla3d_ros.policy.backends.scripted_instruction import PickAndPlace, read_instruction
from vla3d_ros.policy.backends.scripted_perception import Belief
from vla3d_ros.policy.backends.scripted_planner import ScriptedPlanner, planned_chunk
from vla3d_ros.training.demonstrations.disturbance import Disturbance
from vla3d_ros.twin.truth import ObjectTruth, Truth

Float = NDArray[np.float64]


class Teacher:
    """Labels every observation with what should be done, and does something else while it is disturbed.

    A `PolicyBackend` that is told the truth: `begin` once, `reset` with the instruction, then `see`, `infer` in turn.
    """

    def __init__(self, config: ScriptedConfig) -> None:
        """Take the scripted policy's settings."""
        self._config = config
        self._T_base_world = Transform.identity()
        self._table_z_m = 0.0
        self._disturbance: Disturbance | None = None
        self._task: PickAndPlace | None = None
        self._planner = ScriptedPlanner(config)
        self._truth: Truth | None = None
        self.label: ActionChunk | None = None
        """What should be done at the last observation."""
        self.is_disturbed = False
        """Whether something else was done."""

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        chunk = self._config.chunk
        return PolicyDescription(
            name="teacher",
            cameras=self._config.cameras,
            arms=(self._config.arm,),
            steps=chunk.steps,
            dt_ns=int(1e9 / chunk.rate_hz),
        )

    @property
    def phase(self) -> str:
        """What the arm is doing."""
        phase = self._planner.phase
        return "" if phase is None else phase.value

    def begin(self, T_base_world: Transform, table_z_m: float, disturbance: Disturbance | None) -> None:
        """Get to know the place, before `reset`.

        Args:
            T_base_world: Places the truth in the arm's base frame.
            table_z_m: Height of the table's top in the arm's base frame.
            disturbance: What the arm suffers; None = nothing.
        """
        self._T_base_world, self._table_z_m, self._disturbance = T_base_world, table_z_m, disturbance
        self._config = replace(self._config, objects=replace(self._config.objects, table_height_m=table_z_m))

    def reset(self, instruction: str) -> None:
        """Start a new task.

        Raises:
            InstructionError: If the sentence or a colour is unknown; names the known ones.
        """
        colours = self._config.colours
        self._task = read_instruction(instruction, colours.cubes_hue_deg, colours.pads_hue_deg)
        self._planner = ScriptedPlanner(self._config)
        self._truth = self.label = None

    def see(self, truth: Truth) -> None:
        """Take the truth about the instant of the next observation."""
        self._truth = truth

    def infer(self, observation: Observation) -> ActionChunk:
        """Return what the arm shall do; `label` is what it should do.

        Raises:
            InstructionError: If no task was started.
            PerceptionError: If the truth about the observation's instant was not told.
        """
        if self._task is None:
            raise InstructionError("the teacher has no instruction; call reset(instruction) first")
        truth = self._truth
        if truth is None or truth.stamp_ns != observation.stamp_ns:
            raise PerceptionError(f"the teacher was not told the truth about {observation.stamp_ns} ns")
        robot = self._robot(observation)
        self.is_disturbed = self._disturbance is not None and self._disturbance.is_on(observation.stamp_ns)
        if self.is_disturbed:
            self._planner.start_over()
        beliefs: dict[str, Belief | None] = {
            "cube": self._belief(truth.cubes[self._task.cube], truth.stamp_ns),
            "pad": self._belief(truth.pads[self._task.pad], truth.stamp_ns),
        }
        states = self._planner.plan(robot, beliefs, observation.stamp_ns)
        details = {"phase": self.phase, "attempts": str(self._planner.attempts)}
        self.label = ActionChunk(
            stamp_ns=observation.stamp_ns,
            dt_ns=self.description.dt_ns,
            arms=(planned_chunk(states, robot),),
            report=PolicyReport(compute_ns=0, details=details),
        )
        if self._disturbance is None or not self.is_disturbed:
            return self.label
        height_m = float(robot.T_base_ee.translation[2]) - self._table_z_m
        return self._disturbance.apply(self.label, robot.T_base_ee, height_m)

    def close(self) -> None:
        """Forget the task."""
        self._task = None

    def _robot(self, observation: Observation) -> RobotState:
        for robot in observation.robot_states:
            if robot.arm == self._config.arm:
                return robot
        arms = [robot.arm for robot in observation.robot_states]
        raise ConfigError(f"the teacher moves arm '{self._config.arm}'; the observation has {arms}")

    def _belief(self, thing: ObjectTruth, stamp_ns: int) -> Belief:
        T_base_object = self._T_base_world @ thing.T_world_object
        x, y, z = T_base_object.translation
        return Belief(
            box=np.array([x, y, z, _yaw_rad(T_base_object.rotation)]), stamp_ns=stamp_ns, cameras=(), rms_px=np.zeros(0)
        )


def _yaw_rad(R: Float) -> float:
    """Return the heading of the axis that lies flattest: that of the x axis, unless the object was tipped over."""
    axis = R[:, int(np.argmin(np.abs(R[2])))]
    return float(np.arctan2(axis[1], axis[0]))
