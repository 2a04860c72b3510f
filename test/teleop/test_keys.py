"""What a terminal sends, byte for byte."""

import numpy as np
import pytest
from teleop_hands import settings_of

from vla3d_ros.errors import ConfigError
from vla3d_ros.teleop.devices.keyboard import Keyboard
from vla3d_ros.teleop.keys import KeyStream, split_keys
from vla3d_ros.teleop.loading import load_keys

# a key held for a second on a console: one byte, the delay before repeats, then one every 40 ms
HELD_W = [(0.0, "w"), *[(0.5 + 0.04 * i, "w") for i in range(13)]]


def played(recording, until_s: float, beat_s: float = 0.05) -> tuple[Keyboard, KeyStream]:
    keys = load_keys(settings_of("keyboard"))
    beats = [(beat_s * i, "") for i in range(int(until_s / beat_s) + 1)]
    for at_s, text in sorted([*recording, *beats]):
        if at_s <= until_s:
            keys.hear(text, at_s)
    return Keyboard(keys), keys


def test_arrows_and_named_keys_are_told_from_characters():
    assert split_keys("w\x1b[A\x1b[Z\t \x1b[3~g") == ["w", "up", "backtab", "tab", "space", "\x1b[3~", "g"]


def test_a_held_key_moves_while_it_repeats_and_stops_after_the_last_one():
    for at_s, expected in ((0.1, 1.0), (0.3, 0.0), (0.6, 1.0), (1.1, 1.0), (1.3, 0.0)):
        keyboard, _ = played(HELD_W, at_s)
        (hand,) = keyboard.poll(at_s).hands
        assert hand.twist[0] == expected
        assert hand.clutch == bool(expected)
        assert hand.age_s <= 0.06


def test_a_terminal_that_is_gone_grows_old():
    keyboard, _ = played(HELD_W, 0.6)
    assert keyboard.poll(1.6).hands[0].age_s == pytest.approx(1.0, abs=0.06)


def test_opposite_keys_replace_one_another_and_axes_add_up():
    keyboard, _ = played([(0.0, "w"), (0.01, "a"), (0.02, "s")], 0.05)
    np.testing.assert_array_equal(keyboard.poll(0.05).hands[0].twist, [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0])


def test_presses_are_taken_once_and_in_order():
    _, keys = played([(0.0, "g"), (0.01, "+\tc")], 0.1)
    assert keys.take_presses() == ("gripper", "faster", "next_arm", "clutch")
    assert keys.take_presses() == ()


def test_a_key_bound_to_nothing_that_exists_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"\{'v': '\+w'\} are bound to nothing"):
        KeyStream({"v": "+w", "w": "+x"}, 0.1)
