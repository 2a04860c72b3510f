"""The words of `ros2 bag play`: rate, offset, loop, pause, remap, topics; and bags that are not played."""

from itertools import pairwise
from pathlib import Path

import pytest
from made_up_run import START_NS, RunMaker

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.replay.jump_guard import JumpGuard
from vla3d_ros.replay.playback import Playback, PlaybackClock, PlaybackSettings, parse_remaps
from vla3d_ros.replay.qos_overrides import read_qos_overrides

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "rosbag2_official_small"
FOREIGN = Path(__file__).parents[3] / "shared" / "data" / "ros2_arm_bags"
S = 1_000_000_000


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    pytest.importorskip("pinocchio")
    return RunMaker(tmp_path_factory.mktemp("bag") / "run").write()


@pytest.fixture(scope="module")
def late_bag(tmp_path_factory):
    pytest.importorskip("pinocchio")
    return RunMaker(tmp_path_factory.mktemp("bag") / "run").write(late_states=True)


def played(bag, **settings):
    return list(Playback(bag, PlaybackSettings(**settings)).messages())


def header_ns(message):
    return int.from_bytes(message.cdr[4:8], "little") * S + int.from_bytes(message.cdr[8:12], "little")


def test_everything_is_played_in_order_from_the_start(bag):
    messages = played(bag)
    offsets = [message.offset_ns for message in messages]
    assert offsets == sorted(offsets) and offsets[0] == 0
    assert {message.topic for message in messages} > {"/fr3/joint_states", "/fr3/camera/head/image_raw"}


def test_a_start_offset_keeps_what_was_latched_before(bag):
    messages = played(bag, start_offset_s=0.5)
    early = [message.topic for message in messages if message.offset_ns == 0]
    assert {"/fr3/instruction", "/fr3/session", "/fr3/camera/wrist/extrinsics"} <= set(early)
    images = [header_ns(message) for message in messages if message.topic.endswith("head/image_raw")]
    assert min(images) >= START_NS + int(0.4 * S)


def test_a_duration_ends_playing(bag):
    whole, part = played(bag), played(bag, duration_s=0.3)
    assert 0 < len(part) < len(whole)
    assert part[-1].offset_ns <= int(0.3 * S)


def test_topics_are_chosen_left_out_and_renamed(bag):
    chosen = played(bag, topics=("/fr3/joint_states",), remap={"/fr3/joint_states": "/other/joint_states"})
    assert {message.topic for message in chosen} == {"/other/joint_states"}
    rest = played(bag, exclude=("/fr3/joint_states",))
    assert "/fr3/joint_states" not in {message.topic for message in rest}


def test_unknown_topics_are_refused_with_those_there_are(bag):
    with pytest.raises(RecordingError, match=r"no topics \['/nothing'\]; available: .*/fr3/ee_state"):
        Playback(bag, PlaybackSettings(topics=("/nothing",)))


def test_stamps_go_on_from_lap_to_lap(bag):
    playback = Playback(bag, PlaybackSettings(topics=("/fr3/joint_states",), is_looping=True))
    count = len(played(bag, topics=("/fr3/joint_states",)))
    messages = playback.messages()
    laps = [next(messages) for _ in range(3 * count)]
    stamps = [header_ns(message) for message in laps]
    assert all(later > earlier for earlier, later in pairwise(stamps))
    assert stamps[count] - stamps[0] == playback.lap_ns


def test_messages_can_be_due_when_they_were_sampled(late_bag):
    topics = ("/fr3/joint_states", "/fr3/camera/head/image_raw")
    sent = played(late_bag, topics=topics, message_order="sent")
    stamps = [header_ns(message) for message in sent]
    assert stamps == sorted(stamps)
    received = [header_ns(message) for message in played(late_bag, topics=topics)]
    assert received != sorted(received) and sorted(received) == stamps


