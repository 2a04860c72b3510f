from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, BagWriter, find_topics, offered_qos, read_episode

MS = 1_000_000
STATUS = "diagnostic_msgs/msg/DiagnosticStatus"
SHARED = Path(__file__).parents[3] / "shared" / "data"


def write_bag(path: Path, entries: list[tuple[str, str, int, bytes]]) -> Path:
    with BagWriter(path) as writer:
        for topic, msgtype in {topic: msgtype for topic, msgtype, _, _ in entries}.items():
            writer.add_topic(topic, msgtype, offered_qos())
        for topic, _, stamp_ns, cdr in entries:
            writer.write(topic, stamp_ns, cdr)
    return path


def foreign_bags() -> list[Path]:
    folders = [SHARED / "rosbag2_official_small", SHARED / "ros2_arm_bags"]
    found = [path for folder in folders for end in ("mcap", "db3") for path in sorted(folder.rglob(f"*.{end}"))]
    return found + sorted({path.parent for path in found})


def test_first_and_last_image_of_every_camera_come_back_as_rgb(tmp_path, ros):
    rgb = np.random.default_rng(3).integers(0, 255, (3, 4, 8, 3), dtype=np.uint8)
    entries = [("/arm/camera/head/image_raw", "sensor_msgs/msg/Image", i, ros.image(rgb[i], i * MS)) for i in range(3)]
    flipped = ros.image(np.ascontiguousarray(rgb[0][:, :, ::-1]), 5 * MS, "bgr8")
    entries.append(("/arm/camera/wrist/image_raw", "sensor_msgs/msg/Image", 9, flipped))
    head, wrist = read_episode(write_bag(tmp_path / "bag", entries)).cameras
    assert (head.camera, head.count, wrist.camera, wrist.count) == ("head", 3, "wrist", 1)
    np.testing.assert_array_equal(head.first.rgb, rgb[0])
    np.testing.assert_array_equal(head.last.rgb, rgb[2])
    np.testing.assert_array_equal(wrist.first.rgb, rgb[0])
    assert (head.last.stamp_ns, head.last.receive_ns) == (2 * MS, 2)


def test_partial_and_reordered_joint_states_are_merged_by_name(tmp_path, ros):
    states = [
        ros.joint_state(1 * MS, ["b", "a"], [2.0, 1.0], [0.2, 0.1]),
        ros.joint_state(2 * MS, ["finger"], [0.04], [0.0]),
        ros.joint_state(3 * MS, ["a", "b"], [1.5, 2.5], []),
    ]
    entries = [("/joint_states", "sensor_msgs/msg/JointState", i, cdr) for i, cdr in enumerate(states)]
    track = read_episode(write_bag(tmp_path / "bag", entries)).joints
    assert track.names == ("a", "b", "finger")
    np.testing.assert_array_equal(track.q, [[1.0, 2.0, np.nan], [1.0, 2.0, 0.04], [1.5, 2.5, 0.04]])
    np.testing.assert_array_equal(track.dq[2], [0.1, 0.2, 0.0])
    np.testing.assert_array_equal(track.stamps_ns, [1 * MS, 2 * MS, 3 * MS])


def test_paths_chunks_reports_and_verdicts_come_back(tmp_path, ros):
    measured = ros.ee_state(4 * MS, left=(0.4, 0.1, 0.3), right=(0.4, -0.1, 0.3))
    planned = ros.cdr(
        "geometry_msgs/msg/PoseArray", header=ros.header(0), poses=[ros.pose(0.4, 0, 0.3), ros.pose(0.5, 0, 0.2)]
    )
    chunk = ros.cdr(
        "trajectory_msgs/msg/MultiDOFJointTrajectory", header=ros.header(10 * MS), joint_names=[], points=[]
    )
    entries = [
        ("/arm/ee_state", "sensor_msgs/msg/MultiDOFJointState", 5 * MS, measured),
        ("/arm/adapter/planned_path/left", "geometry_msgs/msg/PoseArray", 6 * MS, planned),
        ("/arm/policy/chunk", "trajectory_msgs/msg/MultiDOFJointTrajectory", 52 * MS, chunk),
        ("/arm/policy/report", STATUS, 53 * MS, ros.status("policy", 0, "chunk", compute_ms="8.5", phase="grasp")),
        ("/arm/adapter/verdict", STATUS, 54 * MS, ros.status("safety", 2, "stop", workspace="too low")),
    ]
    trace = read_episode(write_bag(tmp_path / "bag", entries))
    assert set(trace.ee_paths) == {"left", "right"}
    np.testing.assert_allclose(trace.ee_paths["left"].p_base_ee, [[0.4, 0.1, 0.3]])
    np.testing.assert_array_equal(trace.ee_paths["right"].stamps_ns, [4 * MS])
    assert trace.planned_paths[0].arm == "left"
    np.testing.assert_allclose(trace.planned_paths[0].p_base_ee, [[0.4, 0, 0.3], [0.5, 0, 0.2]])
    assert trace.chunks.receive_ns - trace.chunks.stamps_ns == 42 * MS
    assert trace.policy_reports[0].number("compute_ms") == 8.5
    assert np.isnan(trace.policy_reports[0].number("phase"))
    assert trace.verdicts[0].values == {"workspace": "too low"}
    assert trace.notes == ()


