"""The last room before metal: allow, clamp with a reason, or stop with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import (
    ActionChunk,
    ArmChunk,
    JointLimits,
    JointTrajectory,
    Reason,
    RobotState,
    Verdict,
    VerdictKind,
)
from vla3d_ros.safety.bodies import RobotBodies, check_bodies
from vla3d_ros.safety.collision import ArmGeometry, check_space
from vla3d_ros.safety.config import GateConfig
from vla3d_ros.safety.limits import check_jerk, check_joint_limits
from vla3d_ros.safety.singularity import check_singularity

__all__ = ["GateConfig", "GuardedArm", "SafetyGate"]

Float = NDArray[np.float64]

_SHORTEST_STEP_NS, _LONGEST_STEP_NS = 1_000_000, 1_000_000_000
_ROTATION_TOLERANCE = 1e-3
_MIN_KNOTS = 2


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GuardedArm:
    """What the gate knows of one arm."""

    limits: JointLimits
    geometry: ArmGeometry


class SafetyGate:
    """Judge chunks and trajectories, and hold the latched stop.

    Anything may stop; the first reason wins; only `reset` clears it, and after that the arm must be armed again.
    """

    def __init__(self, config: GateConfig, arms: Mapping[str, GuardedArm], bodies: RobotBodies | None = None) -> None:
        """Start disarmed.

        Args:
            config: Bounds of the place.
            arms: Limits and shape per arm name.
            bodies: The shape of all arms together; without it, nothing is known of what may touch what.
        """
        self._config = config
        self._bodies = bodies
        self._keep_out = config.keep_out_boxes()
        self._arms = dict(arms)
        self._space = config.space_limits()
        self._is_armed = False
        self._stop_reason: Reason | None = None

    @property
    def is_armed(self) -> bool:
        """Whether motion is allowed now."""
        return self._is_armed

    @property
    def stop_reason(self) -> Reason | None:
        """Why the latched stop was set, None while there is none."""
        return self._stop_reason

    def arm(self) -> bool:
        """Allow motion; returns False while a stop is latched."""
        self._is_armed = self._stop_reason is None
        return self._is_armed

    def disarm(self) -> None:
        """Forbid motion until armed again."""
        self._is_armed = False

    def stop(self, reason: Reason, now_ns: int) -> Verdict:
        """Latch a stop; if one is latched already, its reason stays."""
        self._is_armed = False
        self._stop_reason = self._stop_reason or reason
        return Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=(self._stop_reason,))

    def reset(self) -> None:
        """Clear a latched stop; the arm stays disarmed."""
        self._stop_reason = None
        self._is_armed = False

    def check_chunk(self, chunk: ActionChunk, now_ns: int) -> Verdict:
        """Judge a chunk before anything is computed from it.

        Args:
            chunk: The policy's answer.
            now_ns: Current time.

        Returns:
            STOP with every reason, or ALLOW.
        """
        reasons = [*self._permission(), *self._check_stamp(chunk, now_ns), *self._check_arms(chunk)]
        for arm in chunk.arms:
            reasons += self._check_poses(arm)
        return _verdict(reasons, now_ns)

    def check_trajectory(self, trajectory: JointTrajectory, state: RobotState | None, now_ns: int) -> Verdict:
        """Judge a trajectory before it leaves.

        Args:
            trajectory: Knots, including the committed ones.
            state: Newest measured state of the arm.
            now_ns: Current time.

        Returns:
            STOP with every reason, or ALLOW.
        """
        guarded = self._arms.get(trajectory.arm)
        if guarded is None or trajectory.joint_names != guarded.limits.joint_names:
            return _verdict([self._wrong_names(trajectory)], now_ns)
        broken = _check_numbers(trajectory)
        if broken:
            return _verdict(broken, now_ns)
        reasons = [
            *check_joint_limits(trajectory, guarded.limits),
            *check_jerk(trajectory, guarded.limits, self._config.jerk_window_s),
            *check_space(trajectory, guarded.geometry, self._space),
            *self.check_state(trajectory.arm, state, now_ns),
        ]
        return _verdict(reasons, now_ns)

    def check_singularity(self, trajectory: JointTrajectory) -> list[Reason]:
        """Judge how near a motion that follows poses comes to a singularity; homing, in joint space, need not care.

        Args:
            trajectory: Found sound by `check_trajectory`.
        """
        guarded = self._arms.get(trajectory.arm)
        if guarded is None or _check_numbers(trajectory):
            return []  # has been refused by `check_trajectory`
        return check_singularity(trajectory, guarded.geometry, self._config.singularity_margin)

    def check_together(self, q: Mapping[str, Float]) -> list[Reason]:
        """Judge where the bodies of all arms pass: the robot itself, the other arm, the keep-out boxes.

        Args:
            q: Arm name -> (T, J) rad at T common instants, the first of them now; every arm of the robot.

        Returns:
            Reasons with links, distance and limit; empty if there is none.
        """
        if self._bodies is None or not all(np.isfinite(values).all() for values in q.values()):
            return []  # what is not finite has been refused by `check_trajectory`
        return check_bodies(q, self._bodies, self._keep_out, self._config.body_clearance_m)

    def check_state(self, arm: str, state: RobotState | None, now_ns: int) -> list[Reason]:
        """Return a reason if the newest measured state of an arm is missing, stale or from another clock."""
        if state is None:
            return [Reason(check="state_age", message=f"arm '{arm}': no joint state yet")]
        age_s = (now_ns - state.stamp_ns) * 1e-9
        if age_s < -self._config.max_future_s:
            text = f"arm '{arm}': joint state is {-1e3 * age_s:.0f} ms ahead of now; the clocks disagree"
            return [Reason(check="state_age", message=text)]
        if age_s <= self._config.max_state_age_s:
            return []
        limit = f"allowed {1e3 * self._config.max_state_age_s:.0f} ms"
        return [Reason(check="state_age", message=f"arm '{arm}': joint state is {1e3 * age_s:.0f} ms old, {limit}")]

    def check_tracking(self, state: RobotState, q_reference: np.ndarray) -> list[Reason]:
        """Return a reason if a joint is too far from where it was told to be (J,) at the state's stamp."""
        error = np.abs(state.q - q_reference)
        joint = int(error.argmax())
        if error[joint] <= self._config.tracking_tolerance_rad:
            return []
        text = f"joint '{state.joint_names[joint]}' is {error[joint]:.3f} rad from its reference"
        return [Reason(check="tracking", message=f"{text}, allowed {self._config.tracking_tolerance_rad:.3f} rad")]

    def _permission(self) -> list[Reason]:
        if self._stop_reason is not None:
            return [self._stop_reason]
        return [] if self._is_armed else [Reason(check="disarmed", message="the arm is disarmed; arm it first")]

    def _check_stamp(self, chunk: ActionChunk, now_ns: int) -> list[Reason]:
        age_s = (now_ns - chunk.stamp_ns) * 1e-9
        reasons = []
        if age_s > self._config.max_chunk_age_s:
            text = (
                f"chunk's observation is {1e3 * age_s:.0f} ms old, allowed {1e3 * self._config.max_chunk_age_s:.0f} ms"
            )
            reasons.append(Reason(check="chunk_age", message=text))
        if -age_s > self._config.max_future_s:
            text = f"chunk's stamp is {-1e3 * age_s:.0f} ms ahead of now; the clocks disagree"
            reasons.append(Reason(check="chunk_future", message=text))
        if not _SHORTEST_STEP_NS <= chunk.dt_ns <= _LONGEST_STEP_NS:
            text = f"chunk's steps are {chunk.dt_ns / 1e6:g} ms apart; expected 1 ms to 1 s"
            reasons.append(Reason(check="chunk_step", message=text))
        return reasons

    def _check_arms(self, chunk: ActionChunk) -> list[Reason]:
        names, expected = sorted(arm.arm for arm in chunk.arms), sorted(self._arms)
        if names == expected:
            return []
        return [Reason(check="chunk_arms", message=f"chunk is for arms {names}, expected {expected}")]

    def _check_poses(self, arm: ArmChunk) -> list[Reason]:
        steps, most = len(arm.Ts_ee0_ee), self._config.max_chunk_steps
        if 0 < steps <= most:
            return _check_poses(arm)
        return [Reason(check="chunk_shape", message=f"arm '{arm.arm}': chunk has {steps} steps; expected 1 to {most}")]

    def _wrong_names(self, trajectory: JointTrajectory) -> Reason:
        guarded = self._arms.get(trajectory.arm)
        if guarded is None:
            text = f"no arm '{trajectory.arm}', expected one of {sorted(self._arms)}"
        else:
            text = f"joints {list(trajectory.joint_names)}, expected {list(guarded.limits.joint_names)}"
        return Reason(check="names", message=text)


