"""Who drove: read from what teleoperation and policy said of themselves."""

import pytest

from vla3d_ros.recording import BagWriter, offered_qos
from vla3d_ros.recording.control_survey import StatusRow, survey_control
from vla3d_ros.recording.inspection import inspect

S = 10**9
STATUS = "diagnostic_msgs/msg/DiagnosticStatus"


def row(at_s, message="holding", *, is_ok=True, device="spacemouse", **clutches):
    values = {"device": device, "arms": "left right", **{f"{arm}_clutch": word for arm, word in clutches.items()}}
    return StatusRow(stamp_ns=round(at_s * S), is_ok=is_ok, message=message, values=values)


def test_the_clutch_says_who_was_in_control_and_what_was_said_holds_until_the_next_word():
    rows = [
        StatusRow(stamp_ns=0, is_ok=True, message="not active", values={}),
        row(1, left="open", right="open"),
        row(2, "driving", left="closed", right="open"),
        row(4, "driving", left="closed", right="closed"),
        row(5, left="open", right="closed"),
    ]
    found = survey_control(rows, [], 0, 10 * S)
    assert found.spans_ns == {"left": ((2 * S, 5 * S),), "right": ((4 * S, 10 * S),)}
    assert found.teleop_share == pytest.approx(0.8), "from 2 s to the end some clutch was closed"
    assert "teleoperation by spacemouse, in control 80% of the time" in found.sentence()
    assert "left 3.0 s in 1 stretches, right 6.0 s in 1 stretches" in found.sentence()


def test_a_lost_device_drives_nobody_and_is_told_once_each_time():
    rows = [
        row(0, "driving", left="closed"),
        row(1, "spacemouse: silent for 0.31 s; holding, then silent", is_ok=False, left="closed"),
        row(2, "spacemouse: silent for 1.31 s; holding, then silent", is_ok=False, left="closed"),
        row(3, "driving", left="closed"),
        row(4, "spacemouse: silent for 0.35 s; holding, then silent", is_ok=False, left="locked"),
    ]
    found = survey_control(rows, [], 0, 5 * S)
    assert found.spans_ns["left"] == ((0, S), (3 * S, 4 * S))
    assert [stamp for stamp, _ in found.troubles] == [S, 4 * S]


def test_a_second_device_is_named_after_the_first():
    rows = [row(0, device="keyboard"), row(1, device="leader"), row(2, device="keyboard")]
    found = survey_control(rows, [], 0, 3 * S)
    assert found.devices == ("keyboard", "leader")
    assert "keyboard then leader" in found.sentence() and "the clutch was never closed" in found.sentence()


def test_a_policy_is_told_by_its_reports_and_silence_says_nothing():
    found = survey_control([], [2 * S, 3 * S, 7 * S], 0, 10 * S)
    assert not found.is_teleoperated
    assert found.sentence() == "policy: 3 chunks over 50% of the time"
    assert survey_control([], [], 0, 10 * S).sentence() == ""


def test_a_bag_with_teleoperation_says_so(tmp_path, ros):
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        writer.add_topic("/arm/teleop/state", STATUS, offered_qos(is_latched=True))
        for at_s, word, level in ((0, "open", 0), (1, "closed", 0), (3, "closed", 2), (4, "open", 0)):
            pairs = {"device": "gamepad", "arms": "arm", "arm_clutch": word}
            values = [ros.message("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in pairs.items()]
            fields = {"level": level, "name": "teleop", "message": "said", "hardware_id": "", "values": values}
            writer.write("/arm/teleop/state", 5 * S + at_s * S, ros.cdr(STATUS, **fields))
    seen = inspect(path)
    assert seen.control.devices == ("gamepad",)
    assert seen.control.spans_ns == {"arm": ((6 * S, 8 * S),)}
    assert [f.sentence for f in seen.findings if f.subject == "teleoperation"] == ["3.0 s: said"]
