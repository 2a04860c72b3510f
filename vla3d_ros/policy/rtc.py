"""Real-time chunking: the new chunk continues what runs while it is computed.

Guidance of Black et al., arXiv 2506.07339 (soft masking of the leftover), in the form without a Jacobian; the engine
applies it inside each flow step. Poses of the chunk before are absolute here, through where the end effector was at
*its* observation, and become relative to where it is at the new one: mixing the two anchors would silently jump by the
motion in between.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import ActionChunk, ExecutedSteps, Observation
from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform, interpolate_transforms
from vla3d_ros.policy.action_decoder import ActionDecoder
from vla3d_ros.policy.engine import Guidance
from vla3d_ros.policy.manifest import RtcSpec

Float = NDArray[np.float64]

_SAME_M, _SAME_RAD, _SAME_OPENING = 0.002, 0.01, 0.05  # nearer to the chunk before than this is a repetition of it
_DELAYS_REMEMBERED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RtcSettings:
    """How chunks are continued.

    Attributes:
        is_on: Whether they are at all.
        beta: Highest guidance weight.
        horizon_steps: From this step on, the new chunk is free.
    """

    is_on: bool = False
    beta: float = 5.0
    horizon_steps: int = 10

    def __post_init__(self) -> None:
        if self.horizon_steps < 1 or not self.beta > 0.0:
            raise ConfigError(
                f"rtc has beta {self.beta} and horizon_steps {self.horizon_steps}; expected beta > 0, at least 1 step"
            )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Leftover:
    """One arm's part of the chunk before, absolute, when each step is due."""

    due_ns: NDArray[np.int64]
    Ts_base_ee: Float
    opening: Float

    def at(self, due_ns: NDArray[np.int64]) -> tuple[Float, Float]:
        """Return poses (N, 4, 4) and openings (N,) when they are due; the ends are held."""
        inside = np.clip(due_ns, self.due_ns[0], self.due_ns[-1])
        since_first = (inside - self.due_ns[0]).astype(np.float64)
        opening = np.interp(since_first, (self.due_ns - self.due_ns[0]).astype(np.float64), self.opening)
        return interpolate_transforms(self.due_ns, self.Ts_base_ee, inside), opening


