"""Fit smooth joint knots to what a policy asked for.

The knots are equally spaced and joined by cubics whose acceleration is continuous and piecewise linear. They start with
the position, velocity and acceleration the arm has at the end of its commitment, end at rest, and in between minimise

    sum (q - target)^2 + softness * sum jerk^2

which is linear in start state and targets: one matrix per number of knots, computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.trajectory import Reference
from vla3d_ros.datatypes import JointLimits

Float = NDArray[np.float64]

_SLOWDOWNS = (1.0, 1.1, 1.25, 1.5, 1.8, 2.3, 3.0, 4.5, 7.0)
_CUTOFFS_HZ = (5.0, 3.0)
_BRAKE_S = 0.15
_REST_KNOTS = 2
_SUBDIVISIONS = np.array([0.25, 0.5, 0.75])[:, None, None]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KnotFit:
    """K knots after the commitment, every dt: q, dq (K, J); how much slower than asked; which limit forced that.

    load is the highest share of a velocity, acceleration or jerk limit in use; above 1 the knots must not be executed.
    """

    q: Float
    dq: Float
    slowdown: float
    load: float
    limiting: str


def fit_knots(
    times_s: Float,
    targets: Float,
    start: Reference,
    dt_s: float,
    knots: int,
    limits: JointLimits,
    least_slowdown: float = 1.0,
) -> KnotFit:
    """Fit knots to targets, as fast as asked if the limits allow, else slowed down uniformly.

    The path is never extended beyond the last target; the last stretch is driven slower so as to end at rest.

    Args:
        times_s: (T,) due times relative to the start, increasing; at least one is positive.
        targets: (T, J) rad.
        start: State at time 0.
        dt_s: Knot spacing.
        knots: How many knots.
        limits: Limits the knots may use up.
        least_slowdown: Start the search here, >= 1.

    Returns:
        The first fit whose load is at most 1, or the one with the lowest load.
    """
    times_s, targets = np.append(0.0, times_s), np.vstack([start.q, targets])
    best: KnotFit | None = None
    limiting = "ee_speed" if least_slowdown > 1.0 else ""
    for slowdown in dict.fromkeys(max(step, least_slowdown) for step in _SLOWDOWNS):
        path_s = _path_times(float(times_s[-1]), dt_s, knots, slowdown)
        wanted = _interpolate(times_s, targets, path_s)
        for cutoff_hz in _CUTOFFS_HZ:
            q, dq, ddq = _smooth(start, wanted, dt_s, cutoff_hz)
            load, name = _load(start, q, dq, ddq, dt_s, limits)
            fit = KnotFit(q=q, dq=dq, slowdown=slowdown, load=load, limiting=limiting or name)
            if load <= 1.0:
                return fit
            limiting = limiting or name
            best = fit if best is None or load < best.load else best
    assert best is not None
    return best


def _path_times(end_s: float, dt_s: float, knots: int, slowdown: float) -> Float:
    """(knots,) times along the path at which the knots lie: slowed uniformly, then braking to rest before the end."""
    elapsed = dt_s * np.arange(1, knots + 1)
    room_s = dt_s * (knots - _REST_KNOTS)
    brake_s = min(_BRAKE_S, slowdown * end_s, room_s / 2)
    last = min(end_s, (room_s - brake_s) / slowdown)
    braking = np.clip((elapsed - (slowdown * last - brake_s)) / (2 * brake_s), 0.0, 1.0)
    cruise = np.minimum(elapsed, slowdown * last - brake_s)
    path_s: Float = (cruise + brake_s * braking * (2.0 - braking)) / slowdown
    return path_s


def _interpolate(times_s: Float, targets: Float, query_s: Float) -> Float:
    """Catmull-Rom interpolation of (T, J) targets; held beyond the ends."""
    slopes = np.gradient(targets, times_s, axis=0) if len(times_s) > 1 else np.zeros_like(targets)
    upper = np.clip(np.searchsorted(times_s, query_s), 1, len(times_s) - 1)
    D = (times_s[upper] - times_s[upper - 1])[:, None]
    x = np.clip((query_s - times_s[upper - 1])[:, None] / D, 0.0, 1.0)
    start, end = targets[upper - 1], targets[upper]
    v0, v1 = slopes[upper - 1] * D, slopes[upper] * D
    step = end - start
    interpolated: Float = start + x * (v0 + x * (3 * step - 2 * v0 - v1 + x * (v0 + v1 - 2 * step)))
    return interpolated


def _smooth(start: Reference, wanted: Float, dt_s: float, cutoff_hz: float) -> tuple[Float, Float, Float]:
    """Knots q, dq, ddq (K, J) for wanted positions (K, J)."""
    response, position, velocity = _response(len(wanted), dt_s, cutoff_hz)
    inputs = np.vstack([start.q, start.dq, start.ddq, wanted])
    ddq = response @ inputs
    elapsed = dt_s * np.arange(1, len(wanted) + 1)[:, None]
    q = start.q + elapsed * start.dq + position @ ddq
    dq = start.dq + velocity @ ddq
    dq[-1] = 0.0
    return q, dq, ddq[1:]


@lru_cache(maxsize=64)
def _response(knots: int, dt_s: float, cutoff_hz: float) -> tuple[Float, Float, Float]:
    """Matrices of the fit: accelerations (K+1, 3+K) from (q0, v0, a0, targets); q and v (K, K+1) from accelerations."""
    velocity = np.tril(np.ones((knots, knots + 1)), 0) + np.tril(np.ones((knots, knots + 1)), 1)
    velocity[:, 0] = 1.0
    velocity *= dt_s / 2
    position = np.zeros((knots, knots + 1))
    for k in range(knots):
        previous = position[k - 1] + dt_s * velocity[k - 1] if k else np.zeros(knots + 1)
        position[k] = previous
        position[k, k] += dt_s**2 / 3
        position[k, k + 1] += dt_s**2 / 6
    jerk = (np.eye(knots, knots + 1, 1) - np.eye(knots, knots + 1)) / dt_s
    softness = (2 * np.pi * cutoff_hz) ** -6
    hessian = position.T @ position + softness * (jerk.T @ jerk)
    constraints = np.zeros((3, knots + 1))
    constraints[0, 0], constraints[1, -1], constraints[2] = 1.0, 1.0, velocity[-1]
    inputs = _fit_inputs(position, dt_s, knots)
    system = np.block([[hessian, constraints.T], [constraints, np.zeros((3, 3))]])
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(system)), 1e-12))
    scale[-3:] = 1.0
    solution = np.linalg.solve(system * scale[:, None] * scale, inputs * scale[:, None]) * scale[:, None]
    return solution[: knots + 1], position, velocity


def _fit_inputs(position: Float, dt_s: float, knots: int) -> Float:
    """Right-hand sides per input column: start position, velocity, acceleration, then one per target."""
    elapsed = dt_s * np.arange(1, knots + 1)
    inputs = np.zeros((knots + 4, 3 + knots))
    inputs[: knots + 1, 0] = -position.sum(axis=0)
    inputs[: knots + 1, 1] = -position.T @ elapsed
    inputs[: knots + 1, 3:] = position.T
    inputs[-3, 2] = 1.0
    inputs[-1, 1] = -1.0
    return inputs


def _load(start: Reference, q: Float, dq: Float, ddq: Float, dt_s: float, limits: JointLimits) -> tuple[float, str]:
    """Highest share of a limit in use between the start and the last knot, and a name for it."""
    q0, v0, a0 = (np.vstack([first, rest[:-1]]) for first, rest in ((start.q, q), (start.dq, dq), (start.ddq, ddq)))
    jerk = (ddq - a0) / dt_s
    t = _SUBDIVISIONS * dt_s
    between_q = q0 + t * (v0 + t * (a0 / 2 + t * jerk / 6))
    between_v = v0 + t * (a0 + t * jerk / 2)
    all_q, all_v = np.concatenate([between_q, q[None]]), np.concatenate([between_v, dq[None]])
    lowest, highest = limits.velocity_bounds(np.clip(all_q, limits.q_lower, limits.q_upper))
    velocity = np.where(all_v >= 0, all_v / np.maximum(highest, 1e-3), all_v / np.minimum(lowest, -1e-3))
    acceleration = np.abs(ddq) / limits.acceleration
    outside = np.maximum(all_q - limits.q_upper, limits.q_lower - all_q)
    loads = {
        "velocity": velocity.max(axis=(0, 1)),
        "acceleration": acceleration.max(axis=0),
        "jerk": (np.abs(jerk) / limits.jerk).max(axis=0),
        "position": np.where(outside.max(axis=(0, 1)) > 0, 10.0, 0.0),
    }
    worst = max(loads, key=lambda name: float(loads[name].max()))
    joint = int(loads[worst].argmax())
    return float(loads[worst][joint]), f"{worst} of {limits.joint_names[joint]}"
