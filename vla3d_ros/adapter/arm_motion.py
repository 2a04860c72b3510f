"""One arm between chunks and its controller: plan, execute, brake, go home. Judges nothing: the gate does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.adapter.chunk_executor import BlendTiming, ChunkExecutor
from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.ensembling import PoseEnsemble
from vla3d_ros.adapter.gripper import GripperSchedule
from vla3d_ros.adapter.kinematics import ArmKinematics, ChunkSolution
from vla3d_ros.adapter.knot_fit import KnotFit, fit_knots
from vla3d_ros.adapter.pose_plan import AnchoredChunk, PosePlan
from vla3d_ros.adapter.state import ArmStateEstimator
from vla3d_ros.adapter.trajectory import (
    Reference,
    committed_prefix,
    home_trajectory,
    join,
    reference_at,
    rest_trajectory,
    sample,
    stop_trajectory,
)
from vla3d_ros.datatypes import ExecutedSteps, JointLimits, JointTrajectory, Reason

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_KEEP_PAST_NS = 100_000_000  # knots kept before now: covers clocks that disagree a little and states that lag
_BRAKING_SHARE = 0.82  # of the acceleration limits: a servo overshoots a ramp by 13.5 %, and more if a stop comes late
_REACHED_RAD = 0.02  # a resting arm this close to its reference continues from the reference
_ENVELOPE_MARGIN_RAD_S = 0.05
_SPEED_SHARE = 0.9  # share of the speed limits in space that is planned for
_EXTRA_KNOTS = 5  # beyond the chunk, to end at rest on its last pose


def _setting(description: str, unit: str, default: float) -> float:
    value: float = field(default=default, metadata={"description": description, "unit": unit})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionConfig:
    """How chunks are executed."""

    lead_s: float = _setting("A new chunk changes nothing before this time from now", "s", 0.03)
    blend_s: float = _setting("Time over which a plan moves to a chunk that disagrees", "s", 0.1)
    ramp_in_s: float = _setting("Time over which an arm at rest takes up its first chunk", "s", 0.3)
    ensemble_s: float = _setting("Chunks this much older than the newest are averaged with it; 0: none", "s", 0.0)
    ensemble_decay: float = _setting("Each younger chunk weighs exp(-decay) times the one before", "", 0.01)
    catch_up_m_s: float = _setting("Speed at which the end effector makes up for a gap to the chunk", "m/s", 0.2)
    catch_up_rad_s: float = _setting("Turning rate at which it makes up for a gap", "rad/s", 0.6)
    velocity_share: float = _setting("Share of the velocity limits to plan for", "", 0.8)
    acceleration_share: float = _setting("Share of the acceleration limits to plan for", "", 0.7)
    max_stop_s: float = _setting("Joints are planned no faster than they can stop in", "s", 0.107)
    stop_lead_s: float = _setting("A stop is computed, delivered and in force within this time", "s", 0.012)
    home_speed_share: float = _setting("Share of all limits used to go home", "", 0.25)
    gripper_deadband: float = _setting("Smallest change of opening that is sent", "0..1", 0.05)
    memory_s: float = _setting("How long joint states are remembered", "s", 2.0)

    def problems(self) -> list[str]:
        """Return what is out of range, one sentence each."""
        found = []
        for name in ("velocity_share", "acceleration_share", "home_speed_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                found.append(f"'{name}' is {getattr(self, name)}; expected above 0 and at most 1")
        for name in ("ramp_in_s", "ensemble_s"):
            if not getattr(self, name) >= 0.0:
                found.append(f"'{name}' is {getattr(self, name)}; expected at least 0")
        for name in ("lead_s", "blend_s", "catch_up_m_s", "catch_up_rad_s", "max_stop_s", "stop_lead_s", "memory_s"):
            if not getattr(self, name) > 0.0:
                found.append(f"'{name}' is {getattr(self, name)}; expected above 0")
        return found


def braking_limits(limits: JointLimits) -> JointLimits:
    """Return the limits a stop is computed for, with room left for the servo that follows it."""
    return replace(limits, acceleration=_BRAKING_SHARE * limits.acceleration)


def planning_limits(limits: JointLimits, config: MotionConfig) -> JointLimits:
    """Return the limits to plan for: below the true ones, and slow enough to stop within `max_stop_s`."""
    braking = braking_limits(limits)
    ramps_s = 2.0 * braking.acceleration / limits.jerk
    braking_s = np.maximum(config.max_stop_s - config.stop_lead_s - ramps_s, 0.01)
    envelope = limits.envelope
    return replace(
        limits,
        velocity=np.minimum(config.velocity_share * limits.velocity, braking.acceleration * braking_s),
        acceleration=config.acceleration_share * limits.acceleration,
        envelope=replace(envelope, offset=envelope.offset + _ENVELOPE_MARGIN_RAD_S) if envelope else None,
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PlannedMotion:
    """What one arm would do with a chunk: the poses, the joints, and what had to be changed to stay in bounds."""

    plan: PosePlan
    trajectory: JointTrajectory
    takes_over_ns: int
    clamps: tuple[Reason, ...]


class ArmMotion:
    """Plans one arm's motion and remembers which trajectory is in execution."""

    def __init__(self, urdf_path: Path, arm: ArmSpec, config: MotionConfig, *, ee_speed: tuple[float, float]) -> None:
        """Build kinematics and state estimation.

        Args:
            urdf_path: The robot's URDF.
            arm: The arm.
            config: How chunks are executed.
            ee_speed: Highest speed (m/s) and turning rate (rad/s) of the end effector to stay below.
        """
        self.spec = arm
        self.kinematics = ArmKinematics(urdf_path, arm)
        measured = ArmKinematics(urdf_path, arm)  # of its own: states come in while another thread plans
        self.states = ArmStateEstimator(arm, measured.forward, memory_ns=int(config.memory_s * 1e9))
        self.gripper = GripperSchedule(arm.name, deadband=config.gripper_deadband)
        self._config = config
        self._lead_ns = int(config.lead_s * 1e9)
        self._stop_lead_ns = round(config.stop_lead_s * 1e9)
        self._latency_ns = round(arm.actuation_latency_s * 1e9)
        self._executor = _create_executor(arm, config)
        self._limits = planning_limits(arm.limits, config)
        self._ee_speed = ee_speed
        self._executing: JointTrajectory | None = None
        self._in_charge: tuple[PosePlan, int] | None = None
        self._executed: list[ExecutedSteps] = []

    def is_moving(self, now_ns: int) -> bool:
        """Whether the trajectory in execution has not ended."""
        return self._executing is not None and int(self._executing.times_ns[-1]) > now_ns

    def reference_q(self, t_ns: int) -> Float | None:
        """Return (J,) where the joints should be at an instant, None if nothing is in execution."""
        return None if self._executing is None else sample(self._executing, t_ns - self._latency_ns)[0]

    def execute(self, motion: PlannedMotion) -> None:
        """Take note that a planned motion was sent."""
        self._close_account(motion.takes_over_ns)
        self._in_charge = (motion.plan, motion.takes_over_ns)
        self._executing = motion.trajectory
        self._executor.replace_plan(motion.plan)
        if self.spec.gripper is not None:
            self.gripper.follow(motion.plan.gripper_times_ns, motion.plan.gripper_opening)

    def follow(self, trajectory: JointTrajectory, now_ns: int) -> None:
        """Take note that a stop or home trajectory was sent; chunks and gripper steps before it are void."""
        self._close_account(now_ns)
        self._executing = trajectory
        self.forget_plan()

    def forget_plan(self) -> None:
        """Void the pose plan and the gripper's schedule; the trajectory in execution goes on to its end."""
        self._close_account(int(self._executing.times_ns[-1]) if self._executing is not None else 0)
        self._executor.clear()
        self.gripper.clear()

    def forget_execution(self) -> None:
        """Start the next motion from the measured state."""
        self._executing = None
        self._in_charge = None
        self.forget_plan()

    def take_executed_steps(self) -> tuple[ExecutedSteps, ...]:
        """Return what was executed of the chunks that are over since the last call."""
        taken, self._executed = tuple(self._executed), []
        return taken

    def plan(self, chunk: AnchoredChunk, now_ns: int) -> PlannedMotion:
        """Compute what to send for a chunk; nothing is changed until `execute`.

        Args:
            chunk: Absolute poses and when they are due.
            now_ns: Current time.

        Returns:
            Plan, trajectory and clamps.

        Raises:
            StaleObservationError: If every step is past.
        """
        dt_ns = int(chunk.due_ns[0]) - chunk.stamp_ns
        executing = self._executing_or_rest(now_ns)
        until_ns = _commit_until(executing, now_ns + self._lead_ns, dt_ns)
        start = reference_at(executing, until_ns)
        plan = self._executor.accept(chunk, now_ns, self.kinematics.forward(start.q))
        times_s, solution = self._targets(plan, start, dt_ns)
        fit = fit_knots(
            times_s,
            solution.q,
            start,
            dt_ns * 1e-9,
            len(chunk.due_ns) + _EXTRA_KNOTS,
            self._limits,
            self._least_slowdown(plan),
        )
        prefix = committed_prefix(executing, now_ns - _KEEP_PAST_NS, until_ns)
        if fit.load > 1.0:
            return self._brake(plan, prefix, start, fit, now_ns)
        new_ns = until_ns + dt_ns * np.arange(len(fit.q) + 1, dtype=np.int64)
        q, dq = np.vstack([start.q, fit.q]), np.vstack([start.dq, fit.dq])
        trajectory = join(prefix, self._trajectory(new_ns, q, dq))
        clamps = (*_splice_reason(plan), *_slow_reason(fit, self.spec.name), *_reach_reason(solution, self.spec.name))
        slowed = plan.slowed(until_ns, fit.slowdown)
        return PlannedMotion(plan=slowed, trajectory=trajectory, takes_over_ns=until_ns, clamps=clamps)

    def stopping(self, now_ns: int) -> JointTrajectory | None:
        """Return the trajectory that brings the arm to rest as fast as its limits allow; None if it rests already."""
        if self._executing is None or not self.is_moving(now_ns):
            return None
        from_ns = now_ns + self._stop_lead_ns
        prefix = committed_prefix(self._executing, now_ns - _KEEP_PAST_NS, from_ns)
        reference = reference_at(self._executing, from_ns)
        return join(prefix, stop_trajectory(self.spec.name, reference, braking_limits(self.spec.limits)))

    def homing(self, now_ns: int) -> JointTrajectory:
        """Return the trajectory to the home configuration, after braking if the arm moves."""
        before = self.stopping(now_ns) or self._executing_or_rest(now_ns)
        start_ns = max(int(before.times_ns[-1]), now_ns + self._lead_ns)
        prefix = committed_prefix(before, now_ns - _KEEP_PAST_NS, start_ns)
        limits, share = self.spec.limits, self._config.home_speed_share
        return join(prefix, home_trajectory(self.spec.name, prefix[1][-1], self.spec.q_home, start_ns, limits, share))

    def _executing_or_rest(self, now_ns: int) -> JointTrajectory:
        """Return the trajectory in execution, or rest where the reference ended, or rest where the arm is."""
        state = self.states.latest
        executing = self._executing
        if executing is not None and (self.is_moving(now_ns) or state is None):
            return executing
        if state is None:
            raise AssertionError("the gate lets nothing start before there is a joint state")
        q = state.q
        if executing is not None and np.abs(executing.q[-1] - state.q).max() < _REACHED_RAD:
            q = executing.q[-1]
        q = np.clip(q, self.spec.limits.q_lower, self.spec.limits.q_upper)
        return rest_trajectory(self.spec.name, self.spec.limits, q, now_ns - _KEEP_PAST_NS, now_ns)

    def _targets(self, plan: PosePlan, start: Reference, dt_ns: int) -> tuple[Float, ChunkSolution]:
        """Joint targets after the commitment: times (T,) s relative to its end, and their solution."""
        ahead_ns = plan.times_ns - start.stamp_ns
        later = ahead_ns > dt_ns // 2
        if not later.any():
            return np.array([dt_ns * 1e-9]), self.kinematics.solve_chunk(plan.Ts_base_ee[-1:], start.q)
        return np.asarray(ahead_ns[later] * 1e-9, dtype=np.float64), self.kinematics.solve_chunk(
            plan.Ts_base_ee[later], start.q
        )

    def _least_slowdown(self, plan: PosePlan) -> float:
        """How much slower than asked the poses must be passed to respect the speed limits in space."""
        if len(plan.times_ns) < 2:
            return 1.0
        seconds = np.diff(plan.times_ns) * 1e-9
        R = plan.Ts_base_ee[:, :3, :3]
        speed = np.linalg.norm(np.diff(plan.Ts_base_ee[:, :3, 3], axis=0), axis=1) / seconds
        turn = np.linalg.norm(Rotation.from_matrix(R[:-1].transpose(0, 2, 1) @ R[1:]).as_rotvec(), axis=1) / seconds
        wanted = max(float(speed.max()) / self._ee_speed[0], float(turn.max()) / self._ee_speed[1])
        return max(1.0, wanted / _SPEED_SHARE)

    def _brake(
        self, plan: PosePlan, prefix: tuple[Times, Float, Float], start: Reference, fit: KnotFit, now_ns: int
    ) -> PlannedMotion:
        trajectory = join(prefix, stop_trajectory(self.spec.name, start, braking_limits(self.spec.limits)))
        text = f"arm '{self.spec.name}': chunk cannot be followed within {fit.limiting}; braking until the next chunk"
        end_ns = max(int(trajectory.times_ns[-1]), now_ns + 1)
        return PlannedMotion(
            plan=plan.held_at(self.kinematics.forward(trajectory.q[-1]), end_ns, now_ns),
            trajectory=trajectory,
            takes_over_ns=start.stamp_ns,
            clamps=(Reason(check="brake", message=text),),
        )

    def _close_account(self, until_ns: int) -> None:
        """Note what was executed of the chunk in charge, which another command takes over from."""
        if self._in_charge is not None:
            plan, from_ns = self._in_charge
            self._executed.append(plan.executed(from_ns, until_ns))
            self._in_charge = None

    def _trajectory(self, times_ns: Times, q: Float, dq: Float) -> JointTrajectory:
        return JointTrajectory(arm=self.spec.name, joint_names=self.spec.joint_names, times_ns=times_ns, q=q, dq=dq)