class RealTimeChunking:
    """Remembers the last chunk, and how many steps of a chunk are over before it takes over.

    That number comes from what the adapter says was executed; no latency is ever estimated. Until the adapter has
    reported once, chunks are not conditioned.
    """

    def __init__(self, spec: RtcSpec, settings: RtcSettings, decoder: ActionDecoder) -> None:
        """Start without a chunk.

        Args:
            spec: What the package supports.
            settings: What is wanted.
            decoder: Of the package.

        Raises:
            ConfigError: If it is wanted and the package does not support it.
        """
        if settings.is_on and spec.kind == "none":
            raise ConfigError("rtc is on, but this package was exported without it (rtc kind 'none'); switch it off")
        self._spec, self._settings, self._decoder = spec, settings, decoder
        self._leftovers: dict[str, _Leftover] = {}
        self._delays: deque[int] = deque(maxlen=_DELAYS_REMEMBERED)
        self._counted: dict[str, int] = {}
        self._wanted: dict[str, tuple[Float, Float]] = {}
        self._frozen = 0

    def reset(self) -> None:
        """Forget the last chunk: a new task begins."""
        self._leftovers.clear()
        self._wanted.clear()

    @property
    def delay_steps(self) -> int | None:
        """Most steps of recent chunks that were over before the chunk took over; None until the adapter reported."""
        return max(self._delays, default=None)

    def guidance(self, observation: Observation, steps: int, dt_ns: int) -> Guidance | None:
        """Return what the next chunk is to continue, None if it is free.

        Args:
            observation: What the next chunk is computed from; carries the adapter's account of executed steps.
            steps: Of a chunk.
            dt_ns: Between steps.
        """
        self._count(observation.executed_steps)
        self._wanted, self._frozen = {}, 0
        delay = self.delay_steps
        if not self._settings.is_on or delay is None or not self._leftovers or self._is_at_rest(observation.stamp_ns):
            return None
        due_ns = observation.stamp_ns + dt_ns * np.arange(1, steps + 1, dtype=np.int64)
        remaining = self._remaining(due_ns)
        frozen = min(delay, remaining)
        if self._spec.kind == "prefix" and frozen > self._spec.max_prefix_steps:
            return None
        for state in observation.robot_states:
            if state.arm in self._leftovers:
                self._wanted[state.arm] = self._reanchored(self._leftovers[state.arm], state.T_base_ee, due_ns)
        if frozen == 0 or len(self._wanted) < len(self._leftovers):
            self._wanted = {}
            return None
        self._frozen = frozen
        is_prefix = self._spec.kind == "prefix"
        weights = soft_mask(steps, frozen, min(max(self._settings.horizon_steps, frozen), remaining))
        return Guidance(
            previous=self._decoder.encode(self._wanted),
            weights=np.zeros(steps, np.float32) if is_prefix else weights,
            beta=self._settings.beta,
            prefix_mask=(np.arange(steps) < frozen) & is_prefix,
        )

    def remember(self, chunk: ActionChunk, observation: Observation) -> None:
        """Take note of the chunk that was made from an observation."""
        anchors = {state.arm: state.T_base_ee.matrix for state in observation.robot_states}
        self._leftovers = {
            arm.arm: _Leftover(
                due_ns=chunk.due_ns(), Ts_base_ee=anchors[arm.arm] @ arm.Ts_ee0_ee, opening=arm.gripper_opening
            )
            for arm in chunk.arms
            if arm.arm in anchors
        }

    def conditioned_steps(self, chunk: ActionChunk) -> int:
        """Count the leading steps of the last guidance that the chunk really repeats, over all arms."""
        count = self._frozen
        for arm in chunk.arms:
            if arm.arm not in self._wanted:
                return 0
            Ts_ee0_ee, opening = self._wanted[arm.arm]
            for step in range(count):
                gap_m, gap_rad = Transform(Ts_ee0_ee[step]).distance_to(Transform(arm.Ts_ee0_ee[step]))
                gap = abs(float(opening[step] - arm.gripper_opening[step]))
                if gap_m > _SAME_M or gap_rad > _SAME_RAD or gap > _SAME_OPENING:
                    count = step
                    break
        return count

    def _count(self, accounts: tuple[ExecutedSteps, ...]) -> None:
        """Note after how many steps each arm took up a chunk, once per chunk."""
        for account in accounts:
            if account.count > 0 and account.chunk_stamp_ns > self._counted.get(account.arm, -1):
                self._counted[account.arm] = account.chunk_stamp_ns
                self._delays.append(account.first)

    def _is_at_rest(self, stamp_ns: int) -> bool:
        """Whether no arm was told to do a step of any chunk of late: there is no motion to be continued."""
        span_ns = max(int(left.due_ns[-1] - left.due_ns[0]) for left in self._leftovers.values())
        return max(self._counted.values()) < stamp_ns - span_ns

    def _remaining(self, due_ns: NDArray[np.int64]) -> int:
        """Return how many of the new chunk's steps the chunk before still covers, in every arm."""
        return min(int((due_ns <= left.due_ns[-1]).sum()) for left in self._leftovers.values())

    @staticmethod
    def _reanchored(left: _Leftover, T_base_ee: Transform, due_ns: NDArray[np.int64]) -> tuple[Float, Float]:
        Ts_base_ee, opening = left.at(due_ns)
        return T_base_ee.inverse().matrix @ Ts_base_ee, opening


def soft_mask(steps: int, frozen: int, end: int) -> NDArray[np.float32]:
    """Return weights (K,): 1 for the first `frozen` steps, falling to 0 at step `end`, 0 from there on.

    arXiv 2506.07339 Eq. 5: with c = (end - i) / (end - frozen + 1), the weight is c (exp(c) - 1) / (e - 1).

    Args:
        steps: Of the chunk.
        frozen: Steps that are executed before the chunk takes over.
        end: First free step, at least `frozen`.
    """
    c = np.clip((end - np.arange(steps)) / (end - frozen + 1), 0.0, 1.0)
    weights = c * np.expm1(c) / (math.e - 1.0)
    weights[:frozen] = 1.0
    return weights.astype(np.float32)
