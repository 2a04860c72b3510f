"""Other people's inverse kinematics on the same targets as ours; each needs its own package, all optional.

Every solver is set up from the same chain and asked the same question: from this configuration, reach this pose of the
end effector. What counts is judged with one forward kinematics, not with what a solver says of itself.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import ArmSpec
from vla3d_ros.adapter.pose_solver import PoseSolver
from vla3d_ros.adapter.urdf_chain import UrdfChain
from vla3d_ros.twin.engine import import_mujoco

Float = NDArray[np.float64]
Solve = Callable[[Float, Float], Float]  # target (4, 4) in the base frame, seed (J,) -> q (J,)

_QP_ITERATIONS = 50
_QP_TOLERANCE = 1e-5
_QP_LM_DAMPING = 1e-6
_TOOLBOX_TOLERANCE = 1e-10  # of half the squared error: its default of 1e-6 stops a millimetre away
_TRAC_TIMEOUT_S = 0.005
_TRAC_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Rival:
    """A solver: the package it needs, and how it is set up for one arm."""

    name: str
    packages: tuple[str, ...]
    build: Callable[[Path, ArmSpec], Solve]

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(package for package in self.packages if importlib.util.find_spec(package) is None)


def ours(urdf_path: Path, arm: ArmSpec) -> Solve:
    """Return this package's solver for one pose, free to go anywhere inside the limits."""
    solver = PoseSolver(urdf_path, arm.joint_names, arm.ee_frame)
    T_root_base = solver.place(arm.q_home, arm.base_frame)
    lower, upper, stay = arm.limits.q_lower, arm.limits.q_upper, np.zeros(len(arm.joint_names))
    return lambda T_base_ee, q_seed: solver.solve(T_root_base @ T_base_ee, q_seed, stay, lower, upper).q


def _toolbox(searches: int) -> Callable[[Path, ArmSpec], Solve]:
    def build(urdf_path: Path, arm: ArmSpec) -> Solve:
        toolbox: Any = importlib.import_module("roboticstoolbox")
        ets = toolbox.ETS()
        for T_fixed, axis, column in _chain(urdf_path, arm):
            ets = ets * toolbox.ET.SE3(T_fixed)
            if column is not None:
                turn = _turning_z_to(axis)
                limits = [arm.limits.q_lower[column], arm.limits.q_upper[column]]
                joint = toolbox.ET.Rz(jindex=column, qlim=np.array(limits))
                ets = ets * toolbox.ET.SE3(turn) * joint * toolbox.ET.SE3(turn.T)
        options = {"ilimit": 30, "slimit": searches, "tol": _TOOLBOX_TOLERANCE}
        return lambda T_base_ee, q_seed: np.asarray(ets.ik_LM(T_base_ee, q0=q_seed, **options)[0])

    return build


def _trac(urdf_path: Path, arm: ArmSpec) -> Solve:
    trac: Any = importlib.import_module("trac_ik")
    solver = trac.TracIK(arm.base_frame, arm.ee_frame, str(urdf_path), timeout=_TRAC_TIMEOUT_S, epsilon=_TRAC_EPSILON)

    def solve(T_base_ee: Float, q_seed: Float) -> Float:
        q = solver.ik(T_base_ee[:3, 3], T_base_ee[:3, :3], q_seed)
        return q_seed if q is None else np.asarray(q)

    return solve


