"""Streams of chunks as a policy would emit them, one per camera period, to be played again and again.

The chunks are anchored: whoever executes them, with whatever delay, is asked for the same absolute poses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.pose_plan import AnchoredChunk
from vla3d_ros.datatypes import ActionChunk
from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.trial_loop import TrialLoop
from vla3d_ros.geometry import exp_se3
from vla3d_ros.replay.demonstration import Demonstration

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_NS = 1_000_000_000
_CHUNK_HZ, _CHUNK_STEPS = 30, 30
_STILL_S = 1.0  # before and after a demonstration, which may start in motion


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChunkStream:
    """What one arm was asked for, starting at rest in q_start (J,).

    chunks: in the order of their stamps, `dt_ns` apart, unless the policy paused. clean: the same without noise.
    """

    name: str
    q_start: Float
    dt_ns: int
    chunks: tuple[AnchoredChunk, ...]
    clean: tuple[AnchoredChunk, ...]

    def asked(self) -> tuple[Times, Float]:
        """What was really wanted: each clean chunk's first pose, times_ns (N,) and Ts_base_ee (N, 4, 4)."""
        times_ns = np.array([int(chunk.due_ns[0]) for chunk in self.clean], dtype=np.int64)
        return times_ns, np.stack([chunk.Ts_base_ee[0] for chunk in self.clean])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Delivery:
    """A chunk and when it arrives."""

    arrival_ns: int
    chunk: AnchoredChunk


def demonstration_stream(
    demonstration: Demonstration, arm: ArmSpec, kinematics: ArmKinematics, time_scale: float
) -> ChunkStream:
    """Return what a policy that reproduces a demonstration, slowed down by `time_scale`, would emit."""
    dt_ns = _NS // _CHUNK_HZ
    still_ns = round(_STILL_S * _NS)
    last_ns = 2 * still_ns + int(time_scale * int(demonstration.stamps_ns[-1]))
    chunks = []
    for stamp_ns in range(0, last_ns, dt_ns):
        due_ns = stamp_ns + dt_ns * np.arange(1, _CHUNK_STEPS + 1, dtype=np.int64)
        q = demonstration.q_at((np.maximum(due_ns - still_ns, 0) / time_scale).astype(np.int64))
        chunks.append(_anchored(arm.name, stamp_ns, due_ns, kinematics.forward_many(q)))
    q_start = demonstration.q_at(np.zeros(1, dtype=np.int64))[0]
    return ChunkStream(name=demonstration.name, q_start=q_start, dt_ns=dt_ns, chunks=tuple(chunks), clean=tuple(chunks))


def trial_stream(loop: TrialLoop, arm: ArmSpec, name: str) -> ChunkStream:
    """Run a trial and return the chunks its policy emitted for one arm, the robot's first.

    Raises:
        RecordingError: If the policy emitted none.
    """
    emitted: list[tuple[int, AnchoredChunk]] = []

    def remember(chunk: ActionChunk) -> None:
        state = loop.pipeline.robot_state(chunk.arms[0].arm, chunk.stamp_ns)
        emitted.append((chunk.dt_ns, AnchoredChunk.resolve(chunk, 0, state.T_base_ee)))

    loop.on_chunk = remember
    joints = loop.world.joint_state()
    q_start = np.array([joints.q[joints.names.index(joint)] for joint in arm.joint_names])
    result = loop.run(0, 0)
    if not emitted:
        raise RecordingError(f"{name}: the policy emitted no chunk ({result.reason})")
    chunks = tuple(chunk for _, chunk in emitted)
    return ChunkStream(name=name, q_start=q_start, dt_ns=emitted[0][0], chunks=chunks, clean=chunks)


def disturbed(stream: ChunkStream, noise_m: float, noise_rad: float, generator: np.random.Generator) -> ChunkStream:
    """Return the stream of a policy that changes its mind: every chunk is off by another screw of this RMS size."""
    sigmas = np.repeat([noise_m, noise_rad], 3) / np.sqrt(3.0)
    offsets = exp_se3(generator.normal(size=(len(stream.chunks), 6)) * sigmas)
    noisy = [
        replace(chunk, Ts_base_ee=chunk.Ts_base_ee @ offset)
        for chunk, offset in zip(stream.chunks, offsets, strict=True)
    ]
    return replace(stream, chunks=tuple(noisy))


def deliveries(
    chunks: Sequence[AnchoredChunk], delay_ns: int, jitter_ns: int, generator: np.random.Generator
) -> tuple[Delivery, ...]:
    """Return the chunks a policy with a slow inference would have made, and when they would have arrived.

    Inference takes the delay and up to `jitter_ns` more; the next one starts with the next observation after it.
    """
    made: list[Delivery] = []
    free_ns = int(chunks[0].stamp_ns)
    for chunk in chunks:
        if chunk.stamp_ns >= free_ns:
            arrival_ns = chunk.stamp_ns + delay_ns + int(generator.uniform(0.0, 1.0) * jitter_ns)
            made.append(Delivery(arrival_ns=arrival_ns, chunk=chunk))
            free_ns = arrival_ns if delay_ns else chunk.stamp_ns + 1
    return tuple(made)


def _anchored(arm: str, stamp_ns: int, due_ns: Times, Ts_base_ee: Float) -> AnchoredChunk:
    opening = np.ones(len(due_ns))
    return AnchoredChunk(arm=arm, stamp_ns=stamp_ns, due_ns=due_ns, Ts_base_ee=Ts_base_ee, gripper_opening=opening)
