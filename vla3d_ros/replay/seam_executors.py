"""Ways to execute a stream of chunks, each drawing the joint reference an ideal arm would follow at 1 kHz."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ruckig import InputParameter, OutputParameter, Ruckig, Synchronization
from scipy.signal import lfilter

from vla3d_ros.adapter.arm_motion import ArmMotion, MotionConfig
from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.ensembling import PoseEnsemble
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.trajectory import rest_trajectory, sample
from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.replay.chunk_stream import Delivery

Float = NDArray[np.float64]
Times = NDArray[np.int64]

STEP_NS = 1_000_000
_TOO_SOON_NS = 10_000_000
_ACT_DECAY = 0.01
_STEPS_AHEAD = 3  # the next target and what its velocity is taken from


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SeamRun:
    """What is executed: an arm at rest in q_start (J,), chunks as they arrive, steps dt_ns apart, until end_ns."""

    urdf_path: Path
    arm: ArmSpec
    kinematics: ArmKinematics
    motion: MotionConfig
    ee_speed: tuple[float, float]
    q_start: Float
    dt_ns: int
    deliveries: Sequence[Delivery]
    end_ns: int

    def grid_ns(self) -> Times:
        """(N,) the instants at which references are compared, every ms from the first arrival on."""
        return np.arange(self.deliveries[0].arrival_ns, self.end_ns, STEP_NS, dtype=np.int64)


SeamExecutor = Callable[[SeamRun], Float]
"""Maps a run to the joint reference (N, J) on its grid."""

_Reference = Callable[[Times], Float]


def execute_adapter(run: SeamRun) -> Float:
    """Ours: the very code the `adapter` node runs, without the gate."""
    motion = ArmMotion(run.urdf_path, run.arm, run.motion, ee_speed=run.ee_speed)
    fingers = run.arm.gripper.joint_names if run.arm.gripper else ()
    names = (*run.arm.joint_names, *fingers)

    def on_arrival(delivery: Delivery, before: _Reference) -> _Reference:
        q = np.append(before(np.array([delivery.arrival_ns]))[0], np.zeros(len(fingers)))
        motion.states.update(names, q, np.zeros(len(q)), delivery.arrival_ns)
        try:
            planned = motion.plan(delivery.chunk, delivery.arrival_ns)
        except StaleObservationError:
            return before  # every step is past: the arm goes on with what it has
        motion.execute(planned)
        return _along(planned.trajectory)

    return _draw(run, run.deliveries, on_arrival)


def execute_stream_switch(run: SeamRun) -> Float:
    """Naive, as often done: the newest chunk's pose of this instant is the position command, at 1 kHz."""

    def on_arrival(delivery: Delivery, before: _Reference) -> _Reference:
        chunk, now_ns = delivery.chunk, delivery.arrival_ns
        q_now = before(np.array([now_ns]))[0]
        begin = max(int(np.searchsorted(chunk.due_ns, now_ns, side="right")) - 1, 0)
        times_ns, q = chunk.due_ns[begin:], run.kinematics.solve_chunk(chunk.Ts_base_ee[begin:], q_now).q
        if now_ns < times_ns[0]:
            times_ns, q = np.append(now_ns, times_ns), np.vstack([q_now, q])
        return lambda t_ns: np.stack([np.interp(t_ns, times_ns, column) for column in q.T], axis=1)

    return _draw(run, run.deliveries, on_arrival)


def execute_trajectory_switch(run: SeamRun) -> Float:
    """Naive, well done: each chunk's remaining steps go to a trajectory controller, which splines over to them."""
    spline = _Spline(run)

    def on_arrival(delivery: Delivery, before: _Reference) -> _Reference:
        chunk, now_ns = delivery.chunk, delivery.arrival_ns
        ahead = chunk.due_ns > now_ns + _TOO_SOON_NS
        if not ahead.any():
            return before
        return spline.over(now_ns, chunk.due_ns[ahead], chunk.Ts_base_ee[ahead])

    return _draw(run, run.deliveries, on_arrival)


