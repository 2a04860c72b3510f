from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, EpisodeRecorder, MessageDefinitions, offered_qos
from vla3d_ros.recording.clock_watch import ClockWatch
from vla3d_ros.recording.disk_guard import DiskGuard
from vla3d_ros.recording.episode_control import EpisodeControl
from vla3d_ros.recording.health import HealthMonitor
from vla3d_ros.recording.session_file import read_session

STRING = "std_msgs/msg/String"
S = 1_000_000_000


class Bench:
    """A control with a disk and clocks of the test's own."""

    def __init__(self, folder: Path, *, is_gated: bool = False, is_simulated: bool = False) -> None:
        self.free_bytes = 10**12
        self.steady_ns = 0
        definitions = MessageDefinitions()
        self.recorder = EpisodeRecorder(
            folder, definitions=definitions, queue_bytes=2**20, custom_data={}, session_topic="/session"
        )
        monitor = HealthMonitor(
            definitions.typestore,
            rig=None,
            joint_names=["elbow"] if is_gated else [],
            is_simulated=is_simulated,
            today=lambda: date(2026, 1, 1),
        )
        self.control = EpisodeControl(
            self.recorder,
            monitor=monitor,
            guard=DiskGuard(folder, 10**9, lambda _: self.free_bytes),
            clock_watch=ClockWatch(is_simulated=is_simulated),
            instruction_topic="/instruction",
            is_gated=is_gated,
            provenance={"software": {"package": "1"}},
        )
        for topic, is_latched in (("/said", False), ("/instruction", True)):
            self.recorder.add_topic(topic, STRING, offered_qos(is_latched=is_latched))

    def start(self, now_ns: int = 100 * S, *, is_forced: bool = False) -> Path:
        return self.control.start(now_ns, "", is_forced=is_forced)

    def hear(self, ros, now_ns: int, text: str = "x", passed_ns: int = 10_000_000, topic: str = "/said") -> None:
        self.steady_ns += passed_ns
        self.control.on_message(topic, STRING, now_ns, self.steady_ns, ros.text(text))


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def said(bag: Path) -> list[tuple[int, str]]:
    with BagReader(bag) as reader:
        return [(m.stamp_ns, reader.decode(m).data) for m in reader.messages(["/said"])]


def events(bag: Path) -> str:
    return " | ".join(event["what"] for event in read_session(bag).events)


def test_session_file_tells_what_who_how_it_went_and_with_what(bench, ros, tmp_path):
    bench.control.instruction, bench.control.operator = "pick up the cube", "ada"
    bag = bench.start()
    bench.hear(ros, 101 * S)
    bench.control.note("gripper slipped")
    bench.control.judge("failure")
    bench.control.note("twice")
    session = yaml.safe_load((bag / "session.yaml").read_text())
    assert (session["episode"], session["outcome"]) == ("episode_0001", "failure")
    assert (session["instruction"], session["operator"]) == ("pick up the cube", "ada")
    assert session["note"] == "gripper slipped\ntwice"
    assert session["result"]["messages"]["/said"] == 1
    assert session["result"]["dropped"] == {}
    assert session["provenance"] == {"software": {"package": "1"}}


def test_instruction_of_the_policy_is_taken_where_the_operator_gave_none(bench, ros):
    bag = bench.start()
    bench.hear(ros, 101 * S, "pick up the red cube", topic="/instruction")
    bench.hear(ros, 102 * S, "", topic="/instruction")
    bench.control.stop()
    assert read_session(bag).instruction == "pick up the red cube"


def test_last_episode_can_be_judged_anew_and_discarded_after_it_ended(bench, ros, tmp_path):
    bag = bench.start()
    bench.control.stop()
    assert read_session(bag).outcome == "unjudged"
    bench.control.judge("success")
    bench.control.judge("failure")
    assert read_session(bag).outcome == "failure"
    bench.control.discard()
    assert not bag.exists()
    assert read_session(tmp_path / "discarded" / "episode_0001").outcome == "discarded"
    assert bench.start().name == "episode_0002"
    with pytest.raises(RecordingError, match="start one first"):
        Bench(tmp_path / "elsewhere").control.discard()


def test_gate_refuses_with_every_reason_and_force_is_written_down(tmp_path, ros):
    bench = Bench(tmp_path, is_gated=True)
    bench.free_bytes = 10**10
    with pytest.raises(RecordingError, match="no joint state of \\['elbow'\\]"):
        bench.start()
    assert not list(tmp_path.iterdir())
    bag = bench.start(is_forced=True)
    bench.control.stop()
    session = read_session(bag)
    assert session.is_forced
    assert "elbow" in session.problems_at_start[0]


