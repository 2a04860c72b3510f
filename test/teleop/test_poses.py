import numpy as np
import pytest
from teleop_hands import settings_of

from vla3d_ros.errors import ConfigError
from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.devices.poses import TrackedHands

POSE = Transform.from_rpy((0.1, 0.2, 0.3), (0.0, 0.1, 0.0))


def tracked(**changes) -> TrackedHands:
    return TrackedHands({**settings_of("poses").options, **changes})


def test_the_clutch_is_a_button_and_the_trigger_closes_the_gripper():
    hands = tracked()
    hands.hear_pose(0, POSE, 1.0)
    hands.hear_joy(0, [0.25], [1], 1.0)
    (hand,) = hands.poll(1.05).hands
    assert hand.clutch and hand.opening == 0.75 and hand.age_s == pytest.approx(0.05)


def test_poses_without_their_buttons_do_not_close_the_clutch():
    hands = tracked()
    hands.hear_pose(0, POSE, 1.0)
    assert not hands.poll(1.0).hands[0].clutch
    hands.hear_joy(0, [0.0], [1], 1.0)
    hands.hear_pose(0, POSE, 1.5)
    assert not hands.poll(1.5).hands[0].clutch


def test_a_message_that_is_too_short_presses_nothing():
    hands = tracked(clutch_button=7)
    hands.hear_pose(0, POSE, 1.0)
    hands.hear_joy(0, [], [1], 1.0)
    assert not hands.poll(1.0).hands[0].clutch


def test_a_button_for_the_gripper_is_an_edge():
    hands = tracked(gripper_button=1)
    for buttons in ([0, 0], [0, 1], [0, 1]):
        hands.hear_joy(0, [0.0], buttons, 1.0)
    assert hands.poll(1.0).hands[0].presses == ("gripper",)
    assert hands.poll(1.0).hands[0].presses == ()


def test_the_trackers_axes_come_from_the_file():
    R = tracked(rpy_base_device=[0.0, 0.0, np.pi / 2]).T_base_device.rotation
    np.testing.assert_allclose(R @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


def test_buttons_without_a_topic_for_them_are_refused():
    options = {"poses": ["/hand"], "clutch_button": 0}
    with pytest.raises(ConfigError, match="add 'joys', one topic per hand"):
        TrackedHands(options)
