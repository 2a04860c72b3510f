"""Differential inverse kinematics of one pose: damped least squares inside joint limits, from a configuration nearby.

Every line of the loop counts: a chunk of thirty poses has a millisecond. Norms of six numbers are taken in plain
Python, limits are looked at only when a step could reach one, and the linear system is solved by LAPACK directly.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from vla3d_ros.errors import DependencyError

Float = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MAX_ITERATIONS = 30
_TOLERANCE_M = 5e-6
_TOLERANCE_RAD = 2e-5
_LEVER_M = 0.2  # what cannot be had is shared between position and rotation as by a tool of this length
_WEIGHTS = np.array([[1.0]] * 3 + [[_LEVER_M]] * 3)
_DAMPING = 0.02
_FULLY_DAMPED = 0.01  # error (m, rad) from which damping is in full force; less near the target, to converge quickly
_REGULARISATION = 1e-9
_HOPELESS = 0.99  # share of the error left by an iteration from which on iterating is given up, at a bound at once
_PATIENCE = 12  # otherwise after so many iterations
_UNLIMITED_RAD = 1e3  # stands for the limits of a continuous joint


class PoseSolution(NamedTuple):
    """Configuration q (J,) rad, what it misses of the target (m, rad), and joints (J,) that met a bound."""

    q: Float
    residual_m: float
    residual_rad: float
    blocked: Flags


class PoseSolver:
    """Kinematics of the chain to one frame, in the order of the given joints."""

    def __init__(self, urdf_path: Path, joint_names: tuple[str, ...], frame: str) -> None:
        """Build the model.

        Args:
            urdf_path: The robot's URDF.
            joint_names: (J,) joints that move; all others rest at zero.
            frame: The link whose pose is solved.

        Raises:
            DependencyError: If pinocchio is not installed.
        """
        self._pin, self._model = _reduced_model(urdf_path, joint_names)
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(frame)
        order = np.array([self._model.joints[self._model.getJointId(name)].idx_q for name in joint_names])
        self._order = None if (order == np.arange(len(order))).all() else order
        self._is_redundant = len(joint_names) > 6
        self._untouched = np.zeros(len(joint_names), dtype=bool)

    def place(self, q: Float, frame: str | None = None) -> Float:
        """Return the pose (4, 4) of a link, by default the solved one, in the root link for q (J,) rad."""
        self._pin.framesForwardKinematics(self._model, self._data, self._model_q(q))
        index = self._frame if frame is None else self._model.getFrameId(frame)
        pose: Float = self._data.oMf[index].homogeneous
        return pose

    def jacobian(self, q: Float) -> Float:
        """Return the (6, J) Jacobian at q (J,): linear then angular velocity of the frame, in the frame."""
        pin = self._pin
        J: Float = pin.computeFrameJacobian(self._model, self._data, self._model_q(q), self._frame, pin.LOCAL)
        return J if self._order is None else J[:, self._order]

    def solve(self, T_root_frame: Float, q_start: Float, drift: Float, lower: Float, upper: Float) -> PoseSolution:
        """Find the configuration for a pose, nearest to where the arm is; never raises on a finite target.

        Args:
            T_root_frame: (4, 4) target in the root link.
            q_start: (J,) rad, inside the bounds.
            drift: (J,) rad, by which an arm with freedom to spare may move without moving the frame.
            lower: (J,) rad.
            upper: (J,) rad.

        Returns:
            The best found; its residuals say whether that is good enough.
        """
        target, q, blocked = self._pin.SE3(T_root_frame), q_start, self._untouched
        room = float(np.minimum(q - lower, upper - q).min())
        error, miss_m, miss_rad = self._error(target, q)
        posture = drift if self._is_redundant else None
        for iteration in range(_MAX_ITERATIONS):
            if posture is None and miss_m < _TOLERANCE_M and miss_rad < _TOLERANCE_RAD:
                break
            before = miss_m + miss_rad
            J, error = _WEIGHTS * self.jacobian(q), _WEIGHTS[:, 0] * error
            step = _damped_step(J, error, before, posture)
            room -= math.sqrt(step.dot(step))
            free = q + step
            if room <= 0.0:
                free, newly = _bounded_step(J, error, before, q, free, lower, upper)
                blocked = blocked | newly
                room = float(np.minimum(free - lower, upper - free).min())
            q = free
            error, miss_m, miss_rad = self._error(target, q)
            if miss_m + miss_rad > _HOPELESS * before and (iteration > _PATIENCE or (iteration and blocked.any())):
                break
            posture = None
        return PoseSolution(q, miss_m, miss_rad, blocked)

    def _error(self, target: Any, q: Float) -> tuple[Float, float, float]:
        self._pin.framesForwardKinematics(self._model, self._data, self._model_q(q))
        error: Float = self._pin.log6(self._data.oMf[self._frame].actInv(target)).vector
        x, y, z, a, b, c = error.tolist()
        return error, math.sqrt(x * x + y * y + z * z), math.sqrt(a * a + b * b + c * c)

    def _model_q(self, q: Float) -> Float:
        if self._order is None:
            return q
        model_q = np.empty(len(q))
        model_q[self._order] = q
        return model_q


def _damped_step(J: Float, error: Float, size: float, posture: Float | None) -> Float:
    """Return (J,) rad: reach the error (6,), and as much of the posture as that leaves free."""
    A = J.dot(J.T)
    A.flat[::7] += (_DAMPING * min(1.0, size / _FULLY_DAMPED)) ** 2 + _REGULARISATION
    if posture is None:
        step: Float = dposv(A, error)[1].dot(J)
        return step
    wanted: Float = posture + dposv(A, error - J.dot(posture))[1].dot(J)
    return wanted


def _bounded_step(
    J: Float, error: Float, size: float, q: Float, free: Float, lower: Float, upper: Float
) -> tuple[Float, Flags]:
    """Return a configuration inside the bounds: who would leave them goes to the bound, the others make up for it."""
    blocked = (free < lower) | (free > upper)
    if blocked.any():
        to_bound = np.where(blocked, np.minimum(np.maximum(free, lower), upper) - q, 0.0)
        others = _damped_step(np.where(blocked, 0.0, J), error - J.dot(to_bound), size, None)
        free = q + to_bound + others
        blocked = blocked | (free < lower) | (free > upper)
    return np.minimum(np.maximum(free, lower), upper), blocked


def _reduced_model(urdf_path: Path, joint_names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the pinocchio module and a model in which only the named joints move, each with one coordinate."""
    try:
        import pinocchio
    except ImportError as error:
        raise DependencyError(
            "inverse kinematics needs pinocchio, which is not installed; "
            "run `pip install pin`, or install the ROS package `pinocchio`"
        ) from error
    model = pinocchio.buildModelFromXML(_without_continuous_joints(urdf_path))
    locked = [i for i, name in enumerate(model.names) if i and name not in joint_names]
    return pinocchio, pinocchio.buildReducedModel(model, locked, pinocchio.neutral(model))


def _without_continuous_joints(urdf_path: Path) -> str:
    """Return the URDF with revolute joints of wide limits where it has continuous ones, which have two coordinates."""
    root = ElementTree.parse(urdf_path).getroot()
    for joint in root.findall("joint"):
        if joint.get("type") != "continuous":
            continue
        joint.set("type", "revolute")
        limit = joint.find("limit")
        limit = ElementTree.SubElement(joint, "limit", effort="0", velocity="0") if limit is None else limit
        limit.set("lower", str(-_UNLIMITED_RAD))
        limit.set("upper", str(_UNLIMITED_RAD))
    return ElementTree.tostring(root, encoding="unicode")