def execute_ensembling(run: SeamRun) -> Float:
    """Temporal ensembling: each step's target is the mean of what all chunks so far want then, splined over to."""
    first = run.deliveries[0].chunk
    span_ns = int(first.due_ns[-1]) - first.stamp_ns
    spline, ensemble = _Spline(run), PoseEnsemble(memory_ns=span_ns, decay=_ACT_DECAY)
    arrived = 0

    def on_step(step: Delivery, before: _Reference) -> _Reference:
        nonlocal arrived
        while arrived + 1 < len(run.deliveries) and run.deliveries[arrived + 1].arrival_ns <= step.arrival_ns:
            older = run.deliveries[arrived].chunk
            ensemble.add(older.stamp_ns, older.due_ns, older.Ts_base_ee)
            arrived += 1
        newest = run.deliveries[arrived].chunk
        ahead = newest.due_ns > step.arrival_ns + _TOO_SOON_NS
        if not ahead.any():
            return before
        times_ns, poses = newest.due_ns[ahead][:_STEPS_AHEAD], newest.Ts_base_ee[ahead][:_STEPS_AHEAD]
        return spline.over(step.arrival_ns, times_ns, ensemble.average(newest.stamp_ns, times_ns, poses))

    steps_ns = range(run.deliveries[0].arrival_ns, run.end_ns, run.dt_ns)
    steps = [Delivery(arrival_ns=step_ns, chunk=run.deliveries[0].chunk) for step_ns in steps_ns]
    return _draw(run, steps, on_step)


def with_motion(executor: SeamExecutor, **settings: float) -> SeamExecutor:
    """Return an executor with other motion settings."""
    return lambda run: executor(replace(run, motion=replace(run.motion, **settings)))


def with_low_pass(executor: SeamExecutor, delay_s: float) -> SeamExecutor:
    """Return an executor followed by three equal low-pass filters in a row, which together delay by `delay_s`."""

    def execute(run: SeamRun) -> Float:
        q = executor(run)
        pole = np.exp(-STEP_NS * 1e-9 / max(delay_s / 3.0, 1e-6))
        for _ in range(3):
            start = pole * q[:1]
            q = np.asarray(lfilter([1.0 - pole], [1.0, -pole], q, axis=0, zi=start)[0])
        return q

    return execute


def with_ruckig(executor: SeamExecutor) -> SeamExecutor:
    """Return an executor whose reference is followed as a moving target inside the arm's limits, jerk included."""

    def execute(run: SeamRun) -> Float:
        q = executor(run)
        joints, limits = q.shape[1], run.arm.limits
        generator, state, output = Ruckig(joints, STEP_NS * 1e-9), InputParameter(joints), OutputParameter(joints)
        state.current_position, state.target_position = q[0].tolist(), q[0].tolist()
        state.max_velocity, state.max_acceleration = limits.velocity.tolist(), limits.acceleration.tolist()
        state.max_jerk, state.synchronization = limits.jerk.tolist(), Synchronization.No
        dq = np.gradient(q, STEP_NS * 1e-9, axis=0)
        followed = np.empty_like(q)
        for i in range(len(q)):
            state.target_position = q[i].tolist()
            state.target_velocity = np.clip(dq[i], -limits.velocity, limits.velocity).tolist()
            generator.update(state, output)
            output.pass_to_input(state)
            followed[i] = output.new_position
        return followed

    return execute


class _Spline:
    """A trajectory controller that leaves whatever it draws in a cubic to the first knot of what comes next."""

    def __init__(self, run: SeamRun) -> None:
        self._run = run
        self._trajectory = _rest(run)

    def over(self, now_ns: int, times_ns: Times, Ts_base_ee: Float) -> _Reference:
        """Take over at now to poses (T, 4, 4) at times_ns (T,), with central differences as velocities."""
        q_now, dq_now = sample(self._trajectory, now_ns)
        q = np.vstack([q_now, self._run.kinematics.solve_chunk(Ts_base_ee, q_now).q])
        knots_ns = np.append(now_ns, times_ns)
        dq = np.gradient(q, knots_ns * 1e-9, axis=0)
        dq[0], dq[-1] = dq_now, 0.0
        self._trajectory = JointTrajectory(
            arm=self._run.arm.name, joint_names=self._run.arm.joint_names, times_ns=knots_ns, q=q, dq=dq
        )
        return _along(self._trajectory)


def _rest(run: SeamRun) -> JointTrajectory:
    return rest_trajectory(
        run.arm.name, run.arm.limits, run.q_start, run.deliveries[0].arrival_ns - STEP_NS, run.deliveries[0].arrival_ns
    )


def _along(trajectory: JointTrajectory) -> _Reference:
    return lambda t_ns: sample(trajectory, t_ns)[0]


def _draw(run: SeamRun, events: Sequence[Delivery], on_event: Callable[[Delivery, _Reference], _Reference]) -> Float:
    """Sample whatever is in force on the grid, from event to event."""
    grid_ns = run.grid_ns()
    q = np.empty((len(grid_ns), len(run.q_start)))
    reference = _along(_rest(run))
    for event, (begin_ns, end_ns) in zip(
        events, pairwise([*(event.arrival_ns for event in events), run.end_ns]), strict=True
    ):
        reference = on_event(event, reference)
        inside = slice(*np.searchsorted(grid_ns, [begin_ns, end_ns]).tolist())
        q[inside] = reference(grid_ns[inside])
    return q
