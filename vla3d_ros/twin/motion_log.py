"""The twin's own record of how the robot really moved, at every control period: what no node can embellish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.twin.engine import import_mujoco

Float = NDArray[np.float64]
Index = NDArray[np.int64]

_FIELDS = ("times_ns", "q", "dq", "table_force_n")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MotionRecord:
    """What was recorded: times_ns (N,), q (N, J) rad, dq (N, J) rad/s, table_force_n (N,): robot against table."""

    joint_names: tuple[str, ...]
    times_ns: NDArray[np.int64]
    q: Float
    dq: Float
    table_force_n: Float

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _FIELDS}
        np.savez(path, joint_names=np.array(self.joint_names), **fields)

    @classmethod
    def load(cls, path: Path) -> MotionRecord:
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(joint_names=tuple(file["joint_names"].tolist()), **{name: file[name] for name in _FIELDS})

    def since(self, stamp_ns: int) -> MotionRecord:
        """Return the part from an instant on."""
        first = int(np.searchsorted(self.times_ns, stamp_ns))
        return MotionRecord(joint_names=self.joint_names, **{name: getattr(self, name)[first:] for name in _FIELDS})


class MotionLog:
    """A ring of the last seconds, written by the physics thread."""

    def __init__(self, model: Any, joints: Sequence[tuple[str, int, int]], *, capacity: int) -> None:
        """Reserve memory.

        Args:
            model: The MuJoCo model.
            joints: Name, index into qpos and index into qvel of every arm joint.
            capacity: How many periods are kept.
        """
        self._mujoco = import_mujoco()
        self._model = model
        self.joint_names = tuple(name for name, _, _ in joints)
        self._q_index: Index = np.array([q for _, q, _ in joints], dtype=np.int64)
        self._v_index: Index = np.array([v for _, _, v in joints], dtype=np.int64)
        self._is_robot = _robot_geoms(model, [int(model.dof_bodyid[v]) for v in self._v_index])
        self._table = model.geom("table").id
        self._times_ns = np.zeros(capacity, dtype=np.int64)
        self._q, self._dq = (np.zeros((capacity, len(joints))) for _ in range(2))
        self._force_n = np.zeros(capacity)
        self._wrench = np.zeros(6)
        self._count = 0

    def record(self, time_ns: int, data: Any) -> None:
        """Note the state after a step."""
        at = self._count % len(self._times_ns)
        self._times_ns[at] = time_ns
        self._q[at], self._dq[at] = data.qpos[self._q_index], data.qvel[self._v_index]
        self._force_n[at] = self._table_force_n(data)
        self._count += 1

    def snapshot(self) -> MotionRecord:
        """Return a copy of what the ring holds, oldest first."""
        capacity = len(self._times_ns)
        order = np.arange(max(0, self._count - capacity), self._count) % capacity
        return MotionRecord(
            joint_names=self.joint_names,
            times_ns=self._times_ns[order],
            q=self._q[order],
            dq=self._dq[order],
            table_force_n=self._force_n[order],
        )

    def _table_force_n(self, data: Any) -> float:
        """Sum of the normal forces between the robot and the table's top."""
        geoms = data.contact.geom
        if not len(geoms):
            return 0.0
        touches = (geoms == self._table).any(axis=1) & self._is_robot[geoms].any(axis=1)
        force_n = 0.0
        for contact in np.flatnonzero(touches):
            self._mujoco.mj_contactForce(self._model, data, contact, self._wrench)
            force_n += float(self._wrench[0])
        return force_n


def _robot_geoms(model: Any, arm_bodies: Sequence[int]) -> NDArray[np.bool_]:
    """Mark the geoms on bodies that move with an arm, hands and fingers included."""
    moves = np.zeros(model.nbody, dtype=bool)
    for body in range(1, model.nbody):  # parents come before children
        moves[body] = body in arm_bodies or moves[model.body_parentid[body]]
    return np.asarray(moves[model.geom_bodyid], dtype=bool)