def test_lost_sets_are_the_growth_of_the_policys_counter(tmp_path, ros):
    counts = (4, 4, 6)
    entries = [
        ("/arm/policy/report", STATUS, i, ros.status("policy", 0, "chunk", lost_sets=str(count)))
        for i, count in enumerate(counts)
    ]
    assert read_episode(write_bag(tmp_path / "bag", entries)).lost_sets == 2


def test_bag_without_our_topics_is_an_empty_episode(tmp_path, ros):
    trace = read_episode(write_bag(tmp_path / "bag", [("/chat", "std_msgs/msg/String", 1, ros.text("x"))]))
    assert (trace.cameras, trace.joints, trace.chunks, trace.lost_sets) == ((), None, None, None)


def test_undecodable_topic_is_noted_and_does_not_spoil_the_rest(tmp_path, ros):
    entries = [
        ("/joint_states", "sensor_msgs/msg/JointState", 1, b"\x00\x01\x00\x00\xff\xff"),
        ("/arm/adapter/verdict", STATUS, 2, ros.status("safety", 0, "allow")),
    ]
    trace = read_episode(write_bag(tmp_path / "bag", entries))
    assert trace.joints is None
    assert len(trace.verdicts) == 1
    assert any("'/joint_states' can not be decoded" in note for note in trace.notes)


def test_missing_bag_lists_what_is_there(tmp_path):
    (tmp_path / "episode_0001").mkdir()
    with pytest.raises(RecordingError, match=r"no bag at .*available there: \['episode_0001'\]"):
        BagReader(tmp_path / "episode_0002")


def test_folder_without_metadata_names_the_remedy(tmp_path):
    with pytest.raises(RecordingError, match=r"vla3d bag recover"):
        BagReader(tmp_path)


def test_truncated_bag_is_a_recording_error(tmp_path, ros):
    path = write_bag(tmp_path / "bag", [("/chat", "std_msgs/msg/String", i, ros.text("x" * 500)) for i in range(50)])
    file = path / "bag.mcap"
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(RecordingError, match="can not be read"), BagReader(path) as bag:
        list(bag.messages())


@pytest.mark.skipif(not SHARED.is_dir(), reason="recordings made by others are not on this machine (../shared/data)")
@pytest.mark.parametrize("path", foreign_bags(), ids=lambda path: str(path.relative_to(SHARED)))
def test_foreign_bag_opens_or_says_what_is_wrong(path):
    try:
        with BagReader(path) as bag:
            count = sum(1 for _ in bag.messages())
            assert count == sum(bag.counts.values())
        trace = read_episode(path)
    except RecordingError as error:
        assert str(path) in str(error)
        assert len(str(error)) > len(str(path)) + 20
        return
    assert trace.duration_ns >= 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="recordings made by others are not on this machine (../shared/data)")
def test_joint_states_of_a_real_arm_are_read():
    path = SHARED / "ros2_arm_bags" / "ros2bag_servo_serial_log"
    with BagReader(path) as bag:
        topics = bag.topics
    found = find_topics(topics | {"/servo/out/joint_states": "sensor_msgs/msg/JointState"})
    assert found.joint_states == "/servo/out/joint_states"
    recorded = type(found)(joint_states="/servo/out/state", ee_state="/ee_state")
    trace = read_episode(path, recorded)
    assert trace.joints.q.shape == (1262, len(trace.joints.names))
    assert trace.notes == ("no topic /ee_state",)
