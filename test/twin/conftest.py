"""A world to play with, and motions for it. Skipped where MuJoCo is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.adapter.embodiment import Embodiment, load_embodiment
from vla3d_ros.camera.rig import CameraRig, load_rig
from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.geometry import Transform, log_se3
from vla3d_ros.twin.engine import import_mujoco
from vla3d_ros.twin.scene import SceneConfig, load_scene
from vla3d_ros.twin.world import TwinWorld

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="session")
def embodiment() -> Embodiment:
    return load_embodiment(CONFIG / "robots" / "fr3.yaml")


@pytest.fixture(scope="session")
def rig() -> CameraRig:
    return load_rig(CONFIG / "cameras" / "tabletop_twin.yaml")


@pytest.fixture(scope="session")
def scene() -> SceneConfig:
    return load_scene(CONFIG / "scenes" / "tabletop.yaml")


@pytest.fixture
def world(embodiment: Embodiment, rig: CameraRig, scene: SceneConfig) -> TwinWorld:
    # Not importorskip: it would import MuJoCo before the engine has chosen how to render.
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("the twin needs MuJoCo: pip install 'vla3d_ros[twin]'")
    return TwinWorld(embodiment, rig, scene)


@pytest.fixture
def operator(world: TwinWorld) -> Operator:
    return Operator(world)


class Operator:
    """Moves the first arm of a world about, the way a test would like to have it moved."""

    def __init__(self, world: TwinWorld) -> None:
        self.world = world
        self.arm = world.embodiment.arms[0]

    def arm_q(self) -> np.ndarray:
        """Measured (J,) rad of the first arm."""
        sample = self.world.joint_state()
        by_name = dict(zip(sample.names, sample.q, strict=True))
        return np.array([by_name[name] for name in self.arm.joint_names])

    def reach(self, T_world_ee: Transform) -> np.ndarray:
        """Inverse kinematics of the first arm from where it is, on a copy of the physics; (J,) rad."""
        mujoco = import_mujoco()
        arm, model = self.arm, self.world.model
        data = mujoco.MjData(model)
        data.qpos[:] = self.world.render_state()[: model.nq]
        q_index = [model.joint(name).qposadr[0] for name in arm.joint_names]
        v_index = [model.joint(name).dofadr[0] for name in arm.joint_names]
        body = model.body(arm.ee_frame).id
        for _ in range(100):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            R = data.xmat[body].reshape(3, 3)
            J = np.zeros((6, model.nv))
            mujoco.mj_jacBody(model, data, J[:3], J[3:], body)
            error = np.concatenate(
                [
                    T_world_ee.translation - data.xpos[body],
                    R @ log_se3(np.linalg.inv(_matrix(R)) @ _matrix(T_world_ee.rotation))[3:],
                ]
            )
            if np.linalg.norm(error) < 1e-7:
                break
            J_arm = J[:, v_index]
            data.qpos[q_index] += J_arm.T @ np.linalg.solve(J_arm @ J_arm.T + 1e-6 * np.eye(6), error)
        assert np.linalg.norm(error) < 1e-5, "the test asks for a pose out of reach"
        return data.qpos[q_index].copy()

    def drive(self, q_to: np.ndarray, duration_s: float, watch: Callable[[], None] = lambda: None) -> None:
        """Move the first arm along a straight line in joint space, at rest at both ends, and wait for the end."""
        arm, world = self.arm, self.world
        q_from = self.arm_q()
        fraction = np.linspace(0.0, 1.0, 41)
        shape = fraction**3 * (10 - 15 * fraction + 6 * fraction**2)
        slope = 30 * fraction**2 * (1 - fraction) ** 2 / duration_s
        trajectory = JointTrajectory(
            arm=arm.name,
            joint_names=arm.joint_names,
            times_ns=world.time_ns + (fraction * duration_s * 1e9).astype(np.int64),
            q=q_from + shape[:, None] * (q_to - q_from),
            dq=slope[:, None] * (q_to - q_from),
        )
        assert world.command_trajectory(trajectory) is None
        self.run(duration_s + 0.1, watch)

    def run(self, duration_s: float, watch: Callable[[], None] = lambda: None) -> None:
        """Let simulated time pass."""
        world = self.world
        end_ns = world.time_ns + round(duration_s * 1e9)
        while world.time_ns < end_ns:
            world.step()
            watch()

    @staticmethod
    def above(x_m: float, y_m: float, z_m: float, yaw_rad: float) -> Transform:
        """An end-effector pose that points straight down."""
        down = Transform.from_rpy([x_m, y_m, z_m], [np.pi, 0.0, 0.0])
        return down @ Transform.from_rpy([0.0, 0.0, 0.0], [0.0, 0.0, -yaw_rad])

    def grasp(self) -> None:
        """Close the gripper and wait until its goal has ended."""
        self.world.command_gripper(self.arm.name, 0.0, 40.0)
        self._await_gripper()

    def release(self) -> None:
        """Open the gripper and wait until its goal has ended."""
        self.world.command_gripper(self.arm.name, self.arm.gripper.command_position(1.0), 40.0)
        self._await_gripper()

    def _await_gripper(self) -> None:
        for _ in range(300):
            self.run(0.01)
            if not self.world.gripper_state(self.arm.name).is_active:
                return
        raise AssertionError("the gripper's goal never ended")


def _matrix(R: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = R
    return matrix