def _create_executor(arm: ArmSpec, config: MotionConfig) -> ChunkExecutor:
    timing = BlendTiming(
        lead_ns=int(config.lead_s * 1e9),
        blend_ns=int(config.blend_s * 1e9),
        ramp_in_ns=int(config.ramp_in_s * 1e9),
        catch_up=(config.catch_up_m_s, config.catch_up_rad_s),
        arm_latency_ns=round(arm.actuation_latency_s * 1e9),
        gripper_latency_ns=round(arm.gripper.actuation_latency_s * 1e9) if arm.gripper else 0,
    )
    memory_ns = int(config.ensemble_s * 1e9)
    ensemble = PoseEnsemble(memory_ns=memory_ns, decay=config.ensemble_decay) if memory_ns else None
    return ChunkExecutor(timing, ensemble)


def _commit_until(executing: JointTrajectory, earliest_ns: int, dt_ns: int) -> int:
    """Return when the new chunk takes over: at an existing knot if there is one within dt, so that knots stay few."""
    knots = executing.times_ns
    knots = knots[(knots >= earliest_ns) & (knots < earliest_ns + dt_ns)]
    return int(knots[0]) if len(knots) else earliest_ns


def _splice_reason(plan: PosePlan) -> tuple[Reason, ...]:
    conditioned = plan.chunk.conditioned_steps
    if plan.is_spliced or not conditioned:
        return ()
    text = f"arm '{plan.arm}': the chunk's {conditioned} conditioned steps do not continue the plan up to where it can "
    passed = f"take over ({plan.dropped_steps} steps had passed); blended"
    return (Reason(check="conditioning", message=text + passed),)


def _slow_reason(fit: KnotFit, arm: str) -> tuple[Reason, ...]:
    if fit.slowdown <= 1.0:
        return ()
    text = f"arm '{arm}': slowed down by {fit.slowdown:.2f} to respect {fit.limiting}"
    return (Reason(check="slowdown", message=text),)


def _reach_reason(solution: ChunkSolution, arm: str) -> tuple[Reason, ...]:
    if solution.converged.all():
        return ()
    count, miss_m = int((~solution.converged).sum()), float(solution.residual_m.max())
    text = f"arm '{arm}': {count} of {len(solution.q)} poses out of reach by up to {1e3 * miss_m:.1f} mm"
    limited = f" and {solution.residual_rad.max():.3f} rad; held back by joint limits of {list(solution.clipped)}"
    return (Reason(check="reach", message=text + limited),)
