"""Flawed chunks have the flaw they are named after, and nothing else."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this Python: run 'make setup' or source ROS 2")

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.errors import ShapeError
from vla3d_ros.geometry import Transform
from vla3d_ros.ros import conversions
from vla3d_ros.ros.fault_chunks import flawed, heading

STROKES_M = {"x": 0.08}
NOW_NS = 50_000_000_000


def sound():
    part = ArmChunk(arm="x", Ts_ee0_ee=np.tile(np.eye(4), (30, 1, 1)), gripper_opening=np.ones(30))
    chunk = ActionChunk(stamp_ns=NOW_NS, dt_ns=33_333_333, arms=(part,))
    return conversions.chunk_to_msg(chunk, "base", STROKES_M)


@pytest.mark.parametrize("flaw", ["quaternion", "arm", "names", "empty", "ragged"])
def test_some_flaws_can_not_even_be_read(flaw):
    with pytest.raises(ShapeError):
        conversions.chunk_from_msg(flawed(sound(), flaw), STROKES_M)


@pytest.mark.parametrize(
    ("flaw", "shows"),
    [
        ("nan", lambda chunk: math.isnan(chunk.arms[0].Ts_ee0_ee[3, 0, 3])),
        ("inf", lambda chunk: math.isinf(chunk.arms[0].gripper_opening[3])),
        ("wide", lambda chunk: chunk.arms[0].gripper_opening.min() > 1),
        ("huge", lambda chunk: len(chunk.arms[0].Ts_ee0_ee) == 2000),
        ("tiny_dt", lambda chunk: chunk.dt_ns == 10_000),
        ("jump", lambda chunk: chunk.arms[0].Ts_ee0_ee[0, 0, 3] == 0.5),
        ("stale", lambda chunk: chunk.stamp_ns == NOW_NS - 2_000_000_000),
        ("future", lambda chunk: chunk.stamp_ns == NOW_NS + 1_000_000_000),
        ("old", lambda chunk: chunk.stamp_ns == NOW_NS - 100_000_000),
    ],
)
def test_other_flaws_reach_the_gate_as_they_are(flaw, shows):
    template = sound()
    assert shows(conversions.chunk_from_msg(flawed(template, flaw), STROKES_M))
    assert template == sound(), "the template was spoiled"


def test_a_course_is_steady_in_the_base_frame_whatever_way_the_hand_points():
    T_base_ee = Transform.from_rpy((0.4, 0.0, 0.5), (math.pi, 0.0, 0.3))
    chunk = heading("seek_table", {"x": T_base_ee}, NOW_NS, np.random.default_rng(0))
    Ts = T_base_ee.matrix @ chunk.arms[0].Ts_ee0_ee
    assert Ts[-1, :3, 3] == pytest.approx([0.4, 0.0, 0.5 - 0.15], abs=1e-6)
    assert Ts[-1, :3, :3] == pytest.approx(T_base_ee.rotation)


def test_the_random_policy_is_repeatable():
    first, second = (
        heading("random", {"x": Transform.identity()}, NOW_NS, np.random.default_rng(3)).arms[0] for _ in range(2)
    )
    assert (first.Ts_ee0_ee == second.Ts_ee0_ee).all() and np.abs(first.Ts_ee0_ee[-1, :3, 3]).max() > 0.01
