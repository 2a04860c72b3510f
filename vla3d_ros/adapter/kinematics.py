"""Forward and inverse kinematics of one arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.pose_solver import PoseSolver
from vla3d_ros.adapter.urdf_chain import UrdfChain
from vla3d_ros.geometry import Transform

Float = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MAX_STEP_RAD = 0.25
_LIMIT_MARGIN_RAD = 0.01
_AT_LIMIT_RAD = 1e-9
_CONVERGED_M = 5e-4
_CONVERGED_RAD = 5e-3
_WORTH_ANOTHER_TRY = (1e-4, 0.2)  # miss in m + rad: above, a chunk is solved again another way; far above, in vain


@dataclass(frozen=True, slots=True)
class _Way:
    """How to get from pose to pose: how much of the last step to expect again, and how much to drift to q_home."""

    momentum: float
    posture_gain: float


# The first is the way; the others are for chunks that pass through a singularity or along a limit: carried through it,
# without drift, away from home instead, faster home.
_WAYS = (_Way(0.0, 0.01), _Way(1.0, 0.01), _Way(0.0, 0.0), _Way(0.0, -0.02), _Way(0.0, 0.1), _Way(1.0, 0.0))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChunkSolution:
    """Joint configurations for T poses, solved in order.

    Attributes:
        q: (T, J) rad, always inside the limits.
        converged: (T,) within 0.5 mm and 5 mrad.
        residual_m: (T,) what is missed of each target.
        residual_rad: (T,) the same, of its rotation.
        at_position_limit: (T, J) joints that a position limit held back.
        at_step_limit: (T, J) joints that the largest step from pose to pose held back.
        clipped: Names of the joints that a position limit held back anywhere.
    """

    q: Float
    converged: Flags
    residual_m: Float
    residual_rad: Float
    at_position_limit: Flags
    at_step_limit: Flags
    clipped: tuple[str, ...]


class ArmKinematics:
    """Kinematics of one arm. Every pose is in the robot's base frame, which all its arms share."""

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
        fingers = self._chain.children_of(arm.gripper.finger_joints if arm.gripper else ())
        self.body_links = self._bodies.links
        self.body_radii = self._bodies.radii
        self.body_is_finger = np.array([link in fingers for link in self._bodies.links], dtype=bool)
        self._solver = PoseSolver(urdf_path, arm.joint_names, arm.ee_frame)
        self._T_root_base = self._solver.place(arm.q_home, arm.base_frame)
        self._T_base_root = np.linalg.inv(self._T_root_base)
        self._lower = arm.limits.q_lower + _LIMIT_MARGIN_RAD
        self._upper = arm.limits.q_upper - _LIMIT_MARGIN_RAD

    def forward(self, q: Float) -> Transform:
        """Return T_base_ee for q (J,) rad."""
        return Transform(self._T_base_root @ self._solver.place(q))

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
        return self._solver.jacobian(np.asarray(q, dtype=np.float64))

    def solve_chunk(self, Ts_base_ee: Float, q_seed: Float, *, period_s: float | None = None) -> ChunkSolution:
        """Solve poses in order, each from the solution before it.

        Damped least squares inside the joint limits. The remaining freedom moves slowly towards q_home, by the same
        amount per pose, so that consecutive chunks agree. From pose to pose no joint moves further than its speed
        limit allows in a period (0.25 rad without a period): near a singularity the pose is missed, and reported,
        rather than the arm whipped around. Never raises on a finite target.

        Args:
            Ts_base_ee: (T, 4, 4) targets.
            q_seed: (J,) configuration before the first target.
            period_s: Time between poses.

        Returns:
            One configuration per target.
        """
        q = np.clip(np.asarray(q_seed, dtype=np.float64), self._lower, self._upper)
        step = np.full(len(q), _MAX_STEP_RAD) if period_s is None else self._arm.limits.velocity * period_s
        targets = self._T_root_base @ Ts_base_ee
        solutions, residuals, blocked = self._solve_in_order(targets, q, step, _WAYS[0], np.inf)
        least, most = _WORTH_ANOTHER_TRY
        for way in _WAYS[1:]:
            worst = residuals.sum(axis=1).max()
            if not least < worst < most:
                break
            other = self._solve_in_order(targets, q, step, way, worst)
            if other[1].sum(axis=1).max() < worst:
                solutions, residuals, blocked = other
        at_limit = blocked & ((solutions <= self._lower + _AT_LIMIT_RAD) | (solutions >= self._upper - _AT_LIMIT_RAD))
        held: Flags = np.any(at_limit, axis=0)
        return ChunkSolution(
            q=solutions,
            converged=(residuals[:, 0] <= _CONVERGED_M) & (residuals[:, 1] <= _CONVERGED_RAD),
            residual_m=residuals[:, 0],
            residual_rad=residuals[:, 1],
            at_position_limit=at_limit,
            at_step_limit=blocked & ~at_limit,
            clipped=tuple(name for name, is_held in zip(self._arm.joint_names, held, strict=True) if is_held),
        )

    def _solve_in_order(
        self, targets: Float, q: Float, step: Float, way: _Way, enough: float
    ) -> tuple[Float, Float, Flags]:
        """Return q (T, J), residuals (T, 2) m and rad, and which joints were blocked (T, J).

        A miss of `enough` (m + rad) ends the attempt; the residuals of what was not attempted are infinite.
        """
        shape = (len(targets), len(q))
        solutions, residuals = np.zeros(shape), np.full((len(targets), 2), np.inf)
        blocked = np.zeros(shape, dtype=bool)
        q_before = q
        for i, T_root_ee in enumerate(targets):
            lower, upper = np.maximum(self._lower, q - step), np.minimum(self._upper, q + step)
            expected = q
            if way.momentum:
                expected = np.minimum(np.maximum(q + way.momentum * (q - q_before), lower), upper)
            drift = way.posture_gain * (self._arm.q_home - q)
            q_before = q
            q, residuals[i, 0], residuals[i, 1], blocked[i] = self._solver.solve(
                T_root_ee, expected, drift, lower, upper
            )
            solutions[i] = q
            if residuals[i, 0] + residuals[i, 1] >= enough:
                break
        return solutions, residuals, blocked
