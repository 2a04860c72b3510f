"""Joint trajectories: sampling exactly as a ros2_control trajectory controller does, braking, and moving home."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import JointLimits, JointTrajectory

Float = NDArray[np.float64]
Times = NDArray[np.int64]

_HOME_STEP_NS = 40_000_000
_MIN_HOME_STEPS = 4
_ROUNDING_MARGIN = 1.02  # cubic pieces of a quintic peak slightly higher than the quintic itself
_QUINTIC_PEAK_2, _QUINTIC_PEAK_3 = 5.7736, 60.0  # largest second and third derivative of the least-jerk quintic
_SLOWEST_RAD_S = 1e-3
_SHORTEST_STOP_US = 1000
_SAME_KNOT_NS = 10_000  # knots closer together would cost more in rounding than they tell


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reference:
    """What a trajectory asks of the joints at one instant: q rad, dq rad/s, ddq rad/s^2, each (J,)."""

    stamp_ns: int
    q: Float
    dq: Float
    ddq: Float


def sample(trajectory: JointTrajectory, t_ns: int | Times) -> tuple[Float, Float]:
    """Evaluate a trajectory between its knots by cubic Hermite interpolation.

    Before the first knot the first position is held, after the last knot the last one, both at rest.

    Args:
        trajectory: The knots.
        t_ns: One instant, or (N,) instants.

    Returns:
        q and dq, (J,) or (N, J).
    """
    q, dq, _ = _evaluate(trajectory, np.atleast_1d(np.asarray(t_ns, dtype=np.int64)))
    return (q[0], dq[0]) if np.ndim(t_ns) == 0 else (q, dq)


def reference_at(trajectory: JointTrajectory, t_ns: int) -> Reference:
    """Return position, velocity and acceleration at an instant; at a knot, those of the segment that ends there."""
    q, dq, ddq = _evaluate(trajectory, np.array([t_ns], dtype=np.int64))
    return Reference(stamp_ns=t_ns, q=q[0], dq=dq[0], ddq=ddq[0])


def committed_prefix(trajectory: JointTrajectory, now_ns: int, until_ns: int) -> tuple[Times, Float, Float]:
    """Return the knots which reproduce a trajectory from now until an instant.

    The first knot is the last one at or before now, so that a controller which forgets the old trajectory and evaluates
    the new one at now finds the same curve; the last knot lies at `until_ns` exactly.

    Args:
        trajectory: The trajectory in execution.
        now_ns: Current time.
        until_ns: End of the commitment, at or after now.

    Returns:
        times_ns (K,), q (K, J), dq (K, J).
    """
    first_ns = int(trajectory.times_ns[0])
    before = int(np.searchsorted(trajectory.times_ns, now_ns, side="right")) - 1
    inside = trajectory.times_ns[max(before, 0) :]
    apart = inside < until_ns - _SAME_KNOT_NS
    apart[0] |= inside[0] < until_ns
    inside = inside[apart]
    times_ns = np.append(inside, until_ns)
    if now_ns < first_ns:
        times_ns = np.append(now_ns, times_ns)
    q, dq = sample(trajectory, times_ns)
    return times_ns, q, dq


def rest_trajectory(arm: str, limits: JointLimits, q: Float, start_ns: int, end_ns: int) -> JointTrajectory:
    """Hold q (J,) still from one instant to another."""
    times_ns = np.array([start_ns, end_ns], dtype=np.int64)
    positions = np.stack([q, q])
    return JointTrajectory(
        arm=arm, joint_names=limits.joint_names, times_ns=times_ns, q=positions, dq=np.zeros_like(positions)
    )


def stop_trajectory(arm: str, reference: Reference, limits: JointLimits) -> JointTrajectory:
    """Bring every joint to rest as fast as its acceleration and jerk limits allow.

    The knots lie where a joint's jerk changes, so that cubic interpolation reproduces the profile exactly.

    Args:
        arm: Name of the arm.
        reference: Where to start; the first knot lies there.
        limits: (J,) acceleration and jerk limits.

    Returns:
        At least two knots; the last is at rest.
    """
    ddq = np.clip(reference.ddq, -limits.acceleration, limits.acceleration)
    start = replace(reference, ddq=ddq)
    jerks, durations = _braking_profile(start.dq, ddq, limits.acceleration, limits.jerk)
    ends_us = np.unique(np.ceil(np.cumsum(durations, axis=0).ravel() * 1e6).astype(np.int64))
    ends_us = np.append(ends_us[ends_us > 0], max(int(ends_us.max()) + 1, _SHORTEST_STOP_US))
    offsets_ns = np.concatenate([[0], ends_us * 1000])
    q, dq = _integrate(start, jerks, durations, offsets_ns * 1e-9)
    dq[-1] = 0.0
    times_ns = reference.stamp_ns + offsets_ns
    return JointTrajectory(arm=arm, joint_names=limits.joint_names, times_ns=times_ns, q=q, dq=dq)


def home_trajectory(
    arm: str, q_from: Float, q_to: Float, now_ns: int, limits: JointLimits, speed_fraction: float
) -> JointTrajectory:
    """Move from rest to rest along a straight line in joint space, with the least jerk.

    Args:
        arm: Name of the arm.
        q_from: (J,) rad.
        q_to: (J,) rad.
        now_ns: Start.
        limits: Joint limits; velocity limits are those at the positions passed.
        speed_fraction: How much of velocity, acceleration and jerk limits to use, in (0, 1].

    Returns:
        Knots every 40 ms.
    """
    duration_s = _home_duration_s(q_from, q_to - q_from, limits, speed_fraction)
    steps = max(int(np.ceil(duration_s * 1e9 / _HOME_STEP_NS)), _MIN_HOME_STEPS)
    progress, rate = _least_jerk(np.linspace(0.0, 1.0, steps + 1)[:, None])
    return JointTrajectory(
        arm=arm,
        joint_names=limits.joint_names,
        times_ns=now_ns + _HOME_STEP_NS * np.arange(steps + 1, dtype=np.int64),
        q=q_from + progress * (q_to - q_from),
        dq=rate * (q_to - q_from) / (steps * _HOME_STEP_NS * 1e-9),
    )


def join(prefix: tuple[Times, Float, Float], trajectory: JointTrajectory) -> JointTrajectory:
    """Put committed knots in front of a trajectory that starts where they end."""
    times_ns, q, dq = prefix
    keep = times_ns < trajectory.times_ns[0]
    return JointTrajectory(
        arm=trajectory.arm,
        joint_names=trajectory.joint_names,
        times_ns=np.concatenate([times_ns[keep], trajectory.times_ns]),
        q=np.concatenate([q[keep], trajectory.q]),
        dq=np.concatenate([dq[keep], trajectory.dq]),
    )


def _least_jerk(s: Float) -> tuple[Float, Float]:
    """Progress and its derivative along the quintic from 0 to 1 which starts and ends at rest."""
    return s**3 * (10.0 - 15.0 * s + 6.0 * s * s), 30.0 * s**2 * (1.0 - s) ** 2


def _home_duration_s(q_from: Float, distance: Float, limits: JointLimits, speed_fraction: float) -> float:
    progress, rate = _least_jerk(np.linspace(0.0, 1.0, 101)[1:-1, None])
    lowest, highest = limits.velocity_bounds(q_from + progress * distance)
    allowed = np.maximum(np.where(distance > 0, highest, -lowest), _SLOWEST_RAD_S)
    by_velocity = (rate * np.abs(distance) / allowed).max() / speed_fraction
    by_acceleration = np.sqrt((_QUINTIC_PEAK_2 * np.abs(distance) / limits.acceleration).max() / speed_fraction)
    by_jerk = np.cbrt((_QUINTIC_PEAK_3 * np.abs(distance) / limits.jerk).max() / speed_fraction)
    return _ROUNDING_MARGIN * float(max(by_velocity, by_acceleration, by_jerk))


def _evaluate(trajectory: JointTrajectory, t_ns: Times) -> tuple[Float, Float, Float]:
    times_ns, q, dq = trajectory.times_ns, trajectory.q, trajectory.dq
    if len(times_ns) == 1:
        held = np.repeat(q, len(t_ns), axis=0)
        return held, np.zeros_like(held), np.zeros_like(held)
    upper = np.clip(np.searchsorted(times_ns, t_ns, side="left"), 1, len(times_ns) - 1)
    lower = upper - 1
    D = ((times_ns[upper] - times_ns[lower]) * 1e-9)[:, None]
    d = ((t_ns - times_ns[lower]) * 1e-9)[:, None]
    step, v0, v1 = q[upper] - q[lower], dq[lower], dq[upper]
    c2 = (3 * step - (2 * v0 + v1) * D) / D**2
    c3 = (-2 * step + (v0 + v1) * D) / D**3
    sampled = q[lower] + d * (v0 + d * (c2 + d * c3))
    velocity, acceleration = v0 + d * (2 * c2 + 3 * d * c3), 2 * c2 + 6 * d * c3
    before, after = t_ns < times_ns[0], t_ns > times_ns[-1]
    sampled[before], sampled[after] = q[0], q[-1]
    velocity[before | after], acceleration[before | after] = 0.0, 0.0
    return sampled, velocity, acceleration


def _braking_profile(dq: Float, ddq: Float, acceleration: Float, jerk: Float) -> tuple[Float, Float]:
    """(3, J) jerks and durations in s: build up braking, hold it, release it, per joint."""
    direction = np.sign(dq + ddq * np.abs(ddq) / (2 * jerk))
    direction = np.where(direction == 0, 1.0, direction)
    v0, a0 = dq * direction, np.clip(ddq * direction, -acceleration, acceleration)
    peak = np.minimum(np.sqrt(np.maximum(jerk * v0 + a0**2 / 2, 0.0)), acceleration)
    build = np.maximum((a0 + peak) / jerk, 0.0)
    release = peak / jerk
    speed_left = v0 + (a0**2 - peak**2) / (2 * jerk) - peak**2 / (2 * jerk)
    hold = np.where(peak > 0, np.maximum(speed_left, 0.0) / np.maximum(peak, 1e-12), 0.0)
    jerks = np.stack([-jerk * direction, np.zeros_like(jerk), jerk * direction])
    return jerks, np.stack([build, hold, release])


def _integrate(reference: Reference, jerks: Float, durations: Float, seconds: Float) -> tuple[Float, Float]:
    """Integrate per-joint piecewise constant jerk up to each of the (N,) seconds: q and dq (N, J)."""
    q = np.repeat(reference.q[None], len(seconds), axis=0)
    v, a = np.repeat(reference.dq[None], len(seconds), axis=0), np.repeat(reference.ddq[None], len(seconds), axis=0)
    start = np.zeros_like(reference.q)
    for jerk, duration in zip(jerks, durations, strict=True):
        t = np.clip(seconds[:, None] - start, 0.0, duration)
        q = q + t * (v + t * (a / 2 + t * jerk / 6))
        v, a = v + t * (a + t * jerk / 2), a + t * jerk
        start = start + duration
    is_over = seconds[:, None] > start
    return q, np.where(is_over, 0.0, v)
