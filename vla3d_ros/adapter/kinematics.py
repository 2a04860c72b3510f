"""Forward and inverse kinematics of one arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.urdf_chain import UrdfChain
from vla3d_ros.errors import DependencyError
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]

_MAX_ITERATIONS = 12
_TOLERANCE_M = 2e-6
_TOLERANCE_RAD = 2e-5
_DAMPING = 0.02
_FULLY_DAMPED = 0.01  # error (m, rad) from which damping is in full force; less near the target, to converge quickly
_REGULARISATION = 1e-9
_EYE = np.eye(6)
_MAX_STEP_RAD = 0.25
_POSTURE_GAIN = 0.01
_LIMIT_MARGIN_RAD = 0.01
_CONVERGED_M = 5e-4
_CONVERGED_RAD = 5e-3


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChunkSolution:
    """Joint configurations for T poses, solved in order.

    q (T, J) rad, always inside the limits; converged (T,): within 0.5 mm and 5 mrad; residual_m, residual_rad (T,);
    clipped names the joints that a limit held back.
    """

    q: Float
    converged: NDArray[np.bool_]
    residual_m: Float
    residual_rad: Float
    clipped: tuple[str, ...]


class ArmKinematics:
    """Kinematics of one arm, expressed in its base frame."""

    def __init__(self, urdf_path: Path, arm: ArmSpec) -> None:
        """Build the models.

        Args:
            urdf_path: The robot's URDF.
            arm: Which joints and frames to use.

        Raises:
            DependencyError: If pinocchio is not installed.
            ConfigError: If the URDF lacks a joint of the arm.
        """
        self._arm = arm
        self._chain = UrdfChain(urdf_path, arm.base_frame, arm.joint_names)
        self._bodies = self._chain.moving_bodies()
        fingers = self._chain.children_of(arm.gripper.joint_names if arm.gripper else ())
        self.body_links = self._bodies.links
        self.body_radii = self._bodies.radii
        self.body_is_finger = np.array([link in fingers for link in self._bodies.links], dtype=bool)
        self._pin, self._model = _reduced_model(urdf_path, arm.joint_names)
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(arm.ee_frame)
        self._order = np.array([self._model.joints[self._model.getJointId(name)].idx_q for name in arm.joint_names])
        self._pin.framesForwardKinematics(self._model, self._data, self._pin.neutral(self._model))
        base = self._data.oMf[self._model.getFrameId(arm.base_frame)].homogeneous
        self._T_base_world = np.linalg.inv(base)
        self._lower = arm.limits.q_lower + _LIMIT_MARGIN_RAD
        self._upper = arm.limits.q_upper - _LIMIT_MARGIN_RAD

    def forward(self, q: Float) -> Transform:
        """Return T_base_ee for q (J,) rad."""
        self._pin.framesForwardKinematics(self._model, self._data, self._model_q(q))
        return Transform(self._T_base_world @ self._data.oMf[self._frame].homogeneous)

    def forward_many(self, q: Float) -> Float:
        """Return Ts_base_ee (T, 4, 4) for q (T, J) rad."""
        return self._chain.place_links(q)[self._arm.ee_frame]

    def place_links(self, q: Float) -> dict[str, Float]:
        """Return the poses (T, 4, 4) in the base frame of every link below the base, by name, for q (T, J)."""
        return self._chain.place_links(q)

    def forward_bodies(self, q: Float) -> tuple[Float, Float]:
        """Place the end effector and the collision points of every moving link.

        Args:
            q: (T, J) rad.

        Returns:
            Ts_base_ee (T, 4, 4), and points_base (T, P, 3) m; `body_links`, `body_radii` (P,) m and `body_is_finger`
            (P,) describe the points.
        """
        placed = self._chain.place_links(q)
        points = np.empty((len(q), len(self._bodies.links), 3))
        for link in dict.fromkeys(self._bodies.links):
            mine = [i for i, owner in enumerate(self._bodies.links) if owner == link]
            T = placed[link]
            points[:, mine] = self._bodies.points_link[mine] @ T[:, :3, :3].transpose(0, 2, 1) + T[:, None, :3, 3]
        return placed[self._arm.ee_frame], points

    def jacobian(self, q: Float) -> Float:
        """Return the (6, J) Jacobian at q (J,): linear then angular velocity of the EE, in the EE frame."""
        J = self._pin.computeFrameJacobian(self._model, self._data, self._model_q(q), self._frame, self._pin.LOCAL)
        return np.asarray(J)[:, self._order]

    def solve_chunk(self, Ts_base_ee: Float, q_seed: Float) -> ChunkSolution:
        """Solve poses in order, each from the solution before it.

        Damped least squares inside the joint limits. The remaining freedom moves slowly towards q_home, by the same
        amount per pose, so that consecutive chunks agree. No pose moves a joint by more than 0.25 rad: near a
        singularity the pose is missed (and reported) rather than the arm whipped around. Never raises on a finite
        target.

        Args:
            Ts_base_ee: (T, 4, 4) targets.
            q_seed: (J,) configuration before the first target.

        Returns:
            One configuration per target.
        """
        q = np.clip(np.asarray(q_seed, dtype=np.float64), self._lower, self._upper)
        solutions, residuals = np.empty((len(Ts_base_ee), len(q))), np.empty((len(Ts_base_ee), 2))
        held = np.zeros(len(q), dtype=bool)
        for i, T_base_ee in enumerate(Ts_base_ee):
            q, residuals[i], held_now = self._solve(self._pin.SE3(np.linalg.solve(self._T_base_world, T_base_ee)), q)
            solutions[i] = q
            held |= held_now
        return ChunkSolution(
            q=solutions,
            converged=(residuals[:, 0] <= _CONVERGED_M) & (residuals[:, 1] <= _CONVERGED_RAD),
            residual_m=residuals[:, 0],
            residual_rad=residuals[:, 1],
            clipped=tuple(name for name, is_held in zip(self._arm.joint_names, held, strict=True) if is_held),
        )

    def _solve(self, T_world_ee: Any, q_start: Float) -> tuple[Float, tuple[float, float], NDArray[np.bool_]]:
        q, held = q_start, np.zeros(len(q_start), dtype=bool)
        lower = np.maximum(self._lower, q_start - _MAX_STEP_RAD)
        upper = np.minimum(self._upper, q_start + _MAX_STEP_RAD)
        for iteration in range(_MAX_ITERATIONS):
            error, residual = self._error(T_world_ee, q)
            if iteration and residual[0] < _TOLERANCE_M and residual[1] < _TOLERANCE_RAD:
                break
            J = self.jacobian(q)
            posture = _POSTURE_GAIN * (self._arm.q_home - q) if iteration == 0 else np.zeros(len(q))
            free = q + _damped_step(J, error, posture)
            blocked = (free < lower) | (free > upper)
            if blocked.any():
                J[:, blocked] = 0.0
                free = q + _damped_step(J, error, np.where(blocked, 0.0, posture))
                held |= blocked & (
                    (free <= self._lower) | (free >= self._upper) | (q <= self._lower) | (q >= self._upper)
                )
            q = np.clip(free, lower, upper)
        else:
            _, residual = self._error(T_world_ee, q)
        return q, residual, held

    def _error(self, T_world_ee: Any, q: Float) -> tuple[Float, tuple[float, float]]:
        self._pin.framesForwardKinematics(self._model, self._data, self._model_q(q))
        error = self._pin.log6(self._data.oMf[self._frame].actInv(T_world_ee)).vector
        return error, (math.sqrt(error[:3] @ error[:3]), math.sqrt(error[3:] @ error[3:]))

    def _model_q(self, q: Float) -> Float:
        model_q = np.empty(len(q))
        model_q[self._order] = q
        return model_q


def _damped_step(J: Float, error: Float, posture: Float) -> Float:
    """Return (J,) rad: reach the error (6,), and as much of the posture as that leaves free."""
    damping = _DAMPING**2 * min(1.0, math.sqrt(error @ error) / _FULLY_DAMPED) + _REGULARISATION
    step: Float = posture + J.T @ np.linalg.solve(J @ J.T + damping * _EYE, error - J @ posture)
    return step


def _reduced_model(urdf_path: Path, joint_names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the pinocchio module and a model in which only the named joints move."""
    try:
        import pinocchio
    except ImportError as error:
        raise DependencyError(
            "inverse kinematics needs pinocchio, which is not installed; "
            "run `pip install pin`, or install the ROS package `pinocchio`"
        ) from error
    model = pinocchio.buildModelFromUrdf(str(urdf_path))
    locked = [i for i, name in enumerate(model.names) if i and name not in joint_names]
    return pinocchio, pinocchio.buildReducedModel(model, locked, pinocchio.neutral(model))
