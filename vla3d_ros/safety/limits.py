"""Kinematic checks of a joint trajectory, on the curve the controller will really draw between the knots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.datatypes import JointLimits, JointTrajectory, Reason

Float = NDArray[np.float64]

_FRACTIONS = np.linspace(0.0, 1.0, 5)[:, None, None]
_TOLERANCE = 1e-3  # share of a limit that rounding may exceed
_WINDOW_STEPS = 4  # of the jerk's window
_POSITION_TOLERANCE_RAD = 1e-6
_SLOWEST_RAD_S = 0.02  # braking at the very edge of the position range has to be allowed some speed


def check_joint_limits(trajectory: JointTrajectory, limits: JointLimits) -> list[Reason]:
    """Check position, position-dependent velocity and acceleration along cubic pieces.

    Args:
        trajectory: Finite knots, at least two.
        limits: Limits of the same joints in the same order.

    Returns:
        One reason per kind of violation, naming the worst joint with value and limit; empty if there is none.
    """
    q, dq, ddq = _along(trajectory)
    lowest, highest = limits.velocity_bounds(q)
    position = np.maximum(q - limits.q_upper, limits.q_lower - q)
    speed = np.abs(dq) - np.maximum(np.where(dq >= 0, highest, -lowest) * (1 + _TOLERANCE), _SLOWEST_RAD_S)
    acceleration = np.abs(ddq) - limits.acceleration * (1 + _TOLERANCE)
    reasons = []
    if position.max() > _POSITION_TOLERANCE_RAD:
        at, joint = _worst(position)
        bounds = f"[{limits.q_lower[joint]:.4f}, {limits.q_upper[joint]:.4f}] rad"
        reasons.append(
            _reason("joint_position", limits, joint, f"would reach {q[at][joint]:.4f} rad, allowed {bounds}")
        )
    if speed.max() > 0:
        at, joint = _worst(speed)
        allowed = (highest if dq[at][joint] >= 0 else lowest)[at][joint]
        text = f"would move at {dq[at][joint]:.3f} rad/s, allowed {allowed:.3f} rad/s at {q[at][joint]:.3f} rad"
        reasons.append(_reason("joint_velocity", limits, joint, text))
    if acceleration.max() > 0:
        at, joint = _worst(acceleration)
        text = f"would accelerate with {ddq[at][joint]:.2f} rad/s^2, allowed {limits.acceleration[joint]:.2f} rad/s^2"
        reasons.append(_reason("joint_acceleration", limits, joint, text))
    return reasons


def check_jerk(trajectory: JointTrajectory, limits: JointLimits, window_s: float) -> list[Reason]:
    """Check how fast the acceleration changes, on average over a window.

    A controller that draws cubic pieces steps its acceleration at every knot, so the jerk at an instant says nothing;
    what the motors feel is the change over the time their servo needs.

    Args:
        trajectory: Finite knots, at least two.
        limits: Limits of the same joints in the same order.
        window_s: The time; 0 = no check.

    Returns:
        A reason naming the worst joint with value and limit, or nothing.
    """
    if window_s <= 0.0:
        return []
    seconds = (trajectory.times_ns - trajectory.times_ns[0]) * 1e-9
    grid = np.arange(seconds[0], seconds[-1] + 2 * window_s, window_s / _WINDOW_STEPS)
    _, _, ddq = _along(trajectory)
    piece = np.clip(np.searchsorted(seconds, grid, side="right") - 1, 0, len(seconds) - 2)
    share = np.clip((grid - seconds[piece]) / np.diff(seconds)[piece], 0.0, 1.0)[:, None]
    along = ddq[0, piece] + share * (ddq[-1, piece] - ddq[0, piece])
    along[grid >= seconds[-1]] = 0.0
    jerk = np.abs(along[_WINDOW_STEPS:] - along[:-_WINDOW_STEPS]) / window_s
    excess = jerk - limits.jerk * (1 + _TOLERANCE)
    if excess.max() <= 0:
        return []
    at, joint = np.unravel_index(int(excess.argmax()), excess.shape)
    text = f"would jerk with {jerk[at, joint]:.0f} rad/s^3 over {1e3 * window_s:.0f} ms"
    return [_reason("joint_jerk", limits, int(joint), f"{text}, allowed {limits.jerk[joint]:.0f} rad/s^3")]


def _along(trajectory: JointTrajectory) -> tuple[Float, Float, Float]:
    """q, dq, ddq (5, T-1, J) at five places of every piece, both ends included."""
    D = (np.diff(trajectory.times_ns) * 1e-9)[:, None]
    q0, q1, v0, v1 = trajectory.q[:-1], trajectory.q[1:], trajectory.dq[:-1], trajectory.dq[1:]
    c2 = (3 * (q1 - q0) - (2 * v0 + v1) * D) / D**2
    c3 = (-2 * (q1 - q0) + (v0 + v1) * D) / D**3
    d = _FRACTIONS * D
    return q0 + d * (v0 + d * (c2 + d * c3)), v0 + d * (2 * c2 + 3 * d * c3), 2 * c2 + 6 * d * c3


def _worst(excess: Float) -> tuple[tuple[int, int], int]:
    fraction, piece, joint = np.unravel_index(int(excess.argmax()), excess.shape)
    return (int(fraction), int(piece)), int(joint)


def _reason(check: str, limits: JointLimits, joint: int, text: str) -> Reason:
    return Reason(check=check, message=f"joint '{limits.joint_names[joint]}' {text}")
