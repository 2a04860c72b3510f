from __future__ import annotations

from pathlib import Path

import pytest

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, EpisodeRecorder, MessageDefinitions, offered_qos

STRING = "std_msgs/msg/String"
LATCHED = offered_qos(is_latched=True, depth=1)


@pytest.fixture
def recorder(tmp_path) -> EpisodeRecorder:
    return EpisodeRecorder(
        tmp_path / "run",
        definitions=MessageDefinitions(),
        queue_bytes=2**20,
        custom_data={"package": "1.0"},
        session_topic="/arm/session",
    )


def contents(path: Path) -> dict[str, list[bytes]]:
    with BagReader(path) as bag:
        found: dict[str, list[bytes]] = {topic: [] for topic in bag.topics}
        for message in bag.messages():
            found[message.topic].append(message.cdr)
        return found


def test_latched_messages_are_in_every_bag_even_when_they_came_before_the_start(recorder, ros):
    recorder.add_topic("/instruction", STRING, LATCHED)
    recorder.add_topic("/state", STRING, offered_qos())
    recorder.on_message("/instruction", 1, ros.text("old"))
    recorder.on_message("/instruction", 2, ros.text("new"))
    recorder.on_message("/state", 3, ros.text("not recording yet"))
    bags = []
    for _ in range(2):
        recorder.start(10, "session: 1")
        recorder.on_message("/state", 11, ros.text("recorded"))
        bags.append(recorder.stop().path)
    for bag in bags:
        found = contents(bag)
        assert found["/instruction"] == [ros.text("new")]
        assert found["/state"] == [ros.text("recorded")]
        assert found["/arm/session"] == [ros.text("session: 1")]


def test_every_publisher_of_a_shared_latched_topic_is_remembered(recorder, ros):
    recorder.add_topic("/tf_static", STRING, LATCHED, publishers=1)
    recorder.on_message("/tf_static", 1, ros.text("robot"))
    recorder.add_topic("/tf_static", STRING, LATCHED, publishers=2)
    for _ in range(3):
        recorder.on_message("/tf_static", 2, ros.text("camera"))
    recorder.start(10, "")
    assert contents(recorder.stop().path)["/tf_static"] == [ros.text("robot"), ros.text("camera")]


def test_topic_that_appears_during_an_episode_is_recorded(recorder, ros):
    recorder.start(10, "")
    recorder.add_topic("/late", STRING, offered_qos())
    recorder.on_message("/late", 12, ros.text("x"))
    assert contents(recorder.stop().path)["/late"] == [ros.text("x")]


def test_topic_of_unknown_type_is_refused_and_does_not_spoil_the_episode(recorder):
    with pytest.raises(RecordingError, match=r"'/odd'.*'odd_msgs/msg/Odd'"):
        recorder.add_topic("/odd", "odd_msgs/msg/Odd", offered_qos())
    recorder.start(10, "")
    assert set(contents(recorder.stop().path)) == {"/arm/session"}


def test_episodes_are_numbered_past_half_written_ones(recorder, tmp_path):
    (tmp_path / "run" / "episode_0004.partial").mkdir(parents=True)
    assert recorder.start(1, "").name == "episode_0005"
    recorder.stop()
    assert recorder.start(2, "").name == "episode_0006"
    recorder.stop()


def test_start_and_stop_out_of_turn_say_what_to_do(recorder):
    with pytest.raises(RecordingError, match="call start first"):
        recorder.stop()
    recorder.start(1, "")
    with pytest.raises(RecordingError, match="stop it before starting another"):
        recorder.start(2, "")
    recorder.stop()
    assert not recorder.is_recording