def _verdict(reasons: list[Reason], now_ns: int) -> Verdict:
    kind = VerdictKind.STOP if reasons else VerdictKind.ALLOW
    return Verdict(kind=kind, stamp_ns=now_ns, reasons=tuple(reasons))


def _check_poses(arm: ArmChunk) -> list[Reason]:
    Ts, opening = arm.Ts_ee0_ee, arm.gripper_opening
    bad = [i for i in range(len(Ts)) if not (np.isfinite(Ts[i]).all() and np.isfinite(opening[i]))]
    if bad:
        return [Reason(check="finite", message=f"arm '{arm.arm}': steps {bad} hold values that are not finite")]
    R = Ts[:, :3, :3]
    skewed = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2)) > _ROTATION_TOLERANCE
    skewed |= (np.linalg.det(R) < 0) | (np.abs(Ts[:, 3] - [0.0, 0.0, 0.0, 1.0]).max(axis=1) > _ROTATION_TOLERANCE)
    reasons = []
    if skewed.any():
        text = f"arm '{arm.arm}': steps {np.flatnonzero(skewed).tolist()} are no rigid transforms"
        reasons.append(Reason(check="rigid", message=text))
    if opening.min() < 0.0 or opening.max() > 1.0:
        text = f"arm '{arm.arm}': gripper opening spans [{opening.min():.3f}, {opening.max():.3f}], allowed [0, 1]"
        reasons.append(Reason(check="gripper", message=text))
    return reasons


def _check_numbers(trajectory: JointTrajectory) -> list[Reason]:
    if len(trajectory.times_ns) < _MIN_KNOTS:
        return [Reason(check="knots", message=f"trajectory has {len(trajectory.times_ns)} knots, expected at least 2")]
    if not (np.isfinite(trajectory.q).all() and np.isfinite(trajectory.dq).all()):
        return [Reason(check="finite", message=f"trajectory of arm '{trajectory.arm}' is not finite")]
    if (np.diff(trajectory.times_ns) <= 0).any():
        return [Reason(check="knots", message=f"times of the trajectory of arm '{trajectory.arm}' do not increase")]
    if trajectory.dq[-1].any():
        return [Reason(check="rest", message=f"trajectory of arm '{trajectory.arm}' does not end at rest")]
    return []
