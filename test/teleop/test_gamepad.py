"""A pad's events, as the kernel's xpad driver sends them."""

import errno

import numpy as np
import pytest
from teleop_hands import settings_of

from vla3d_ros.errors import ConfigError, DependencyError
from vla3d_ros.teleop.devices.gamepad import (
    EV_ABS,
    EV_KEY,
    EV_SYN,
    SYN_DROPPED,
    EvdevPad,
    Gamepad,
    PadEvent,
    open_evdev,
)

RANGES = {
    "ABS_X": (-32768, 32767), "ABS_Y": (-32768, 32767), "ABS_RX": (-32768, 32767), "ABS_RY": (-32768, 32767),
    "ABS_Z": (0, 255), "ABS_RZ": (0, 255), "ABS_HAT0X": (-1, 1),
}  # fmt: skip
SYN = PadEvent(EV_SYN, "", 0, 0)


def abs_event(name: str, value: int) -> PadEvent:
    return PadEvent(EV_ABS, name, 0, value)


def key(name: str, value: int) -> PadEvent:
    return PadEvent(EV_KEY, name, 0, value)


class RecordedPad:
    """Plays a stream of events, one look a batch; an error in the stream is raised."""

    def __init__(self, batches, values=None, down=()) -> None:
        self.batches = list(batches)
        self.values = values or dict.fromkeys(RANGES, 0)
        self.down = set(down)
        self.is_closed = False

    def read(self):
        batch = self.batches.pop(0) if self.batches else []
        if isinstance(batch, OSError):
            raise batch
        return batch

    def ranges(self):
        return RANGES

    def state(self):
        return dict(self.values), set(self.down)

    def close(self):
        self.is_closed = True


def opened(*pads: RecordedPad) -> Gamepad:
    waiting = list(pads)

    def opener(wanted: str):
        if not waiting:
            raise ConfigError("no gamepad")
        return waiting.pop(0)

    gamepad = Gamepad(settings_of("gamepad").options, opener)
    gamepad.open()
    return gamepad


def test_a_stick_pushed_forward_with_the_clutch_held_moves_forward():
    pad = RecordedPad([[key("BTN_TR", 1), abs_event("ABS_Y", -32768), SYN]])
    (hand,) = opened(pad).poll(0.0).hands
    np.testing.assert_allclose(hand.twist, [1.0, 0, 0, 0, 0, 0], atol=1e-4)
    assert hand.clutch and hand.age_s == 0.0


def test_values_stay_until_the_next_event_and_the_clutch_opens_on_release():
    pad = RecordedPad([[key("BTN_TR", 1), abs_event("ABS_Y", -32768)], [], [key("BTN_TR", 0)]])
    gamepad = opened(pad)
    assert [gamepad.poll(t).hands[0].clutch for t in (0.0, 0.1, 0.2)] == [True, True, False]
    assert gamepad.poll(0.3).hands[0].twist[0] == pytest.approx(1.0, abs=1e-4)


def test_small_deflections_are_none_and_middle_ones_are_finer():
    pad = RecordedPad([[abs_event("ABS_X", 3000)], [abs_event("ABS_X", -16384)]])
    gamepad = opened(pad)
    assert not gamepad.poll(0.0).hands[0].twist.any()
    assert 0.1 < gamepad.poll(0.1).hands[0].twist[1] < 0.25


def test_triggers_lift_and_lower():
    pad = RecordedPad(
        [[abs_event("ABS_RZ", 255), abs_event("ABS_Z", 0)], [abs_event("ABS_RZ", 0), abs_event("ABS_Z", 255)]]
    )
    gamepad = opened(pad)
    assert gamepad.poll(0.0).hands[0].twist[2] == pytest.approx(1.0)
    assert gamepad.poll(0.1).hands[0].twist[2] == pytest.approx(-1.0)


def test_buttons_are_pressed_once_however_long_they_are_held():
    pad = RecordedPad([[key("BTN_SOUTH", 1)], [key("BTN_SOUTH", 2)], [key("BTN_SOUTH", 0), key("BTN_EAST", 1)]])
    gamepad = opened(pad)
    assert [gamepad.poll(t).presses for t in (0.0, 0.1, 0.2)] == [("gripper",), (), ("stop",)]


def test_events_the_kernel_dropped_are_made_up_for_by_reading_the_state():
    pad = RecordedPad([[key("BTN_TR", 1)], [PadEvent(EV_SYN, "", SYN_DROPPED, 0)]])
    gamepad = opened(pad)
    assert gamepad.poll(0.0).hands[0].clutch
    assert not gamepad.poll(0.1).hands[0].clutch


def test_a_pad_that_is_unplugged_is_silent_and_comes_back_with_its_clutch_as_it_is():
    pad = RecordedPad([[key("BTN_TR", 1)], OSError(errno.ENODEV, "No such device")])
    again = RecordedPad([], down={"BTN_TR"})
    gamepad = opened(pad, again)
    gamepad.poll(0.0)
    lost = gamepad.poll(0.1)
    assert lost.hands[0].age_s == np.inf and "No such device" in lost.trouble and pad.is_closed
    assert gamepad.poll(0.5).trouble
    back = gamepad.poll(1.2)
    assert back.hands[0].age_s == 0.0 and back.hands[0].clutch and not back.trouble


def test_wrong_options_are_all_named():
    options = dict(settings_of("gamepad").options)
    options |= {"deadband": 2.0, "buttons": {"BTN_SOUTH": "jump"}, "colour": "red"}
    with pytest.raises(ConfigError) as refused:
        Gamepad(options)
    for problem in ("deadband' is 2.0", "'jump'; expected one of", "unknown key 'options.colour'"):
        assert problem in str(refused.value)


def test_names_of_the_shipped_file_are_those_of_the_kernel():
    ecodes = pytest.importorskip("evdev", reason="evdev is not installed").ecodes
    options = settings_of("gamepad").options
    names = [*options["buttons"], options["clutch"], *RANGES]
    for name in names:
        code = ecodes.ecodes[name]
        kind = EV_ABS if name.startswith("ABS") else EV_KEY
        assert EvdevPad(None, ecodes)._name(kind, code) == name


def test_without_a_pad_the_error_says_what_is_there_and_what_to_do():
    pytest.importorskip("evdev", reason="evdev is not installed")
    with pytest.raises((ConfigError, DependencyError), match="no gamepad 'No Such Pad'"):
        open_evdev("No Such Pad")
