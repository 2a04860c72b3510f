"""A leader arm: another arm moved by hand. Any robot of `config/robots` leads any other, by its tool's pose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.adapter.interfaces.feedback import FeedbackNames
from vla3d_ros.adapter.kinematics import ArmKinematics
from vla3d_ros.adapter.state import ArmStateEstimator
from vla3d_ros.teleop.device import DeviceState, HandState

Float = NDArray[np.float64]

_MEMORY_NS = 1_000_000_000


class LeaderArm:
    """Poses by the leader's own kinematics, and its gripper or trigger as an opening.

    Its clutch is in the terminal: leaders have no buttons. Nothing needs to be aligned first: the follower does what
    the leader does from the moment the clutch closes.
    """

    name = "leader"

    def __init__(self, embodiment: Embodiment) -> None:
        """Build the leader's kinematics.

        Args:
            embodiment: The leader; its arms lead the follower's arms in their order.
        """
        self._feedback = FeedbackNames(embodiment.arms)
        self._estimators = []
        for arm in embodiment.arms:
            kinematics = ArmKinematics(embodiment.urdf_path, arm)
            self._estimators.append(ArmStateEstimator(arm, kinematics.forward, memory_ns=_MEMORY_NS))
        self._has_gripper = [arm.gripper is not None for arm in embodiment.arms]
        self._heard_s = [-math.inf] * len(self._estimators)

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics of joint states, as the leader's driver names them."""
        return self._feedback.topics

    def open(self) -> None:
        """Nothing to take: its driver publishes."""

    def close(self) -> None:
        """Nothing to release."""

    def hear(self, topic: str, names: Sequence[str], q: Float, now_s: float) -> None:
        """Take one joint state message; its time of arrival counts, for leaders that do not stamp.

        Args:
            topic: One of `topics`.
            names: (N,) joints as the driver names them.
            q: (N,) positions, rad or m.
            now_s: Steady time.
        """
        urdf_names = self._feedback.urdf_names(topic, names)
        for index, estimator in enumerate(self._estimators):
            if estimator.update(urdf_names, q, np.zeros(0), round(now_s * 1e9)) is not None:
                self._heard_s[index] = now_s

    def poll(self, now_s: float) -> DeviceState:
        """Return the pose and opening of each leader."""
        missing = [joint for estimator in self._estimators for joint in estimator.missing]
        hands = tuple(self._hand(index, now_s) for index in range(len(self._estimators)))
        was_heard = any(math.isfinite(heard_s) for heard_s in self._heard_s)
        trouble = f"joints {missing} were never heard on {list(self.topics)}" if missing and was_heard else ""
        return DeviceState(hands=hands, trouble=trouble)

    def _hand(self, index: int, now_s: float) -> HandState:
        state = self._estimators[index].latest
        return HandState(
            age_s=now_s - self._heard_s[index],
            clutch=True,
            T_device_hand=state.T_base_ee if state is not None else None,
            opening=state.gripper_opening if state is not None and self._has_gripper[index] else None,
        )
