"""Distances between bodies, on a made-up robot: two balls, each on a slider of its own arm, beside a post and a box."""

import numpy as np
import pytest

from vla3d_ros.safety.bodies import check_bodies

NOTHING = np.zeros((0, 2, 3))


class TwoSliders:
    """Arm `l` slides a ball of radius 0.1 m along x, arm `r` another; a post stands at the origin."""

    links = ("left_ball", "right_ball", "post", "left_tail")
    radii = np.array([0.1, 0.1, 0.05, 0.02])
    arm_of = ("l", "r", "", "l")
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    boxes = np.array([[[-0.1, -0.1, -1.0], [0.1, 0.1, -0.5]]])
    box_links = ("pedestal",)
    box_pairs = np.array([[3, 0]])

    def place(self, q):
        left, right = q["l"][:, 0], q["r"][:, 0]
        ends = np.zeros((len(left), 4, 2, 3))
        ends[:, 0, :, 0], ends[:, 1, :, 0] = left[:, None], right[:, None]
        ends[:, 2, 1, 2] = 1.0
        ends[:, 3, :, 0] = left[:, None]
        ends[:, 3, :, 2] = -0.2, -0.3
        return ends


def checks(left, right, keep_out=NOTHING, clearance_m=0.01):
    q = {"l": np.array(left, float)[:, None], "r": np.array(right, float)[:, None]}
    return {reason.check: reason.message for reason in check_bodies(q, TwoSliders(), keep_out, clearance_m)}


def test_bodies_that_stay_apart_pass():
    assert checks([-0.5, -0.4], [0.5, 0.4]) == {}


def test_two_arms_that_meet_name_both_links_and_the_distance():
    message = checks([-1.0, 0.7], [1.0, 1.0 - 0.105])["arm_collision"]
    assert "'left_ball' would come to -5.0 mm from link 'right_ball', allowed 10.0 mm" in message


def test_an_arm_that_meets_what_does_not_move_collides_with_itself():
    message = checks([-0.5, -0.149], [0.9, 0.9])["self_collision"]
    assert "'left_ball' would come to -1.0 mm from link 'post'" in message


def test_what_is_too_close_already_may_come_apart_but_not_closer():
    assert checks([-0.155, -0.3], [0.9, 0.9]) == {}
    assert "self_collision" in checks([-0.155, -0.151], [0.9, 0.9])


def test_the_way_between_start_and_end_counts():
    assert "self_collision" in checks([-0.5, 0.0, 0.5], [1.5, 1.5, 1.5])


@pytest.mark.parametrize(("reach", "hits"), [(-0.45, False), (-0.35, True)])
def test_keep_out_boxes_are_kept_out_of(reach, hits):
    box = np.array([[[-0.25, -0.2, -0.2], [0.0, 0.2, 0.2]]])
    found = checks([-0.8, reach], [0.9, 0.9], keep_out=box)
    assert ("keep_out" in found) is hits
    if hits:
        assert "'left_ball' would come to" in found["keep_out"] and "keep-out box 0" in found["keep_out"]


def test_boxes_of_the_robot_itself_are_obstacles_too():
    class Longer(TwoSliders):
        def place(self, q):
            ends = super().place(q)
            ends[:, 3, 1, 2] = -0.6
            return ends

    q = {"l": np.array([[-0.8], [-0.11]]), "r": np.array([[0.9], [0.9]])}
    (reason,) = [r for r in check_bodies(q, Longer(), NOTHING, 0.005) if "pedestal" in r.message]
    assert reason.check == "self_collision" and "'left_tail'" in reason.message
