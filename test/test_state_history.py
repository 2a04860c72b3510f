import numpy as np
import pytest

from vla3d_ros.datatypes import RobotState
from vla3d_ros.errors import StaleObservationError
from vla3d_ros.geometry import Transform
from vla3d_ros.state_history import RobotStateHistory

MS = 1_000_000


def state(stamp_ms: int, value: float) -> RobotState:
    return RobotState(
        arm="left",
        stamp_ns=stamp_ms * MS,
        joint_names=("a",),
        q=np.array([value]),
        dq=np.array([-value]),
        T_base_ee=Transform.from_rotation(np.eye(3), (value, 0, 0)),
        gripper_opening=value,
    )


def test_it_interpolates_everything_between_two_states():
    history = RobotStateHistory(memory_ns=1000 * MS)
    history.add(state(0, 0.0))
    history.add(state(10, 0.4))
    found = history.lookup(5 * MS)
    assert found.stamp_ns == 5 * MS
    assert (found.q[0], found.dq[0], found.gripper_opening) == pytest.approx((0.2, -0.2, 0.2))
    assert found.T_base_ee.translation[0] == pytest.approx(0.2)


def test_it_never_extrapolates_and_says_how_far_a_stamp_is_off():
    history = RobotStateHistory(memory_ns=1000 * MS)
    with pytest.raises(StaleObservationError, match="no robot state is known yet"):
        history.lookup(0)
    history.add(state(10, 0.0))
    history.add(state(20, 0.0))
    with pytest.raises(StaleObservationError, match=r"arm 'left': .* 20\.0 ms after the newest"):
        history.lookup(40 * MS)
    with pytest.raises(StaleObservationError, match=r"5\.0 ms before the oldest"):
        history.lookup(5 * MS)


def test_it_takes_only_newer_states_and_forgets_the_old():
    history = RobotStateHistory(memory_ns=20 * MS)
    for stamp_ms in range(0, 100, 5):
        assert history.add(state(stamp_ms, 0.0))
    assert not history.add(state(95, 1.0))
    assert len(history) == 5
    assert not history.covers(70 * MS) and history.covers(75 * MS)