def test_full_disk_can_not_be_forced(tmp_path):
    bench = Bench(tmp_path)
    bench.free_bytes = 10**8
    with pytest.raises(RecordingError, match=r"100 MB free; expected at least 1000 MB.*remove recordings"):
        bench.start(is_forced=True)


def test_episode_ends_whole_before_the_disk_is_full_and_says_so(bench, ros):
    bag = bench.start()
    bench.hear(ros, 101 * S, "kept")
    bench.free_bytes = 5 * 10**8
    bench.control.tick(102 * S)
    bench.hear(ros, 103 * S, "after")
    assert said(bag) == [(101 * S, "kept")]
    status = bench.control.status(104 * S)
    assert status.path is None
    assert "500 MB free" in status.failure
    assert "500 MB free" in read_session(bag).result["ended_because"]
    bench.free_bytes = 10**12
    bench.start(105 * S)
    assert bench.control.status(105 * S).failure == ""
    bench.control.stop()


def test_clock_set_back_splits_the_episode_and_both_parts_say_so(bench, ros):
    first = bench.start()
    bench.hear(ros, 101 * S, "before")
    bench.hear(ros, 41 * S, "after")
    bench.hear(ros, 42 * S, "later", passed_ns=S)
    second = bench.control.status(42 * S).path
    bench.control.stop()
    assert said(first) == [(101 * S, "before")]
    assert said(second) == [(41 * S, "after"), (42 * S, "later")]
    assert "stepped back by 60.010 s" in read_session(first).result["ended_because"]
    assert read_session(second).continues == "episode_0001"
    assert "continues episode_0001" in events(second)


def test_clock_that_dances_splits_once_and_then_keeps_the_order_of_arrival(bench, ros):
    first = bench.start()
    for index, now_s in enumerate((101, 50, 101, 50, 102)):
        bench.hear(ros, now_s * S, str(index))
    second = bench.control.status(102 * S).path
    bench.control.stop()
    assert said(first) == [(101 * S, "0")]
    assert [text for _, text in said(second)] == ["1", "2", "3", "4"]
    stamps = [stamp for stamp, _ in said(second)]
    assert stamps == sorted(stamps)
    assert "receive stamps wait for it" in events(second)


def test_clock_set_forward_is_noted_and_nothing_is_moved(bench, ros):
    bag = bench.start()
    bench.hear(ros, 101 * S, "before")
    bench.hear(ros, 161 * S, "after")
    bench.control.stop()
    assert said(bag) == [(101 * S, "before"), (161 * S, "after")]
    assert "stepped forward by 59.990 s" in events(bag)


def test_simulated_clock_may_run_at_any_speed_but_not_back(tmp_path, ros):
    bench = Bench(tmp_path, is_simulated=True)
    bag = bench.start()
    bench.hear(ros, 101 * S)
    bench.hear(ros, 201 * S)
    assert bench.control.status(201 * S).path == bag
    bench.hear(ros, 5 * S)
    assert bench.control.status(5 * S).path.name == "episode_0002"
    bench.control.stop()


def test_messages_that_never_arrived_are_counted_as_lost(bench, ros):
    bag = bench.start()
    bench.hear(ros, 101 * S)
    bench.recorder.on_missed("/said", 3)
    assert bench.control.status(101 * S).writer.dropped == {"/said": 3}
    bench.control.tick(101 * S)
    assert "messages are lost; 3 on /said" in bench.control.status(101 * S).problems
    assert "DROPPED 3 on /said" in bench.control.stop().line()
    assert "messages are lost" in events(bag)
    assert read_session(bag).result["dropped"] == {"/said": 3}


def test_what_goes_wrong_on_the_way_is_noted_once_when_it_comes_and_when_it_goes(tmp_path, ros):
    bench = Bench(tmp_path)
    kind = "sensor_msgs/msg/JointState"
    bench.recorder.add_topic("/joint_states", kind, offered_qos())

    def joints(now_ns: int) -> None:
        bench.control.on_message("/joint_states", kind, now_ns, now_ns, ros.joint_state(now_ns, ["a"], [0.0], [0.0]))

    joints(100 * S)
    bag = bench.start()
    for now_s in (102, 103, 104):
        bench.control.tick(now_s * S)
    joints(105 * S)
    bench.control.tick(105 * S)
    bench.control.stop()
    whats = [event["what"] for event in read_session(bag).events]
    assert len(whats) == 2
    assert "joint state of 'a' is 2.00 s old" in whats[0]
    assert whats[1].startswith("over: joint state of 'a'")
