"""Adapter and safety in the only order in which they may be used: there is no way to an arm around the gate.

The live node, the batch runner and retargeting all drive an arm through this one class.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.arm_motion import ArmMotion, PlannedMotion
from vla3d_ros.adapter.body_capsules import RobotCapsules
from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.adapter.pose_plan import AnchoredChunk
from vla3d_ros.datatypes import (
    ActionChunk,
    ExecutedSteps,
    GripperTarget,
    JointTrajectory,
    Reason,
    RobotState,
    Verdict,
    VerdictKind,
)
from vla3d_ros.errors import StaleObservationError, join_problems
from vla3d_ros.execution_config import ExecutionConfig
from vla3d_ros.execution_result import REFUSED_ONLY, ChunkSteps, Execution, PlannedChunk, run_steps
from vla3d_ros.execution_watch import ExecutionWatch
from vla3d_ros.safety.gate import GuardedArm, SafetyGate

__all__ = ["Execution", "ExecutionConfig", "ExecutionPipeline"]

Float = NDArray[np.float64]

_RESTING_RAD_S = 0.05
_BURST = 6  # chunks that were held up together are no flood
_NEVER_NS = 1 << 62


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
        self._gate = SafetyGate(config.gate, guarded, RobotCapsules(embodiment.urdf_path, embodiment.arms))
        self.watch = ExecutionWatch(
            self._gate, self._motions, config.gate.max_frozen_s, config.gate.max_clock_step_s,
            config.heartbeat_timeout_s,
        )  # fmt: skip
        self._last_chunk_ns: int | None = None
        self._last_stamp_ns: int | None = None
        self._chunk_times_ns: deque[int] = deque([-_NEVER_NS] * _BURST, maxlen=_BURST)
        self._homing_until_ns = 0
        self._epoch = 0  # counts what voids chunks

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
        return run_steps(self.chunk_steps(chunk, now_ns), now_ns)

    def chunk_steps(self, chunk: ActionChunk, now_ns: int) -> ChunkSteps:
        """Do the same in steps: judge the chunk, yield the work of planning, take its result, release.

        The work changes nothing and may be done in another thread, while this one goes on with states and ticks, but
        not with other chunks or requests. What was planned is refused if a stop or the like came in between.
        """
        if leap := self._check_clock(now_ns):
            return leap
        verdict = self._gate.check_chunk(chunk, now_ns)
        if not verdict.is_allowed:
            return self._reject(verdict)
        if untimely := self._check_timing(chunk, now_ns):
            return self._reject(Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=(untimely,)))
        try:
            anchored, epoch = self._anchored(chunk), self._epoch
        except StaleObservationError as error:
            return self._reject(_stop_verdict(now_ns, "anchor", str(error)))
        (motions, faults), done_ns = yield partial(self._plan, anchored, now_ns)
        if epoch != self._epoch:
            faults = [Reason(check="superseded", message="another command came while the chunk was planned")]
        if faults:
            return self._object(faults, done_ns)  # a stop starts from the time it is sent
        self._last_chunk_ns, self._last_stamp_ns = now_ns, chunk.stamp_ns
        self._chunk_times_ns.append(now_ns)
        clamps = tuple(reason for planned in motions for reason in planned.clamps)
        return self._release(motions, clamps, now_ns)

    def on_malformed_chunk(self, problem: str, now_ns: int) -> Execution:
        """Refuse a message that could not even be read as a chunk."""
        return self._reject(_stop_verdict(now_ns, "chunk_malformed", problem))

    def on_tick(self, now_ns: int) -> Execution:
        """Run the watchdogs and release gripper steps that fell due; call at 50 Hz or more."""
        if leap := self._check_clock(now_ns):
            return leap
        if not self.is_armed:
            return self._nothing(now_ns, accepted=True, message="")
        if faults := self.watch.faults(now_ns):
            return self._stop(faults[0], now_ns)
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
        return Execution(
            verdict=verdict,
            accepted=True,
            message="disarmed",
            trajectories=trajectories,
            executed_steps=self._executed_steps(),
        )

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
        faults = self._faults(trajectories, now_ns)
        if faults:
            return self._refuse(Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=tuple(faults)))
        self._follow(trajectories, now_ns)
        self._void_chunks()
        self._homing_until_ns = max(int(trajectory.times_ns[-1]) for trajectory in trajectories)
        seconds = (self._homing_until_ns - now_ns) * 1e-9
        verdict = Verdict(kind=VerdictKind.ALLOW, stamp_ns=now_ns)
        return Execution(
            verdict=verdict, accepted=True, message=f"going home in {seconds:.1f} s", trajectories=trajectories
        )

    def _check_timing(self, chunk: ActionChunk, now_ns: int) -> Reason | None:
        """Return why a sound chunk is not followed now."""
        if now_ns < self._homing_until_ns:
            return Reason(check="homing", message="the arm is on its way home; chunks are not followed")
        if self._last_chunk_ns is None or self._last_stamp_ns is None:
            return None
        if chunk.stamp_ns <= self._last_stamp_ns:
            text = "the chunk's observation is not newer than that of the chunk in execution"
            return Reason(check="chunk_order", message=text)
        shortest_s = self._config.gate.min_chunk_interval_s
        if now_ns - self._chunk_times_ns[0] < _BURST * shortest_s * 1e9:
            return Reason(check="chunk_rate", message=f"chunks come faster than every {1e3 * shortest_s:g} ms")
        return None

    def _anchored(self, chunk: ActionChunk) -> list[AnchoredChunk]:
        anchors = [self._motions[part.arm].states.at(chunk.stamp_ns).T_base_ee for part in chunk.arms]
        if self._dry_run:
            for part in chunk.arms:
                self._motions[part.arm].forget_execution()
        return [AnchoredChunk.resolve(chunk, index, anchor) for index, anchor in enumerate(anchors)]

    def _plan(self, chunks: Sequence[AnchoredChunk], now_ns: int) -> PlannedChunk:
        try:
            motions = [self._motions[chunk.arm].plan(chunk, now_ns) for chunk in chunks]
        except StaleObservationError as error:
            return [], [Reason(check="anchor", message=str(error))]
        paths = [planned.trajectory for planned in motions]
        singular = [reason for path in paths for reason in self._gate.check_singularity(path)]
        return motions, self._faults(paths, now_ns) + singular

    def _faults(self, trajectories: Sequence[JointTrajectory], now_ns: int) -> list[Reason]:
        """Everything the gate has against trajectories of several arms, alone and together."""
        faults = [fault for trajectory in trajectories for fault in self._faults_of(trajectory, now_ns)]
        return faults + self.watch.check_together(trajectories, now_ns)

    def _faults_of(self, trajectory: JointTrajectory, now_ns: int) -> list[Reason]:
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
            executed_steps=self._executed_steps(),
        )

    def _object(self, faults: list[Reason], now_ns: int) -> Execution:
        """Refuse planned motion: latch a stop, or brake and wait where the deployment asks for no more."""
        verdict = Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=tuple(faults))
        is_mild = {fault.check for fault in faults} == {"singularity"} and not self._config.gate.singularity_latches
        if not is_mild:
            return self._reject(verdict)
        self._last_chunk_ns = now_ns
        trajectories, objections = self._stopping(now_ns)
        return Execution(
            verdict=Verdict(kind=VerdictKind.CLAMP, stamp_ns=now_ns, reasons=(*faults, *objections)),
            accepted=False,
            message="; ".join(fault.message for fault in faults),
            trajectories=trajectories,
            executed_steps=self._executed_steps(),
        )

    def _check_clock(self, now_ns: int) -> Execution | None:
        """Latch a stop if time leapt while armed.

        Nothing is sent: no stamp can be trusted. The trajectory in execution ends at rest by itself.
        """
        leap = self.watch.clock(now_ns)
        if not leap or not self.is_armed:
            return None
        verdict = self._gate.stop(leap[0], now_ns)
        self._void_chunks()
        for motion in self._motions.values():
            motion.forget_execution()
        return Execution(verdict=verdict, accepted=True, message=f"stopped: {leap[0].message}")

    def _reject(self, verdict: Verdict) -> Execution:
        """Refuse a chunk; latch the stop if its fault is more than bad timing."""
        checks = {reason.check for reason in verdict.reasons}
        if self.is_armed and checks - REFUSED_ONLY:
            first = next(reason for reason in verdict.reasons if reason.check not in REFUSED_ONLY)
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
        return Execution(
            verdict=verdict,
            accepted=True,
            message=f"stopped: {verdict.reasons[0].message}",
            trajectories=trajectories,
            executed_steps=self._executed_steps(),
        )

    def _stopping(self, now_ns: int) -> tuple[tuple[JointTrajectory, ...], tuple[Reason, ...]]:
        """Return the trajectories that bring all arms to rest, and what the gate has against them.

        They are sent even if the gate objects, and the objections are reported: braking inside the acceleration
        limits is the safest motion left to an arm that moves. Only what is not finite is held back.
        """
        stopping = [motion.stopping(now_ns) for motion in self._motions.values()]
        trajectories = tuple(trajectory for trajectory in stopping if trajectory is not None)
        finite = tuple(t for t in trajectories if np.isfinite(t.q).all() and np.isfinite(t.dq).all())
        faults = tuple(fault for trajectory in trajectories for fault in self._faults_of(trajectory, now_ns))
        self._follow(finite, now_ns)
        for motion in self._motions.values():
            motion.forget_plan()
        return finite, faults

    def _follow(self, trajectories: Sequence[JointTrajectory], now_ns: int) -> None:
        for trajectory in trajectories:
            self._motions[trajectory.arm].follow(trajectory, now_ns)

    def _void_chunks(self) -> None:
        self._epoch += 1
        self._last_chunk_ns = None
        self._homing_until_ns = 0

    def _executed_steps(self) -> tuple[ExecutedSteps, ...]:
        return tuple(steps for motion in self._motions.values() for steps in motion.take_executed_steps())

    def _gripper_targets(self, now_ns: int) -> tuple[GripperTarget, ...]:
        return tuple(target for motion in self._motions.values() for target in motion.gripper.due(now_ns))

    def _obstacles(self, now_ns: int) -> list[str]:
        """Everything that speaks against arming, each with its remedy."""
        problems = []
        if self._gate.stop_reason is not None:
            problems.append(f"stop is latched ({self._gate.stop_reason.message}); reset it first")
        problems += self.watch.obstacles(now_ns)
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
            is_expected = self._dry_run or motion.is_moving(now_ns)  # in a dry run, others may move the arm
            if state is not None and not is_expected and np.abs(state.dq).max() > _RESTING_RAD_S:
                problems.append(f"arm '{name}' moves at {np.abs(state.dq).max():.2f} rad/s; wait until it rests")
        return problems

    def _nothing(self, now_ns: int, *, accepted: bool, message: str) -> Execution:
        verdict = Verdict(kind=VerdictKind.ALLOW, stamp_ns=now_ns)
        return Execution(verdict=verdict, accepted=accepted, message=message)


def _stop_verdict(now_ns: int, check: str, message: str) -> Verdict:
    return Verdict(kind=VerdictKind.STOP, stamp_ns=now_ns, reasons=(Reason(check=check, message=message),))
