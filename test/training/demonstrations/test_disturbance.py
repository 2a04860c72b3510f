"""Laws of being pushed: it adds up with time, ends, never presses onto the table, and leaves the gripper alone."""

import numpy as np
import pytest

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.geometry import Transform
from vla3d_ros.training.demonstrations.config import DisturbanceSettings
from vla3d_ros.training.demonstrations.disturbance import Disturbance

TICK_NS = 33_333_333
T_BASE_EE = Transform.from_rpy([0.4, 0.1, 0.2], [np.pi, 0.0, 0.3])


def settings(**changes):
    given = {"per_s": 2.0, "duration_s": (0.2, 0.4), "speed_m_s": (0.1, 0.1), "turn_rad_s": (0.5, 0.5), "low_m": 0.05}
    return DisturbanceSettings(**{**given, **changes})


def chunk_at(stamp_ns):
    arm = ArmChunk(arm="a", Ts_ee0_ee=np.tile(np.eye(4), (30, 1, 1)), gripper_opening=np.linspace(0.0, 1.0, 30))
    return ActionChunk(stamp_ns=stamp_ns, dt_ns=TICK_NS, arms=(arm,))


def first_burst(disturbance):
    return next(stamp for stamp in range(0, 20 * 10**9, TICK_NS) if disturbance.is_on(stamp))


def path_of(chunk):
    return (T_BASE_EE.matrix @ chunk.arms[0].Ts_ee0_ee)[:, :3, 3] - T_BASE_EE.translation


def test_bursts_come_as_often_and_last_as_long_as_told():
    disturbance = Disturbance(settings(per_s=0.5), np.random.default_rng(3))
    on = np.array([disturbance.is_on(tick * TICK_NS) for tick in range(60_000)])
    bursts = int(np.count_nonzero(np.diff(on.astype(int)) == 1))
    assert 60_000 / 30 * 0.5 * 0.75 < bursts < 60_000 / 30 * 0.5 * 1.1
    assert 0.2 < on.sum() / 30 / bursts < 0.45


def test_a_push_grows_with_the_time_for_which_it_is_carried_out():
    disturbance = Disturbance(settings(), np.random.default_rng(3))
    stamp_ns = first_burst(disturbance)
    pushed = disturbance.apply(chunk_at(stamp_ns), T_BASE_EE, height_m=0.2)
    reached_m = np.linalg.norm(path_of(pushed), axis=1)
    assert reached_m[2] == pytest.approx(0.1 * 0.1, rel=1e-3)
    assert reached_m[29] == pytest.approx(reached_m[10]) == pytest.approx(0.1 * 0.25)
    assert pushed.arms[0].gripper_opening == pytest.approx(np.linspace(0.0, 1.0, 30))


@pytest.mark.parametrize("seed", range(8))
def test_near_the_table_nobody_is_pressed_onto_it(seed):
    disturbance = Disturbance(settings(), np.random.default_rng(seed))
    stamp_ns = first_burst(disturbance)
    low = disturbance.apply(chunk_at(stamp_ns), T_BASE_EE, height_m=0.02)
    assert (path_of(low)[:, 2] >= 0.0).all()


def test_the_same_generator_gives_the_same_pushes():
    first, second = (Disturbance(settings(), np.random.default_rng(5)) for _ in range(2))
    ticks = range(0, 10 * 10**9, TICK_NS)
    assert [first.is_on(stamp) for stamp in ticks] == [second.is_on(stamp) for stamp in ticks]
