"""Table, workspace and speed in space, on a made-up arm: one joint that slides a ball up and down."""

from dataclasses import replace

import numpy as np

from vla3d_ros.datatypes import JointTrajectory
from vla3d_ros.safety.collision import SpaceLimits, check_space

LIMITS = SpaceLimits(
    workspace_lower_m=(-0.5, -0.5, 0.0),
    workspace_upper_m=(0.5, 0.5, 0.5),
    table_z_m=0.0,
    link_clearance_m=0.02,
    tip_clearance_m=0.005,
    ee_speed_m_s=0.5,
    ee_turn_rad_s=1.0,
)


class SlidingBall:
    """q[0] is the height of the tool; a hand of radius 0.05 m rides 0.1 m above it, a finger tip at the tool."""

    body_links = ("hand", "finger")
    body_radii = np.array([0.05, 0.0])
    body_is_finger = np.array([False, True])

    def forward_bodies(self, q):
        Ts = np.tile(np.eye(4), (len(q), 1, 1))
        Ts[:, 2, 3] = q[:, 0]
        points = np.zeros((len(q), 2, 3))
        points[:, 0, 2], points[:, 1, 2] = q[:, 0] + 0.1, q[:, 0]
        return Ts, points


def checks(heights, step_s=0.1, limits=LIMITS):
    q = np.array(heights, dtype=float)[:, None]
    times_ns = np.arange(len(q), dtype=np.int64) * int(step_s * 1e9)
    trajectory = JointTrajectory(arm="x", joint_names=("a",), times_ns=times_ns, q=q, dq=np.zeros_like(q))
    return {reason.check: reason.message for reason in check_space(trajectory, SlidingBall(), limits)}


def test_free_motion_passes():
    assert checks([0.3, 0.28, 0.3]) == {}


def test_a_finger_may_come_closer_to_the_table_than_a_link():
    assert checks([0.04, 0.006]) == {}
    assert "link 'finger' would come to 2.0 mm above the table, allowed 5.0 mm" in checks([0.03, 0.002])["table"]


def test_the_hand_must_stay_above_its_clearance():
    high = replace(LIMITS, table_z_m=0.0, link_clearance_m=0.09)
    assert "link 'hand' would come to 80.0 mm" in checks([0.05, 0.03], limits=high)["table"]


def test_leaving_the_workspace_names_axis_and_bounds():
    assert "z = 0.510 m, allowed [0.000, 0.500] m" in checks([0.49, 0.51])["workspace"]


def test_an_arm_found_outside_may_come_back_but_not_go_farther():
    assert "workspace" not in checks([0.56, 0.54, 0.5])
    assert "workspace" in checks([0.56, 0.57])


def test_speed_in_space_is_limited():
    assert "0.600 m/s, allowed 0.500 m/s" in checks([0.2, 0.26])["ee_speed"]
