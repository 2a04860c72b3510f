"""A gripper's fingers in the physics model, driven by its controller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import GripperSpec
from vla3d_ros.twin.gripper_controller import GripperController

Index = NDArray[np.int64]
Float = NDArray[np.float64]


class Fingers:
    """One gripper's controller, and where its joints and servos are in the model."""

    def __init__(self, model: Any, spec: GripperSpec, speed_m_s: float) -> None:
        self.spec = spec
        self.controller = GripperController(spec, speed_m_s=speed_m_s)
        self.q_index = qpos_index(model, spec.finger_joints)
        self._v_index = dof_index(model, spec.finger_joints)
        self.servos = np.array([model.actuator(name).id for name in spec.finger_joints])
        self.position_per_gap = 1.0 / len(spec.finger_joints)
        self.effort_n = -1.0

    def gap_m(self, data: Any) -> float:
        """Return the measured gap between the pads in metres."""
        return float(data.qpos[self.q_index].sum())

    def joint_sample(self, data: Any) -> Float:
        """Return (3, F): what the driver says of the gripper's joints: positions, velocities, force in N."""
        spec = self.spec
        # no clipping: a pad pressed past its stop is reported as such
        travel_per_gap = (spec.position_open - spec.position_closed) / spec.stroke_m
        force_n = np.full(len(travel_per_gap), float(data.qfrc_actuator[self._v_index].mean()))
        speed_m_s = float(data.qvel[self._v_index].sum())
        return np.stack([spec.position_closed + travel_per_gap * self.gap_m(data), travel_per_gap * speed_m_s, force_n])

    def step(self, model: Any, data: Any, period_ns: int) -> None:
        """Advance the controller one period and drive the servos."""
        drive = self.controller.update(period_ns, self.gap_m(data))
        data.ctrl[self.servos] = drive.gap_m * self.position_per_gap
        if drive.effort_n != self.effort_n:
            self.effort_n = drive.effort_n
            model.actuator_forcerange[self.servos] = (-drive.effort_n, drive.effort_n)


def qpos_index(model: Any, names: Sequence[str]) -> Index:
    """Return where scalar joints are in `qpos`, (N,) by name."""
    return np.array([model.joint(name).qposadr[0] for name in names], dtype=np.int64)


def dof_index(model: Any, names: Sequence[str]) -> Index:
    """Return where scalar joints are in `qvel`, (N,) by name."""
    return np.array([model.joint(name).dofadr[0] for name in names], dtype=np.int64)
