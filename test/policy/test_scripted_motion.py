"""Profiles of the scripted policy's tool."""

import numpy as np
import pytest

pytest.importorskip("ruckig", reason="ruckig is not installed")

from vla3d_ros.policy.backends.scripted_config import MotionSettings
from vla3d_ros.policy.backends.scripted_motion import MotionProfile, ToolMotion

SETTINGS = MotionSettings(
    speed_m_s=(0.2, 0.24, 0.15), acceleration_m_s2=(0.7, 0.8, 0.6), jerk_m_s3=(5.0, 6.0, 5.0),
    rotation_speed_rad_s=0.5, rotation_acceleration_rad_s2=2.0, rotation_jerk_rad_s3=15.0,
    reseed_m=0.01, reseed_rad=0.1,
)  # fmt: skip
STEP_S = 1.0 / 30.0
GOAL = [0.5775795555864732, 0.08451469339191076, 0.02331133573656589, -2.4e-21, -6.0e-21, 0.06860318436297375]


def test_a_tool_that_has_arrived_but_for_rounding_rests_there():
    goal = np.array(GOAL)
    arrived = ToolMotion(
        position=goal.copy(),
        velocity=np.array([2.33896704803587e-17, -8.673617379884035e-19, 1.297469036466859e-17, 0.0, 0.0, 0.0]),
        acceleration=np.array([-2.983724378680108e-16, 0.0, 7.632783294297951e-17, 0.0, 0.0, 0.0]),
    )  # Ruckig gives up on these numbers
    motion = MotionProfile(SETTINGS, STEP_S).step(arrived, goal)
    assert np.array_equal(motion.position, goal)
    assert not motion.velocity.any()
    assert not motion.acceleration.any()


def test_an_axis_that_still_moves_is_left_as_it_is():
    goal = np.array(GOAL)
    velocity = np.array([0.0, 1e-6, 0.0, 0.0, 0.0, 0.0])
    moving = ToolMotion(position=goal.copy(), velocity=velocity, acceleration=np.zeros(6))
    motion = MotionProfile(SETTINGS, STEP_S).step(moving, goal)
    assert motion.position[1] != goal[1]


def test_every_way_ends_exactly_at_its_goal():
    rng = np.random.default_rng(5)
    profile = MotionProfile(SETTINGS, STEP_S)
    for _ in range(20):
        goal, start = rng.uniform(-0.3, 0.3, (2, 6))
        motion = ToolMotion(position=start, velocity=np.zeros(6), acceleration=np.zeros(6))
        for _ in range(400):
            motion = profile.step(motion, goal)
        assert np.array_equal(motion.position, goal)


def test_where_two_axes_can_not_arrive_together_each_arrives_within_its_bounds():
    goal = np.array([0.5966978981441354, -0.27533995864431315, 0.02400000000000001, 0.0, 0.0, -0.4411173577498398])
    motion = ToolMotion(
        position=np.array([0.596854674273126, -0.27551706344064775, 0.0241558545598192, 0.0, 0.0, goal[5]]),
        velocity=np.array([-0.008208191195096866, 0.007977317578784742, -0.008175993069208904, 0.0, 0.0, 0.0]),
        acceleration=np.array([0.2864994100359871, -0.13180805513006097, 0.28593693481620897, 0.0, 0.0, 0.0]),
    )  # Ruckig finds no common duration for these numbers
    profile = MotionProfile(SETTINGS, STEP_S)
    for _ in range(30):
        motion = profile.step(motion, goal)
        assert np.all(np.abs(motion.velocity[:3]) <= SETTINGS.speed_m_s)
        assert np.all(np.abs(motion.acceleration[:3]) <= np.array(SETTINGS.acceleration_m_s2) + 1e-9)
    assert np.array_equal(motion.position, goal)
