"""The one interface behind which every policy runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vla3d_ros.datatypes import ActionChunk, Observation
from vla3d_ros.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDescription:
    """What a policy needs and gives: cameras it looks through, arms it moves, chunk steps and step length.

    uses_executed_steps: it wants to be told which steps of its chunks were executed (real-time chunking).
    depth_cameras: those of its cameras whose depth it looks at where there is any. requires_prompt: it can not do
    without a picture with the target's mask on it.
    """

    name: str
    cameras: tuple[str, ...]
    arms: tuple[str, ...]
    steps: int
    dt_ns: int
    uses_executed_steps: bool = False
    depth_cameras: tuple[str, ...] = ()
    requires_prompt: bool = False

    def require_arms(self, arms: Sequence[str]) -> None:
        """Make sure that this robot is the one the policy moves.

        Raises:
            ConfigError: If the policy's arms are not exactly the robot's.
        """
        if set(self.arms) != set(arms):
            raise ConfigError(
                f"policy '{self.name}' moves arms {sorted(self.arms)}; the robot has {sorted(arms)}: "
                "fix the policy's settings, or choose the policy for this robot"
            )


class PolicyBackend(Protocol):
    """A policy. Called from one inference thread; `infer` may keep state between calls until `reset`."""

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        ...

    def reset(self, instruction: str) -> None:
        """Start a new task.

        Raises:
            InstructionError: If the policy does not understand the instruction; names what it knows.
        """
        ...

    def infer(self, observation: Observation) -> ActionChunk:
        """Turn what is seen into the next chunk, stamped with the observation's stamp.

        Raises:
            PerceptionError: If the observation does not show what the instruction names.
        """
        ...

    def close(self) -> None:
        """Release devices; safe to call twice."""
        ...
