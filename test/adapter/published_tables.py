"""Denavit-Hartenberg tables as the manufacturers publish them, and the forward kinematics they mean."""

import numpy as np

HALF = np.pi / 2
DEGREE = np.pi / 180

# Modified convention: a, d, alpha, theta offset per joint.
FRANKA = [
    (0.0, 0.333, 0.0, 0.0),
    (0.0, 0.0, -HALF, 0.0),
    (0.0, 0.316, HALF, 0.0),
    (0.0825, 0.0, HALF, 0.0),
    (-0.0825, 0.384, -HALF, 0.0),
    (0.0, 0.0, HALF, 0.0),
    (0.088, 0.0, HALF, 0.0),
]


def piper(second, third):
    return [
        (0.0, 0.123, 0.0, 0.0),
        (0.0, 0.0, -HALF, second * DEGREE),
        (0.28503, 0.0, 0.0, third * DEGREE),
        (-0.02198, 0.25075, HALF, 0.0),
        (0.0, 0.0, -HALF, 0.0),
        (0.0, 0.091, HALF, 0.0),
    ]


PIPER = piper(-172.22, -102.78)
PIPER_BEFORE_V163 = piper(-174.22, -100.78)
XARM7 = [
    (0.0, 0.267, 0.0, 0.0),
    (0.0, 0.0, -HALF, 0.0),
    (0.0, 0.293, HALF, 0.0),
    (0.0525, 0.0, HALF, 0.0),
    (0.0775, 0.3425, HALF, 0.0),
    (0.0, 0.0, HALF, 0.0),
    (0.076, 0.097, -HALF, 0.0),
]

# Standard convention: d, a, alpha, theta offset per joint.
UR5E = [
    (0.1625, 0.0, HALF, 0.0),
    (0.0, -0.425, 0.0, 0.0),
    (0.0, -0.3922, 0.0, 0.0),
    (0.1333, 0.0, HALF, 0.0),
    (0.0997, 0.0, -HALF, 0.0),
    (0.0996, 0.0, 0.0, 0.0),
]
XARM6 = [
    (0.267, 0.0, -HALF, 0.0),
    (0.0, 0.28948866, 0.0, -1.3849179),
    (0.0, 0.0775, -HALF, 1.3849179),
    (0.3425, 0.0, HALF, 0.0),
    (0.0, 0.076, -HALF, 0.0),
    (0.097, 0.0, 0.0, 0.0),
]


def modified(table, q):
    """Pose (4, 4) of the last frame: Rx(alpha) Tx(a) Rz(theta) Tz(d) per joint."""
    T = np.eye(4)
    for (a, d, alpha, offset), angle in zip(table, q, strict=True):
        T = T @ turn(0, alpha) @ shift(0, a) @ turn(2, angle + offset) @ shift(2, d)
    return T


def standard(table, q):
    """Pose (4, 4) of the last frame: Rz(theta) Tz(d) Tx(a) Rx(alpha) per joint."""
    T = np.eye(4)
    for (d, a, alpha, offset), angle in zip(table, q, strict=True):
        T = T @ turn(2, angle + offset) @ shift(2, d) @ shift(0, a) @ turn(0, alpha)
    return T


def shift(axis, metres):
    T = np.eye(4)
    T[axis, 3] = metres
    return T


def turn(axis, angle):
    T = np.eye(4)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    T[i, i] = T[j, j] = np.cos(angle)
    T[j, i] = np.sin(angle)
    T[i, j] = -T[j, i]
    return T
