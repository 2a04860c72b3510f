"""States of a SpaceMouse, as pyspacemouse shows them, and its raw reports through pyspacemouse itself."""

from types import SimpleNamespace

import numpy as np
import pytest
from teleop_hands import settings_of

from vla3d_ros.errors import ConfigError
from vla3d_ros.teleop.devices.spacemouse import SpaceMouse


def state(t: float, buttons=(0, 0), **axes: float) -> SimpleNamespace:
    zero = dict.fromkeys(("x", "y", "z", "roll", "pitch", "yaw"), 0.0)
    return SimpleNamespace(t=t, buttons=list(buttons), **{**zero, **axes})


class RecordedMouse:
    """Plays states, one report a read; the last one stays. An exception is raised from then on."""

    def __init__(self, *states) -> None:
        self.states = list(states)
        self.is_closed = False

    def read(self):
        if isinstance(self.states[0], Exception):
            raise self.states[0]
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def close(self) -> None:
        self.is_closed = True


def opened(*mice, **changes) -> SpaceMouse:
    waiting = list(mice)

    def opener(index: int):
        if not waiting:
            raise ConfigError("SpaceMouse is not there")
        return waiting.pop(0)

    mouse = SpaceMouse({**settings_of("spacemouse").options, **changes}, opener)
    mouse.open()
    return mouse


def test_the_newest_report_counts_and_pushing_the_cap_closes_the_clutch():
    mouse = opened(RecordedMouse(state(1.0, x=0.2), state(1.01, x=0.5), state(1.02, x=1.0)))
    (hand,) = mouse.poll(0.0).hands
    np.testing.assert_allclose(hand.twist, [1.0, 0, 0, 0, 0, 0])
    assert hand.clutch and hand.age_s == 0.0


def test_a_cap_at_rest_is_heard_and_opens_the_clutch():
    mouse = opened(RecordedMouse(state(1.0, x=0.03)))
    (hand,) = mouse.poll(50.0).hands
    assert not hand.clutch and hand.age_s == 0.0


def test_a_pushed_cap_whose_reports_end_grows_old():
    mouse = opened(RecordedMouse(state(1.0, x=1.0)))
    ages = [mouse.poll(now_s).hands[0].age_s for now_s in (10.0, 10.1, 10.4)]
    assert ages == pytest.approx([0.0, 0.1, 0.4])


def test_buttons_are_edges_and_a_grippers_button_belongs_to_its_hand():
    mouse = opened(RecordedMouse(state(1.0, (1, 0))), buttons={"button_0": "gripper", "button_1": "next_arm"})
    looks = [mouse.poll(t) for t in (0.0, 0.1)]
    assert [look.hands[0].presses for look in looks] == [("gripper",), ()]
    mouse = opened(RecordedMouse(state(1.0, (0, 1))))
    assert mouse.poll(0.0).presses == ("next_arm",)


def test_a_button_can_be_the_clutch():
    mouse = opened(RecordedMouse(state(1.0, (0, 0), x=1.0)), clutch="button_1")
    assert not mouse.poll(0.0).hands[0].clutch


def test_a_mouse_that_is_unplugged_is_silent_and_found_again():
    mouse = opened(RecordedMouse(RuntimeError("Failed to read from HID device: -1")), RecordedMouse(state(2.0)))
    lost = mouse.poll(0.0)
    assert lost.hands[0].age_s == np.inf and "Failed to read" in lost.trouble
    assert not mouse.poll(1.1).trouble


def test_two_mice_are_two_hands():
    mouse = opened(RecordedMouse(state(1.0, x=1.0)), RecordedMouse(state(1.0, z=-1.0)), count=2)
    left, right = mouse.poll(0.0).hands
    assert left.twist[0] == 1.0 and right.twist[2] == -1.0


def test_a_raw_report_of_the_hardware_moves_forward_left_and_up_as_ros_has_it():
    pyspacemouse = pytest.importorskip("pyspacemouse", reason="pyspacemouse or the system's hidapi is not installed")
    spec = pyspacemouse.apply_axis_convention(
        pyspacemouse.get_device_specs()["SpaceNavigator"], pyspacemouse.AxisConvention.ROS
    )
    reports = {
        "forward": ([1, 0, 0, 0xA2, 0xFE, 0, 0], [1.0, 0, 0, 0, 0, 0]),  # HID y is towards the user: -350
        "left": ([1, 0xA2, 0xFE, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]),  # HID x is to the right
        "up": ([1, 0, 0, 0, 0, 0xA2, 0xFE], [0, 0, 1.0, 0, 0, 0]),  # HID z is down
        "anticlockwise": ([2, 0, 0, 0, 0, 0xA2, 0xFE], [0, 0, 0, 0, 0, 1.0]),  # HID Rz is clockwise from above
    }
    for report, expected in reports.values():
        device = pyspacemouse.SpaceMouseDevice(spec)
        device._process(bytes(report))
        moved = SimpleNamespace(read=device.read, close=device.close)
        (hand,) = opened(moved).poll(0.0).hands
        np.testing.assert_allclose(hand.twist, expected, atol=1e-6)
