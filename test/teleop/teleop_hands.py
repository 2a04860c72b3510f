"""Hands that ask for something, and arms that do what chunks say."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk
from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.device import HandState
from vla3d_ros.teleop.settings import TeleopSettings, load_teleop_settings

CONFIG = Path(__file__).parents[2] / "config"
MS = 1_000_000
TOOL_DOWN = Transform.from_rpy((0.4, 0.1, 0.3), (np.pi, 0.2, 0.5))


def settings_of(device: str, **changes) -> TeleopSettings:
    """A shipped file of config/teleop, with changes."""
    return replace(load_teleop_settings(CONFIG / "teleop" / f"{device}.yaml"), **changes)


def twist_hand(*twist: float, clutch: bool = True, age_s: float = 0.0, opening: float | None = None) -> HandState:
    """A hand that pushes; missing axes are 0."""
    full = np.array([*twist, *[0.0] * (6 - len(twist))])
    return HandState(age_s=age_s, clutch=clutch, twist=full, opening=opening)


def pose_hand(T_device_hand: Transform, *, clutch: bool = True, age_s: float = 0.0) -> HandState:
    """A hand at a pose."""
    return HandState(age_s=age_s, clutch=clutch, T_device_hand=T_device_hand)


class PerfectArms:
    """Steps a maker's chunks through time, a chunk a period."""

    def __init__(self, maker, start: dict[str, Transform], dt_ns: int, share: float = 1.0) -> None:
        """share: how much of the told motion the arms really do; 0 for arms that are stuck."""
        self._maker, self._dt_ns, self._share = maker, dt_ns, share
        self.stamp_ns = 1_000_000_000
        self.poses = dict(start)
        self.openings = dict.fromkeys(start, 1.0)
        self.told = {arm: [(self.stamp_ns, pose)] for arm, pose in start.items()}
        self.chunks: list[ActionChunk] = []

    def run(self, seconds: float, hands: dict, scale: float = 1.0) -> None:
        """Let hands act for a while."""
        for _ in range(round(seconds * 1e9 / self._dt_ns)):
            self._maker.look(hands)
            ee = {arm: (pose, self.openings[arm]) for arm, pose in self.poses.items()}
            chunk = self._maker.make(self.stamp_ns, ee, scale)
            self.chunks.append(chunk)
            self.stamp_ns += self._dt_ns
            for part in chunk.arms:
                T_next = self.absolute(chunk, part.arm, self.poses[part.arm])[0]
                self.told[part.arm].append((self.stamp_ns, T_next))
                if self._share:
                    self.poses[part.arm] = T_next
                self.openings[part.arm] = float(part.gripper_opening[0])

    def absolute(self, chunk: ActionChunk, arm: str, T_base_ee0: Transform) -> list[Transform]:
        """The chunk's poses in the base frame."""
        (part,) = [part for part in chunk.arms if part.arm == arm]
        return [T_base_ee0 @ Transform(T) for T in part.Ts_ee0_ee]


def speeds(poses: list[Transform], dt_s: float) -> tuple[np.ndarray, np.ndarray]:
    """m/s and rad/s between consecutive poses."""
    p = np.array([pose.translation for pose in poses])
    turns = [Rotation.from_matrix(b.rotation @ a.rotation.T).magnitude() for a, b in itertools.pairwise(poses)]
    return np.linalg.norm(np.diff(p, axis=0), axis=1) / dt_s, np.array(turns) / dt_s


def accelerations(poses: list[Transform], dt_s: float) -> np.ndarray:
    """m/s^2 between consecutive velocities."""
    v = np.diff(np.array([pose.translation for pose in poses]), axis=0) / dt_s
    return np.linalg.norm(np.diff(v, axis=0), axis=1) / dt_s
