"""Which hand drives which arm, and when it counts."""

import math

import numpy as np
import pytest
from teleop_hands import MS, TOOL_DOWN, pose_hand, settings_of, twist_hand

from vla3d_ros.geometry import Transform
from vla3d_ros.teleop.device import DeviceState
from vla3d_ros.teleop.teleoperation import Teleoperation

EE = {"left": (TOOL_DOWN, 1.0), "right": (TOOL_DOWN, 1.0)}


class Session:
    """A teleoperation that is looked at and asked for chunks thirty times a second."""

    def __init__(self, device: str = "gamepad", arms=("left",), **changes) -> None:
        self.core = Teleoperation(settings_of(device, **changes), arms)
        self.core.note_verdict("")
        self.now_s, self.stamp_ns = 100.0, 1_000 * MS
        self.chunk = None

    def look(self, *hands, presses=(), trouble="", times: int = 1) -> list[str]:
        for _ in range(times):
            self.now_s += 0.033
            self.stamp_ns += 33 * MS
            requests = self.core.look(DeviceState(hands=hands, presses=presses, trouble=trouble), self.now_s)
            self.chunk = self.core.chunk(self.stamp_ns, EE)
        return requests

    def moves(self, arm: str = "left") -> bool:
        (part,) = [part for part in self.chunk.arms if part.arm == arm]
        return bool(np.abs(part.Ts_ee0_ee[-1] - np.eye(4)).max() > 1e-6)

    def clutch(self, arm: str = "left") -> str:
        return self.core.status().clutches[arm]


def test_a_device_that_was_never_heard_makes_no_chunk():
    session = Session()
    session.look(twist_hand(age_s=math.inf))
    assert session.chunk is None
    assert session.core.status().lost == "never heard"


def test_a_device_in_hand_makes_chunks_and_an_open_clutch_holds():
    session = Session()
    session.look(twist_hand(1.0, clutch=False))
    assert session.chunk is not None and not session.moves()
    session.look(twist_hand(1.0), times=3)
    assert session.moves()


def test_a_silent_device_holds_for_a_while_then_there_are_no_chunks():
    session = Session()
    session.look(twist_hand(clutch=False))
    session.look(twist_hand(1.0), times=3)
    session.look(twist_hand(1.0, age_s=0.3), times=20)
    assert session.chunk is not None
    assert session.clutch() == "locked"
    session.look(twist_hand(1.0, age_s=1.5), times=20)
    assert session.chunk is None


def test_after_a_loss_the_clutch_has_to_be_released_before_anything_moves():
    session = Session()
    session.look(twist_hand(clutch=False))
    session.look(twist_hand(1.0), times=3)
    session.look(twist_hand(1.0, age_s=9.0), times=60)
    session.look(twist_hand(1.0), times=5)
    assert session.clutch() == "locked" and not session.moves()
    session.look(twist_hand(1.0, clutch=False))
    session.look(twist_hand(1.0), times=3)
    assert session.moves()


def test_while_the_adapter_refuses_chunks_hold_where_the_arm_is_and_lock_the_clutch():
    session = Session()
    session.look(twist_hand(clutch=False))
    session.look(twist_hand(1.0), times=3)
    session.core.note_verdict("homing: the arm is on its way home")
    session.look(twist_hand(1.0), times=5)
    np.testing.assert_allclose(session.chunk.arms[0].Ts_ee0_ee[-1], np.eye(4), atol=1e-9)
    session.core.note_verdict("")
    session.look(twist_hand(1.0), times=5)
    assert session.clutch() == "locked"


def test_the_gripper_does_not_listen_while_the_adapter_refuses():
    session = Session()
    session.look(twist_hand(clutch=False))
    session.core.note_verdict("disarmed")
    session.look(twist_hand(clutch=False), presses=("gripper",))
    session.core.note_verdict("")
    session.look(twist_hand(clutch=False), times=30)
    assert session.chunk.arms[0].gripper_opening[-1] == 1.0


def test_one_hand_drives_the_selected_arm_and_the_other_holds():
    session = Session(arms=("left", "right"))
    session.look(twist_hand(clutch=False))
    session.look(twist_hand(1.0), times=3)
    assert session.moves("left") and not session.moves("right")
    session.look(twist_hand(clutch=False), presses=("next_arm",))
    assert session.core.status().selected == "right"
    session.look(twist_hand(clutch=False), times=30)
    session.look(twist_hand(1.0), times=3)
    assert session.moves("right") and session.clutch("left") == "locked"


def test_choosing_the_other_arm_with_the_clutch_closed_moves_neither_until_it_is_released():
    session = Session(arms=("left", "right"))
    session.look(twist_hand(clutch=False))
    session.look(twist_hand(1.0), presses=("next_arm",))
    session.look(twist_hand(1.0), times=30)
    assert not session.moves("left") and not session.moves("right")


def test_two_hands_drive_two_arms_and_nothing_is_selected():
    session = Session(arms=("left", "right"))
    session.look(twist_hand(clutch=False), twist_hand(clutch=False))
    session.look(twist_hand(1.0), twist_hand(-1.0), times=3)
    assert session.moves("left") and session.moves("right")
    assert session.core.status().selected == ""


def test_losing_one_of_two_hands_stops_both_arms():
    session = Session(arms=("left", "right"))
    session.look(twist_hand(clutch=False), twist_hand(clutch=False))
    session.look(twist_hand(1.0), twist_hand(1.0), times=3)
    session.look(twist_hand(1.0), twist_hand(1.0, age_s=0.5))
    assert session.clutch("left") == session.clutch("right") == "locked"


def test_a_pose_that_jumps_locks_the_clutch_and_says_by_how_much():
    session = Session("poses")
    session.look(pose_hand(Transform.identity(), clutch=False))
    session.look(pose_hand(Transform.identity()), times=3)
    session.look(pose_hand(Transform.from_rpy((0.3, 0.0, 0.0), (0.0, 0.0, 0.0))))
    assert "jumped by 300 mm" in session.core.status().lost
    assert session.clutch() == "locked" and not session.moves()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_count_as_a_lost_device(bad):
    session = Session()
    session.look(twist_hand(clutch=False))
    session.look(twist_hand(bad))
    assert "not finite" in session.core.status().lost
    assert np.isfinite(session.chunk.arms[0].Ts_ee0_ee).all()


def test_the_terminals_clutch_follows_a_leader_and_opens_when_the_terminal_is_gone():
    session = Session("leader")
    pose = pose_hand(Transform.identity())
    session.look(pose, times=2)
    assert session.clutch() == "open"
    session.look(pose, presses=("clutch",))
    session.look(pose)
    assert session.clutch() == "closed"
    session.core.release()
    session.look(pose)
    assert session.clutch() == "open"


def test_speed_is_chosen_among_the_scales_and_stays_at_their_ends():
    session = Session()
    hand = twist_hand(clutch=False)
    scales = []
    for press in ("slower", "slower", "slower", "faster", "faster", "faster"):
        session.look(hand, presses=(press,))
        scales.append(session.core.status().scale)
    assert scales == [0.3, 0.1, 0.1, 0.3, 1.0, 1.0]


def test_requests_are_handed_on_and_the_rest_is_not():
    session = Session()
    assert session.look(twist_hand(), presses=("arm", "gripper", "stop", "record_start")) == [
        "arm",
        "stop",
        "record_start",
    ]


def test_requests_are_handed_on_even_when_the_device_is_in_trouble():
    session = Session()
    assert session.look(trouble="unplugged", presses=("stop",)) == ["stop"]
