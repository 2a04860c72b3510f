"""Closed-form solutions of AX = XB, the first guess of a hand-eye calibration.

A are motions of the frame the camera is mounted on, B the same motions seen by the camera; X is the pose of the camera
in its mount. Written in NumPy because not every OpenCV release has its hand-eye solvers in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
Solver = Callable[[Float, Float], Transform]

_TINY = 1e-12


def solve_tsai(A: Float, B: Float) -> Transform:
    """Tsai and Lenz 1989: rotation through modified Rodrigues vectors, then translation. A, B: (N, 4, 4)."""
    a, b = _half_angle_vectors(A), _half_angle_vectors(B)
    g = np.asarray(np.linalg.lstsq(_skews(a + b).reshape(-1, 3), (b - a).ravel(), rcond=None)[0], dtype=np.float64)
    return _with_translation(Rotation.from_mrp(_mrp_of_cayley(g)).as_matrix(), A, B)


def solve_park(A: Float, B: Float) -> Transform:
    """Park and Martin 1994: least squares over logarithms of rotations, then translation. A, B: (N, 4, 4)."""
    a, b = _rotation_vectors(A), _rotation_vectors(B)
    return _with_translation(_nearest_rotation(a.T @ b), A, B)


def solve_horaud(A: Float, B: Float) -> Transform:
    """Horaud and Dornaika 1995: unit axes, rotation as an eigenvector of quaternions. A, B: (N, 4, 4)."""
    a, b = _unit(_rotation_vectors(A)), _unit(_rotation_vectors(B))
    M = np.zeros((4, 4))
    for left, right in zip(a, b, strict=True):
        difference = _left(left) - _right(right)
        M += difference.T @ difference
    wxyz = np.linalg.eigh(M)[1][:, 0]
    return _with_translation(_rotation_of_wxyz(wxyz), A, B)


def solve_daniilidis(A: Float, B: Float) -> Transform:
    """Daniilidis 1999: dual quaternions, rotation and translation at once. A, B: (N, 4, 4)."""
    rows = []
    for (a, a_dual), (b, b_dual) in zip(map(_dual_quaternion, A), map(_dual_quaternion, B), strict=True):
        real = np.column_stack([a[1:] - b[1:], _skew(a[1:] + b[1:])])
        dual = np.column_stack([a_dual[1:] - b_dual[1:], _skew(a_dual[1:] + b_dual[1:])])
        rows += [np.hstack([real, np.zeros((3, 4))]), np.hstack([dual, real])]
    v7, v8 = np.linalg.svd(np.vstack(rows), full_matrices=False)[2][-2:]
    u1, w1, u2, w2 = v7[:4], v7[4:], v8[:4], v8[4:]
    # q = l1 u1 + l2 u2 with |q| = 1, and q perpendicular to its dual part: a quadratic in s = l1 / l2.
    first, middle, last = u1 @ w1, u1 @ w2 + u2 @ w1, u2 @ w2
    ratios = np.roots([first, middle, last]) if abs(first) > _TINY else np.array([-last / (middle or _TINY)])
    norms = [s * s * (u1 @ u1) + 2.0 * s * (u1 @ u2) + u2 @ u2 for s in ratios.real]
    best = int(np.argmax(norms))
    l2 = 1.0 / np.sqrt(norms[best])
    l1 = ratios.real[best] * l2
    q, q_dual = l1 * u1 + l2 * u2, l1 * w1 + l2 * w2
    translation = 2.0 * (_left_product(q_dual) @ (q * [1.0, -1.0, -1.0, -1.0]))[1:]
    return Transform.from_rotation(_rotation_of_wxyz(q), translation)


def solve_andreff(A: Float, B: Float) -> Transform:
    """Andreff, Horaud and Espiau 1999: the Kronecker product makes the rotation linear. A, B: (N, 4, 4)."""
    blocks = [np.eye(9) - np.kron(a[:3, :3], b[:3, :3]) for a, b in zip(A, B, strict=True)]
    R = np.linalg.svd(np.vstack(blocks), full_matrices=False)[2][-1].reshape(3, 3)
    return _with_translation(_nearest_rotation(R * np.sign(np.linalg.det(R))), A, B)


SOLVERS: Mapping[str, Solver] = {
    "tsai": solve_tsai,
    "park": solve_park,
    "horaud": solve_horaud,
    "daniilidis": solve_daniilidis,
    "andreff": solve_andreff,
}


def _with_translation(R: Float, A: Float, B: Float) -> Transform:
    """Add the translation: (R_A - I) t = R t_B - t_A in least squares."""
    left = (A[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    right = (B[:, :3, 3] @ R.T - A[:, :3, 3]).ravel()
    t, *_ = np.linalg.lstsq(left, right, rcond=None)
    return Transform.from_rotation(R, t)


def _nearest_rotation(M: Float) -> Float:
    U, _, Vt = np.linalg.svd(M)
    R: Float = U @ np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))]) @ Vt
    return R


def _rotation_vectors(T: Float) -> Float:
    vectors: Float = Rotation.from_matrix(T[:, :3, :3]).as_rotvec()
    return vectors


def _half_angle_vectors(T: Float) -> Float:
    """(N, 3) axes times 2 sin(angle / 2)."""
    vectors = _rotation_vectors(T)
    angles = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float = _unit(vectors) * 2.0 * np.sin(angles / 2.0)
    return scaled


def _mrp_of_cayley(g: Float) -> Float:
    """Turn axis * tan(angle / 2) into axis * tan(angle / 4)."""
    return g / (1.0 + np.sqrt(1.0 + g @ g))


def _unit(vectors: Float) -> Float:
    unit: Float = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
    return unit


def _skew(v: Float) -> Float:
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def _skews(v: Float) -> Float:
    return np.stack([_skew(row) for row in v])


def _left(v: Float) -> Float:
    """(4, 4) product with a pure quaternion from the left, w x y z."""
    return _left_product(np.array([0.0, *v]))


def _right(v: Float) -> Float:
    """(4, 4) product with a pure quaternion from the right, w x y z."""
    M = np.zeros((4, 4))
    M[0, 1:], M[1:, 0], M[1:, 1:] = -v, v, -_skew(v)
    return M


def _left_product(q: Float) -> Float:
    M: Float = q[0] * np.eye(4)
    M[0, 1:] -= q[1:]
    M[1:, 0] += q[1:]
    M[1:, 1:] += _skew(q[1:])
    return M


def _dual_quaternion(T: Float) -> tuple[Float, Float]:
    """Return the real and dual part (4,) each, w x y z, with w >= 0."""
    x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
    q = np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)
    return q, 0.5 * _left(T[:3, 3]) @ q


def _rotation_of_wxyz(q: Float) -> Float:
    R: Float = Rotation.from_quat([q[1], q[2], q[3], q[0]]).as_matrix()
    return R
