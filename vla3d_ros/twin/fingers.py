"""A gripper's fingers in the physics model, driven by its controller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import GripperSpec
from vla3d_ros.twin.gripper_controller import GripperController

Index = NDArray[np.int64]


class Fingers:
    """One gripper's controller, and where its joints and servos are in the model."""

    def __init__(self, model: Any, spec: GripperSpec, speed_m_s: float) -> None:
        self.spec = spec
        self.controller = GripperController(spec, speed_m_s=speed_m_s)
        self.q_index = qpos_index(model, spec.joint_names)
        self.servos = np.array([model.actuator(name).id for name in spec.joint_names])
        self.position_per_gap = 1.0 / (spec.metres_per_joint_position * len(spec.joint_names))
        self.effort_n = -1.0

    def gap_m(self, data: Any) -> float:
        """Return the measured gap between the pads in metres."""
        return self.spec.metres_per_joint_position * float(data.qpos[self.q_index].sum())

    def step(self, model: Any, data: Any, period_ns: int) -> None:
        """Advance the controller one period and drive the servos."""
        drive = self.controller.update(period_ns, self.gap_m(data))
        data.ctrl[self.servos] = drive.gap_m * self.position_per_gap
        if drive.effort_n != self.effort_n:
            self.effort_n = drive.effort_n
            force = drive.effort_n * self.spec.metres_per_joint_position
            model.actuator_forcerange[self.servos] = (-force, force)


def qpos_index(model: Any, names: Sequence[str]) -> Index:
    """Return where scalar joints are in `qpos`, (N,) by name."""
    return np.array([model.joint(name).qposadr[0] for name in names], dtype=np.int64)


def dof_index(model: Any, names: Sequence[str]) -> Index:
    """Return where scalar joints are in `qvel`, (N,) by name."""
    return np.array([model.joint(name).dofadr[0] for name in names], dtype=np.int64)
