"""Adapter and safety in the only order in which they may be used: there is no way to an arm around the gate.

The live node, the batch runner and retargeting all drive an arm through this one class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.arm_motion import ArmMotion, MotionConfig, PlannedMotion
from vla3d_ros.adapter.chunk_executor import PosePlan
from vla3d_ros.adapter.config_reader import ConfigReader
from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.datatypes import (
    ActionChunk,
    GripperTarget,
    JointTrajectory,
    Reason,
    RobotState,
    Verdict,
    VerdictKind,
)
from vla3d_ros.errors import ConfigError, StaleObservationError, join_problems
from vla3d_ros.safety.gate import GateConfig, GuardedArm, SafetyGate

Float = NDArray[np.float64]

# A chunk with one of these faults is refused; the arm ends its motion at rest and the watchdog decides what follows.
# Any other fault means that the policy or this program is broken: that latches the stop.
_REFUSED_ONLY = frozenset({"disarmed", "chunk_age", "chunk_future", "chunk_expired", "anchor", "homing"})
_RESTING_RAD_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionConfig:
    """Everything that decides how and where an arm may move in one deployment."""

    gate: GateConfig
    motion: MotionConfig = dataclasses.field(default_factory=MotionConfig)
    chunk_timeout_s: float = dataclasses.field(
        default=0.5, metadata={"description": "Without a usable chunk for this long, the arm is stopped", "unit": "s"}
    )

    def __post_init__(self) -> None:
        problems = [*self.gate.problems(), *self.motion.problems()]
        if not self.chunk_timeout_s > 0:
            problems.append(f"'chunk_timeout_s' is {self.chunk_timeout_s}; expected above 0")
        if problems:
            raise ConfigError(join_problems("execution config", problems))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ExecutionConfig:
        """Read the `execution` section of a deployment: keys `gate`, `motion`, `chunk_timeout_s`.

        Raises:
            ConfigError: Lists every missing, unknown or contradicting value.
        """
        reader = ConfigReader(dict(mapping), where="")
        gate = _read(GateConfig, reader.section("gate"))
        motion = _read(MotionConfig, reader.section("motion")) if reader.has("motion") else {}
        rest = {"chunk_timeout_s": reader.positive("chunk_timeout_s")} if reader.has("chunk_timeout_s") else {}
        reader.finish()
        if reader.problems:
            raise ConfigError(join_problems("execution config", reader.problems))
        return cls(gate=GateConfig(**gate), motion=MotionConfig(**motion), **rest)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Execution:
    """What to send now, and why.

    trajectories and gripper_targets are to be sent as they are; plans are for people and recordings; accepted says
    whether the request was carried out.
    """

    verdict: Verdict
    accepted: bool
    message: str
    trajectories: tuple[JointTrajectory, ...] = ()
    gripper_targets: tuple[GripperTarget, ...] = ()
    plans: tuple[PosePlan, ...] = ()
    dropped_steps: int = 0


class ExecutionPipeline:
    """All arms of one robot: joint states and chunks in, checked commands out."""

    def __init__(self, embodiment: Embodiment, config: ExecutionConfig, *, dry_run: bool = False) -> None:
        """Build kinematics and gate; the robot starts disarmed.

        Args:
            embodiment: The robot.
            config: Bounds and timing.
            dry_run: The caller sends nothing: every plan starts from the measured state.
        """
        self._config = config
        self._dry_run = dry_run
        speed = (config.gate.ee_speed_m_s, config.gate.ee_turn_rad_s)
        self._motions = {
            arm.name: ArmMotion(embodiment.urdf_path, arm, config.motion, ee_speed=speed) for arm in embodiment.arms
        }
        guarded = {
            name: GuardedArm(limits=motion.spec.limits, geometry=motion.kinematics)
            for name, motion in self._motions.items()
        }
        self._gate = SafetyGate(config.gate, guarded)
        self._last_chunk_ns: int | None = None
        self._homing_until_ns = 0

    @property
    def is_armed(self) -> bool:
        """Whether motion is allowed."""
        return self._gate.is_armed

    @property
    def stop_reason(self) -> Reason | None:
        """Why the latched stop is set; None if it is not."""
        return self._gate.stop_reason

    # -------------------------------------------------------------------------------------------- state

    def on_joint_state(self, names: Sequence[str], q: Float, dq: Float, stamp_ns: int) -> tuple[RobotState, ...]:
        """Take one joint state message: names (N,), q (N,) rad or m, dq (N,) or empty.

        Returns:
            The states of the arms which this message completed.
        """
        states = [motion.states.update(names, q, dq, stamp_ns) for motion in self._motions.values()]
        return tuple(state for state in states if state is not None)

    def robot_state(self, arm: str, stamp_ns: int) -> RobotState:
        """Return an arm's state at an instant, interpolated.

        Raises:
            StaleObservationError: If the memory does not cover the instant.
        """
        return self._motions[arm].states.at(stamp_ns)

    # ----------------------------------------------------------------------------------------- commands

    def on_chunk(self, chunk: ActionChunk, now_ns: int) -> Execution:
        """Plan, judge and release one chunk, for all arms or for none."""
        verdict = self._gate.check_chunk(chunk, now_ns)
        if not verdict.is_allowed:
            return self._reject(verdict)
        if now_ns < self._homing_until_ns:
            return self._reject(_stop_verdict(now_ns, "homing", "the arm is on its way home; chunks are not followed"))
        try:
            motions = [self._plan(chunk, index, now_ns) for index in range(len(chunk.arms))]
        except StaleObservationError as error:
            return self._reject(_stop_verdict(now_ns, "anchor", str(error)))
        faults = [reason for planned in motions for reason in self._faults(planned.trajectory, now_ns)]
        if faults:
            return self._reject(Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=tuple(faults)))
        self._last_chunk_ns = now_ns
        clamps = tuple(reason for planned in motions for reason in planned.clamps)
        return self._release(motions, clamps, now_ns)

    def on_tick(self, now_ns: int) -> Execution:
        """Run the watchdogs and release gripper steps that fell due; call at 50 Hz or more."""
        if not self.is_armed:
            return self._nothing(now_ns, accepted=True, message="")
        for name, motion in self._motions.items():
            stale = self._gate.check_state(name, motion.states.latest, now_ns)
            if stale:
                return self._stop(stale[0], now_ns)
        if self._last_chunk_ns is not None:
            silent_s = (now_ns - self._last_chunk_ns) * 1e-9
            if silent_s > self._config.chunk_timeout_s:
                limit = f"allowed {self._config.chunk_timeout_s:.2f} s"
                text = f"no usable chunk for {silent_s:.2f} s, {limit}; is the policy running?"
                return self._stop(Reason(check="chunk_timeout", message=text), now_ns)
        return dataclasses.replace(
            self._nothing(now_ns, accepted=True, message=""), gripper_targets=self._gripper_targets(now_ns)
        )

    def arm(self, now_ns: int) -> Execution:
        """Allow motion, if the state is known and fresh, the arm rests and no stop is latched."""
        problems = self._obstacles(now_ns)
        if problems:
            reasons = tuple(Reason(check="arm", message=problem) for problem in problems)
            verdict = Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=reasons)
            return Execution(verdict=verdict, accepted=False, message=join_problems("cannot arm", problems))
        if not self.is_armed:
            self._gate.arm()
            self._void_chunks()
            for motion in self._motions.values():
                motion.forget_plan()
        return self._nothing(now_ns, accepted=True, message="armed")

    def disarm(self, now_ns: int) -> Execution:
        """Forbid motion; an arm in motion is brought to rest. Nothing is latched."""
        self._gate.disarm()
        self._void_chunks()
        trajectories, faults = self._stopping(now_ns)
        kind = VerdictKind.CLAMP if faults else VerdictKind.ALLOW
        verdict = Verdict(kind=kind, stamp_ns=now_ns, reasons=faults)
        return Execution(verdict=verdict, accepted=True, message="disarmed", trajectories=trajectories)

    def stop(self, reason: str, now_ns: int) -> Execution:
        """Latch the stop and bring every arm to rest as fast as its limits allow."""
        return self._stop(Reason(check="operator", message=reason), now_ns)

    def reset(self, now_ns: int) -> Execution:
        """Clear a latched stop. The robot stays disarmed; the next motion starts where the arm is then."""
        reason = self._gate.stop_reason
        self._gate.reset()
        self._void_chunks()
        for motion in self._motions.values():
            if not motion.is_moving(now_ns):
                motion.forget_execution()
            if motion.states.latest is not None and motion.states.latest.stamp_ns > now_ns + int(1e9):
                motion.states.clear()
        message = f"stop cleared ({reason.message}); disarmed" if reason else "nothing to reset; disarmed"
        return self._nothing(now_ns, accepted=True, message=message)

    def home(self, now_ns: int) -> Execution:
        """Move all arms to their home configuration; until they arrive, chunks are refused."""
        if not self.is_armed:
            reason = self._gate.stop_reason
            text = f"stopped: {reason.message}; reset first" if reason else "the arm is disarmed; arm it first"
            return self._refuse(_stop_verdict(now_ns, "disarmed", text))
        trajectories = tuple(motion.homing(now_ns) for motion in self._motions.values())
        faults = [fault for trajectory in trajectories for fault in self._faults(trajectory, now_ns)]
        if faults:
            return self._refuse(Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=tuple(faults)))
        self._follow(trajectories)
        self._void_chunks()
        self._homing_until_ns = max(int(trajectory.times_ns[-1]) for trajectory in trajectories)
        seconds = (self._homing_until_ns - now_ns) * 1e-9
        verdict = Verdict(kind=VerdictKind.ALLOW, stamp_ns=now_ns)
        return Execution(
            verdict=verdict, accepted=True, message=f"going home in {seconds:.1f} s", trajectories=trajectories
        )

    # ------------------------------------------------------------------------------------------ private

    def _plan(self, chunk: ActionChunk, index: int, now_ns: int) -> PlannedMotion:
        part = chunk.arms[index]
        motion = self._motions[part.arm]
        if self._dry_run:
            motion.forget_execution()
        anchor = motion.states.at(chunk.stamp_ns)
        due_ns = chunk.stamp_ns + chunk.dt_ns * np.arange(1, len(part.Ts_ee0_ee) + 1, dtype=np.int64)
        return motion.plan(part, due_ns, anchor.T_base_ee, now_ns)

    def _faults(self, trajectory: JointTrajectory, now_ns: int) -> list[Reason]:
        """Everything the gate has against a trajectory, and against continuing at all."""
        motion = self._motions[trajectory.arm]
        state = motion.states.latest
        faults = list(self._gate.check_trajectory(trajectory, state, now_ns).reasons)
        q_reference = motion.reference_q(state.stamp_ns) if state is not None else None
        if state is not None and q_reference is not None and motion.is_moving(now_ns):
            faults += self._gate.check_tracking(state, q_reference)
        return faults

    def _release(self, motions: Sequence[PlannedMotion], clamps: tuple[Reason, ...], now_ns: int) -> Execution:
        for planned in motions:
            self._motions[planned.trajectory.arm].execute(planned)
        kind = VerdictKind.CLAMP if clamps else VerdictKind.ALLOW
        return Execution(
            verdict=Verdict(kind=kind, stamp_ns=now_ns, reasons=clamps),
            accepted=True,
            message="; ".join(reason.message for reason in clamps),
            trajectories=tuple(planned.trajectory for planned in motions),
            gripper_targets=self._gripper_targets(now_ns),
            plans=tuple(planned.plan for planned in motions),
            dropped_steps=max(planned.plan.dropped_steps for planned in motions),
        )

    def _reject(self, verdict: Verdict) -> Execution:
        """Refuse a chunk; latch the stop if its fault is more than bad timing."""
        checks = {reason.check for reason in verdict.reasons}
        if self.is_armed and checks - _REFUSED_ONLY:
            first = next(reason for reason in verdict.reasons if reason.check not in _REFUSED_ONLY)
            stopped = self._stop(first, verdict.stamp_ns)
            return dataclasses.replace(stopped, verdict=verdict, accepted=False)
        return self._refuse(verdict)

    def _refuse(self, verdict: Verdict) -> Execution:
        message = "; ".join(reason.message for reason in verdict.reasons)
        return Execution(verdict=verdict, accepted=False, message=message)

    def _stop(self, reason: Reason, now_ns: int) -> Execution:
        was_stopped = self._gate.stop_reason is not None
        verdict = self._gate.stop(reason, now_ns)
        self._void_chunks()
        trajectories, faults = ((), ()) if was_stopped else self._stopping(now_ns)
        verdict = dataclasses.replace(verdict, reasons=(*verdict.reasons, *faults))
        message = f"stopped: {verdict.reasons[0].message}"
        return Execution(verdict=verdict, accepted=True, message=message, trajectories=trajectories)

    def _stopping(self, now_ns: int) -> tuple[tuple[JointTrajectory, ...], tuple[Reason, ...]]:
        """Return the trajectories that bring all arms to rest, and what the gate has against them.

        They are sent even if the gate objects, and the objections are reported: braking inside the acceleration
        limits is the safest motion left to an arm that moves. Only what is not finite is held back.
        """
        stopping = [motion.stopping(now_ns) for motion in self._motions.values()]
        trajectories = tuple(trajectory for trajectory in stopping if trajectory is not None)
        finite = tuple(t for t in trajectories if np.isfinite(t.q).all() and np.isfinite(t.dq).all())
        faults = tuple(fault for trajectory in trajectories for fault in self._faults(trajectory, now_ns))
        self._follow(finite)
        for motion in self._motions.values():
            motion.forget_plan()
        return finite, faults

    def _follow(self, trajectories: Sequence[JointTrajectory]) -> None:
        for trajectory in trajectories:
            self._motions[trajectory.arm].follow(trajectory)

    def _void_chunks(self) -> None:
        self._last_chunk_ns = None
        self._homing_until_ns = 0

    def _gripper_targets(self, now_ns: int) -> tuple[GripperTarget, ...]:
        return tuple(target for motion in self._motions.values() for target in motion.gripper.due(now_ns))

    def _obstacles(self, now_ns: int) -> list[str]:
        """Everything that speaks against arming, each with its remedy."""
        problems = []
        if self._gate.stop_reason is not None:
            problems.append(f"stop is latched ({self._gate.stop_reason.message}); reset it first")
        for name, motion in self._motions.items():
            if motion.states.missing:
                problems.append(
                    f"arm '{name}': never heard joints {list(motion.states.missing)} in joint_states; start its driver"
                )
                continue
            problems += [
                f"{r.message}; check its driver" for r in self._gate.check_state(name, motion.states.latest, now_ns)
            ]
            state = motion.states.latest
            if state is not None and not motion.is_moving(now_ns) and np.abs(state.dq).max() > _RESTING_RAD_S:
                problems.append(f"arm '{name}' moves at {np.abs(state.dq).max():.2f} rad/s; wait until it rests")
        return problems

    def _nothing(self, now_ns: int, *, accepted: bool, message: str) -> Execution:
        verdict = Verdict(kind=VerdictKind.ALLOW, stamp_ns=now_ns)
        return Execution(verdict=verdict, accepted=accepted, message=message)


def _stop_verdict(now_ns: int, check: str, message: str) -> Verdict:
    return Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=(Reason(check=check, message=message),))


def _read(kind: Any, reader: ConfigReader) -> dict[str, Any]:
    """Read the fields of a flat dataclass of numbers and (3,) vectors; a field with a default may be missing."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING and not reader.has(field.name):
            continue
        if field.type in ("float", float):
            values[field.name] = reader.number(field.name)
        else:
            values[field.name] = tuple(float(value) for value in reader.vector(field.name, 3))
    known = {field.name for field in dataclasses.fields(kind)}
    reader.finish(known)
    return values