def test_a_clock_runs_at_a_rate_and_stands_still_while_paused():
    clock = PlaybackClock(2.0, 100 * S)
    assert clock.offset_ns(101 * S) == 2 * S
    clock.pause(101 * S)
    assert clock.offset_ns(150 * S) == 2 * S
    clock.resume(200 * S)
    assert clock.offset_ns(201 * S) == 4 * S
    assert clock.wait_s(5 * S, 201 * S) == 0.5


def test_time_spent_waiting_for_a_slow_node_is_not_made_up_for():
    clock = PlaybackClock(1.0, 0)
    clock.hold(1 * S, 5 * S)
    assert clock.offset_ns(5 * S) == 1 * S and clock.offset_ns(6 * S) == 2 * S


def test_remaps_are_old_and_new_names():
    assert parse_remaps(["/a:=/b"]) == {"/a": "/b"}
    with pytest.raises(ConfigError, match="OLD:=NEW"):
        parse_remaps(["/a=/b"])


def test_a_jump_of_three_radians_is_not_played(tmp_path):
    pytest.importorskip("pinocchio")
    bag = RunMaker(tmp_path / "run").write(q_jump=3.0)
    with pytest.raises(RecordingError, match=r"an arm would jump.*steps by 3\.\d\d rad"):
        Playback(bag, PlaybackSettings()).check({})


@pytest.mark.parametrize(
    ("names", "q", "stamp_ns", "reason"),
    [
        (("a",), [0.0], 0, "a stamp of zero"),
        ((), [0.0, 1.0], S, r"2 positions with names \[\]"),
        (("a", ""), [0.0, 1.0], S, "expected a name for every joint"),
        (("a", "a"), [0.0, 1.0], S, "2 names"),
        (("a",), [float("nan")], S, "expected finite numbers"),
    ],
)
def test_states_that_say_nothing_are_named(names, q, stamp_ns, reason):
    guard = JumpGuard("/joint_states")
    assert not guard.accepts(names, q, stamp_ns)
    with pytest.raises(RecordingError, match=reason):
        guard.require_nothing_found("bag")


def test_motion_within_a_joints_speed_is_accepted_and_beyond_is_not():
    guard = JumpGuard("/joint_states", {"a": 1.0})
    assert guard.accepts(("a",), [0.0], S)
    assert guard.accepts(("a",), [0.1], S + S // 10)
    assert not guard.accepts(("a",), [0.5], S + S // 5)
    assert "joint 'a' steps by 0.40 rad in 100.0 ms; expected at most 0.20 rad" in guard.sentences()[0]


def test_stamps_that_go_back_are_named():
    guard = JumpGuard("/joint_states")
    guard.accepts(("a",), [0.0], 2 * S)
    assert not guard.accepts(("a",), [0.0], S)
    assert "goes back by 1.000 s" in guard.sentences()[0]


@pytest.mark.skipif(not FOREIGN.is_dir(), reason="the folder shared/data with real recordings is absent")
@pytest.mark.parametrize("bag", sorted(FOREIGN.glob("ros2bag*")), ids=lambda bag: bag.name)
def test_bags_of_others_are_played_or_refused_with_a_reason(bag):
    playback = Playback(bag, PlaybackSettings())
    try:
        playback.check({})
    except RecordingError as error:
        assert "an arm would jump" in str(error)
    first = next(playback.messages())
    assert first.cdr


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the folder shared/data with real recordings is absent")
def test_the_official_qos_override_files_are_understood():
    files = sorted(OFFICIAL.rglob("*qos_profile*.yaml"))
    assert files
    for file in files:
        if "incomplete" in file.name:
            continue
        assert read_qos_overrides(file)
    profile = read_qos_overrides(OFFICIAL / "rosbag2_transport/test/resources/qos_profile_overrides.yaml")
    assert profile["/overrided_topic_qos"].depth == 10


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the folder shared/data with real recordings is absent")
def test_an_incomplete_duration_in_an_override_is_named():
    with pytest.raises(ConfigError, match="expected sec and nsec"):
        read_qos_overrides(OFFICIAL / "ros2bag/test/resources/incomplete_qos_duration.yaml")