def _pink(urdf_path: Path, arm: ArmSpec) -> Solve:
    pink: Any = importlib.import_module("pink")
    pinocchio: Any = importlib.import_module("pinocchio")
    model = pinocchio.buildModelFromUrdf(str(urdf_path))
    locked = [i for i, name in enumerate(model.names) if i and name not in arm.joint_names]
    model = pinocchio.buildReducedModel(model, locked, pinocchio.neutral(model))
    order = np.array([model.joints[model.getJointId(name)].idx_q for name in arm.joint_names])
    data = model.createData()
    pinocchio.framesForwardKinematics(model, data, pinocchio.neutral(model))
    T_root_base = data.oMf[model.getFrameId(arm.base_frame)].homogeneous
    task = pink.tasks.FrameTask(arm.ee_frame, position_cost=1.0, orientation_cost=1.0, lm_damping=_QP_LM_DAMPING)

    def solve(T_base_ee: Float, q_seed: Float) -> Float:
        q = np.empty(len(order))
        q[order] = np.clip(q_seed, arm.limits.q_lower, arm.limits.q_upper)
        configuration = pink.Configuration(model, data, q)
        task.set_target(pinocchio.SE3(T_root_base @ T_base_ee))
        for _ in range(_QP_ITERATIONS):
            if np.abs(task.compute_error(configuration)).max() < _QP_TOLERANCE:
                break
            configuration.integrate_inplace(pink.solve_ik(configuration, [task], 1.0, "daqp", safety_break=False), 1.0)
        reached: Float = np.asarray(configuration.q)[order]
        return reached

    return solve


def _mink(urdf_path: Path, arm: ArmSpec) -> Solve:
    mink: Any = importlib.import_module("mink")
    mujoco: Any = import_mujoco()
    urdf, tag, tail = urdf_path.read_text(encoding="utf-8").rpartition("</robot>")
    options = '<mujoco><compiler fusestatic="false"/></mujoco>'
    model = mujoco.MjModel.from_xml_string(f"{urdf}{options}{tag}{tail}")
    index = np.array([model.joint(name).qposadr[0] for name in arm.joint_names])
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    T_root_base = np.eye(4)
    T_root_base[:3, 3] = data.body(arm.base_frame).xpos
    T_root_base[:3, :3] = data.body(arm.base_frame).xmat.reshape(3, 3)
    task = mink.FrameTask(arm.ee_frame, "body", position_cost=1.0, orientation_cost=1.0, lm_damping=_QP_LM_DAMPING)
    limits = [mink.ConfigurationLimit(model)]

    def solve(T_base_ee: Float, q_seed: Float) -> Float:
        q = np.zeros(model.nq)
        q[index] = np.clip(q_seed, arm.limits.q_lower, arm.limits.q_upper)
        configuration = mink.Configuration(model, q=q)
        task.set_target(mink.SE3.from_matrix(T_root_base @ T_base_ee))
        for _ in range(_QP_ITERATIONS):
            if np.abs(task.compute_error(configuration)).max() < _QP_TOLERANCE:
                break
            configuration.integrate_inplace(mink.solve_ik(configuration, [task], 1.0, "daqp", limits=limits), 1.0)
        reached: Float = np.asarray(configuration.q)[index]
        return reached

    return solve


def _chain(urdf_path: Path, arm: ArmSpec) -> list[tuple[Float, Float, int | None]]:
    """Return the joints from the base to the end effector: fixed placement (4, 4), axis (3,), column of q."""
    joints = {joint.child: joint for joint in UrdfChain(urdf_path, arm.base_frame, arm.joint_names).joints}
    link, path = arm.ee_frame, []
    while link != arm.base_frame:
        path.append(joints[link])
        link = joints[link].parent
    return [(joint.T_parent_child, joint.axis, joint.column) for joint in reversed(path)]


def _turning_z_to(axis: Float) -> Float:
    """Return the rotation (4, 4) whose z column is the axis."""
    z = axis / np.linalg.norm(axis)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    return T


RIVALS = (
    Rival("roboticstoolbox ik_LM, 100 searches", ("roboticstoolbox",), _toolbox(100)),
    Rival("roboticstoolbox ik_LM, 1 search", ("roboticstoolbox",), _toolbox(1)),
    Rival("pytracik Speed, 5 ms", ("trac_ik", "pytracik"), _trac),
    Rival("pink, daqp", ("pink", "pinocchio", "daqp"), _pink),
    Rival("mink, daqp", ("mink", "mujoco", "daqp"), _mink),
)
