"""Rigid transforms: `T_a_b` maps coordinates in b to coordinates in a (the pose of b expressed in a)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from vla3d_ros.errors import ShapeError

Float = NDArray[np.float64]

_SMALL_ANGLE_RAD = 1e-8
_QUATERNION_TOLERANCE = 1e-3
_ORTHONORMAL_TOLERANCE = 1e-6


class Transform:
    """An element of SE(3), immutable.

    Names carry both frames, inner names cancel: `T_base_camera = T_base_ee @ T_ee_camera`.
    """

    __slots__ = ("_matrix",)

    def __init__(self, matrix: ArrayLike) -> None:
        """Take a homogeneous matrix.

        Args:
            matrix: (4, 4), rotation orthonormal within 1e-6, translation in metres.

        Raises:
            ShapeError: If the matrix is not a finite rigid transform.
        """
        array = np.array(matrix, dtype=np.float64)
        problem = _rigid_problem(array)
        if problem:
            raise ShapeError(f"transform {problem}; expected a finite rigid (4, 4) matrix")
        array.setflags(write=False)
        self._matrix: Float = array

    @classmethod
    def identity(cls) -> Transform:
        """Return the transform between a frame and itself."""
        return cls(np.eye(4))

    @classmethod
    def from_xyzw(cls, p_a_b: ArrayLike, xyzw: ArrayLike) -> Transform:
        """Build from a translation and a unit quaternion in ROS order.

        Args:
            p_a_b: (3,) metres, origin of b in a.
            xyzw: (4,) quaternion x, y, z, w; its norm must be 1 within 1e-3.

        Raises:
            ShapeError: If the quaternion is not of unit length.
        """
        quaternion = np.asarray(xyzw, dtype=np.float64)
        norm = float(np.linalg.norm(quaternion))
        if quaternion.shape != (4,) or not abs(norm - 1.0) <= _QUATERNION_TOLERANCE:
            raise ShapeError(f"quaternion {quaternion.tolist()} has norm {norm:.6g}; expected a unit xyzw quaternion")
        return cls.from_rotation(Rotation.from_quat(quaternion).as_matrix(), p_a_b)

    @classmethod
    def from_rpy(cls, p_a_b: ArrayLike, rpy_rad: ArrayLike) -> Transform:
        """Build from a translation and URDF roll-pitch-yaw (extrinsic x, y, z), metres and radians."""
        return cls.from_rotation(Rotation.from_euler("xyz", np.asarray(rpy_rad, dtype=np.float64)).as_matrix(), p_a_b)

    @classmethod
    def from_rotation(cls, R_a_b: ArrayLike, p_a_b: ArrayLike = (0.0, 0.0, 0.0)) -> Transform:
        """Build from a (3, 3) rotation matrix and a (3,) translation in metres."""
        matrix = np.eye(4)
        matrix[:3, :3] = R_a_b
        matrix[:3, 3] = p_a_b
        return cls(matrix)

    @property
    def matrix(self) -> Float:
        """(4, 4) float64, read-only."""
        return self._matrix

    @property
    def rotation(self) -> Float:
        """(3, 3) float64 rotation `R_a_b`, read-only."""
        return self._matrix[:3, :3]

    @property
    def translation(self) -> Float:
        """(3,) float64 metres, origin of b in a, read-only."""
        return self._matrix[:3, 3]

    @property
    def xyzw(self) -> Float:
        """(4,) unit quaternion in ROS order, w >= 0."""
        quaternion: Float = Rotation.from_matrix(self.rotation).as_quat()
        return -quaternion if quaternion[3] < 0 else quaternion

    def inverse(self) -> Transform:
        """Return `T_b_a`."""
        R_b_a = self.rotation.T
        return Transform.from_rotation(R_b_a, -R_b_a @ self.translation)

    def apply(self, points: ArrayLike) -> Float:
        """Map (..., 3) points in b, metres, to points in a."""
        mapped: Float = np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation
        return mapped

    def __matmul__(self, other: Transform) -> Transform:
        return Transform(_orthonormalised(self._matrix @ other.matrix))

    def distance_to(self, other: Transform) -> tuple[float, float]:
        """Return (metres, radians) between two poses in the same frame."""
        delta = self.rotation.T @ other.rotation
        angle_rad = float(np.linalg.norm(Rotation.from_matrix(delta).as_rotvec()))
        return float(np.linalg.norm(self.translation - other.translation)), angle_rad

    def __repr__(self) -> str:
        p = ", ".join(f"{x:.4f}" for x in self.translation)
        q = ", ".join(f"{x:.4f}" for x in self.xyzw)
        return f"Transform(p=[{p}] m, xyzw=[{q}])"


def exp_se3(twist: ArrayLike) -> Float:
    """Map twists to rigid transforms (the exponential of SE(3)).

    Args:
        twist: (..., 6) linear part in metres, then rotation vector in radians.

    Returns:
        (..., 4, 4) float64.
    """
    xi = np.asarray(twist, dtype=np.float64)
    v, w = xi[..., :3], xi[..., 3:]
    matrices = np.zeros((*xi.shape[:-1], 4, 4))
    matrices[..., :3, :3] = Rotation.from_rotvec(w.reshape(-1, 3)).as_matrix().reshape(*xi.shape[:-1], 3, 3)
    matrices[..., :3, 3] = np.einsum("...ij,...j->...i", _left_jacobian(w), v)
    matrices[..., 3, 3] = 1.0
    return matrices


def log_se3(matrices: ArrayLike) -> Float:
    """Map rigid transforms to twists, the inverse of `exp_se3` for rotations below pi.

    Args:
        matrices: (..., 4, 4).

    Returns:
        (..., 6) linear part in metres, then rotation vector in radians.
    """
    T = np.asarray(matrices, dtype=np.float64)
    w = Rotation.from_matrix(T[..., :3, :3].reshape(-1, 3, 3)).as_rotvec().reshape(*T.shape[:-2], 3)
    v = np.linalg.solve(_left_jacobian(w), T[..., :3, 3, None])[..., 0]
    return np.concatenate([v, w], axis=-1)


def stack(transforms: Sequence[Transform]) -> Float:
    """Return the (N, 4, 4) stack of N transforms."""
    return np.stack([transform.matrix for transform in transforms])


def _skew(w: Float) -> Float:
    S = np.zeros((*w.shape[:-1], 3, 3))
    S[..., 0, 1], S[..., 0, 2] = -w[..., 2], w[..., 1]
    S[..., 1, 0], S[..., 1, 2] = w[..., 2], -w[..., 0]
    S[..., 2, 0], S[..., 2, 1] = -w[..., 1], w[..., 0]
    return S


def _left_jacobian(w: Float) -> Float:
    """(..., 3, 3) left Jacobian of SO(3) at rotation vector w (..., 3)."""
    angle = np.linalg.norm(w, axis=-1)[..., None, None]
    S = _skew(w)
    is_small = angle < _SMALL_ANGLE_RAD
    safe = np.where(is_small, 1.0, angle)
    a = np.where(is_small, 0.5, (1.0 - np.cos(safe)) / safe**2)
    b = np.where(is_small, 1.0 / 6.0, (safe - np.sin(safe)) / safe**3)
    jacobian: Float = np.eye(3) + a * S + b * (S @ S)
    return jacobian


def _orthonormalised(matrix: Float) -> Float:
    """One Newton step towards the nearest rotation: long products do not drift."""
    R = matrix[:3, :3]
    matrix[:3, :3] = 0.5 * R @ (3.0 * np.eye(3) - R.T @ R)
    return matrix


def _rigid_problem(array: Float) -> str | None:
    if array.shape != (4, 4):
        return f"has shape {array.shape}"
    if not np.isfinite(array).all():
        return f"is not finite: {array.tolist()}"
    R = array[:3, :3]
    error = float(np.abs(R @ R.T - np.eye(3)).max())
    if error > _ORTHONORMAL_TOLERANCE or np.linalg.det(R) < 0:
        return f"has a rotation that is not orthonormal (error {error:.3g}, det {np.linalg.det(R):.3g})"
    if not np.array_equal(array[3], [0.0, 0.0, 0.0, 1.0]):
        return f"has last row {array[3].tolist()}"
    return None
