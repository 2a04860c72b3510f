"""A policy behind a socket: any model that is served over openpi's websocket protocol drives this runtime."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from vla3d_ros.datatypes import ActionChunk, Observation, PolicyReport
from vla3d_ros.errors import InstructionError, PolicyServerError
from vla3d_ros.policy.backend import PolicyBackend, PolicyDescription
from vla3d_ros.policy.backends.remote_actions import chunk_of, step_ns
from vla3d_ros.policy.backends.remote_codec import load_msgpack, pack, unpack
from vla3d_ros.policy.backends.remote_config import RemoteConfig, read_remote_config
from vla3d_ros.policy.backends.remote_connection import PolicyConnection
from vla3d_ros.policy.backends.remote_observation import request_of


class RemotePolicy:
    """Sends each observation, waits no longer than told, and answers with a chunk of that observation or not at all."""

    def __init__(self, config: RemoteConfig, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        """Take settings, and a monotonic clock for deadlines and compute time.

        Raises:
            DependencyError: If `websockets` or `msgpack` is not installed.
        """
        load_msgpack()
        self._config = config
        self._clock_ns = clock_ns
        self._connection = PolicyConnection(config.server, clock_ns)
        self._instruction: str | None = None

    @classmethod
    def from_config(cls, mapping: Mapping[str, Any]) -> PolicyBackend:
        """Build from the contents of a policy YAML. The server need not be there yet.

        Raises:
            ConfigError: Naming every missing, unknown or malformed key.
            DependencyError: If a package is not installed.
        """
        return cls(read_remote_config(mapping))

    @property
    def description(self) -> PolicyDescription:
        """Needs and gives."""
        actions = self._config.actions
        return PolicyDescription(
            name=f"remote {self._config.server.url}",
            cameras=tuple(dict.fromkeys(image.camera for image in self._config.images)),
            arms=tuple(arm.arm for arm in actions.arms),
            steps=actions.steps,
            dt_ns=step_ns(actions),
        )

    def reset(self, instruction: str) -> None:
        """Start a new task: the instruction is sent with every observation from now on.

        Raises:
            InstructionError: If it is empty.
        """
        if not instruction.strip():
            raise InstructionError("the instruction for the remote policy is empty")
        self._instruction = instruction

    def infer(self, observation: Observation) -> ActionChunk:
        """Ask the server; the chunk has the observation's stamp.

        Raises:
            InstructionError: If no task was started.
            PerceptionError: If a view is missing that the settings do not allow to be.
            StaleObservationError: If the server does not answer in time; nothing is repeated.
            PolicyServerError: If the server can not be reached, reports an error, or answers nonsense.
        """
        if self._instruction is None:
            raise InstructionError("the remote policy has no instruction; call reset(instruction) first")
        began_ns = self._clock_ns()
        request = pack(request_of(self._config, observation, self._instruction))
        packed_ns = self._clock_ns()
        answer = self._connection.ask(request)
        answered_ns = self._clock_ns()
        try:
            reply = unpack(answer)
            chunk = chunk_of(self._config.actions, reply, observation)
        except PolicyServerError as error:
            raise PolicyServerError(f"policy server {self._config.server.url}: {error}") from error
        details = {
            "round_trip_ms": f"{(answered_ns - packed_ns) / 1e6:.2f}",
            "request_kb": f"{len(request) / 1024:.0f}",
            "connections": str(self._connection.connections),
            "late_replies": str(self._connection.late_replies),
            **_server_timing(reply),
        }
        report = PolicyReport(compute_ns=self._clock_ns() - began_ns, details=details)
        return ActionChunk(stamp_ns=chunk.stamp_ns, dt_ns=chunk.dt_ns, arms=chunk.arms, report=report)

    @property
    def server_metadata(self) -> Any:
        """What the server said of itself when it was last connected to; empty before."""
        return self._connection.metadata

    def close(self) -> None:
        """Hang up; safe to call twice."""
        self._connection.close()


def _server_timing(reply: Mapping[str, Any]) -> dict[str, str]:
    timing = reply.get("server_timing")
    if not isinstance(timing, Mapping):
        return {}
    return {f"server_{key}": f"{value:.2f}" for key, value in timing.items() if isinstance(value, (int, float))}
