from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rosbags.rosbag2 import Writer

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, BagWriter, MessageDefinitions, offered_qos
from vla3d_ros.recording.bag_writer import PROGRESS_FILE
from vla3d_ros.recording.mcap_scan import McapScan
from vla3d_ros.recording.mcap_sink import McapSink
from vla3d_ros.recording.recovery import recover
from vla3d_ros.recording.session_file import Session, read_session

STRING = "std_msgs/msg/String"
SHARED = Path(__file__).parents[3] / "shared" / "data"
LIVE = """
import json, os, pathlib, sys, time
from vla3d_ros.recording import BagWriter, offered_qos
writer = BagWriter(pathlib.Path(sys.argv[1]))
writer.add_topic("/said", "std_msgs/msg/String", offered_qos())
stamp = 0
def say():
    global stamp
    stamp += 1
    writer.write("/said", stamp, bytes([0, 1, 0, 0, 1, 0, 0, 0, 0]))
def kept():
    try:
        return json.loads((writer.partial_path / "progress.json").read_text())["received"]["/said"]
    except (OSError, KeyError):
        return 0
while kept() < 50 or writer.state.at_risk_s > 0:
    if stamp < 50:
        say()
    time.sleep(0.01)
for _ in range(20):
    say()
print("ready", flush=True)
time.sleep(60)
"""


def sink_with(folder: Path, ros, count: int, per_chunk: int) -> list[int]:
    """Write numbered messages, a chunk per so many, and return where the file ends after each chunk."""
    sink = McapSink(folder, is_compressed=True, custom_data={})
    sink.add_topic("/said", MessageDefinitions().lookup(STRING, "/said"), offered_qos())
    ends = []
    for number in range(1, count + 1):
        sink.write("/said", number, ros.text(f"message {number}"))
        if number % per_chunk == 0:
            sink.flush()
            ends.append((folder / f"{folder.name}.mcap").stat().st_size)
    sink.close()
    return ends


def partial_from(tmp_path: Path, data: bytes, progress: dict | None = None) -> Path:
    partial = tmp_path / "episode_0001.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "episode_0001").mkdir(parents=True)
    (partial / "episode_0001" / "episode_0001.mcap").write_bytes(data)
    if progress is not None:
        (partial / PROGRESS_FILE).write_text(json.dumps(progress))
    return partial


def stamps(bag: Path) -> list[int]:
    with BagReader(bag) as reader:
        return [message.stamp_ns for message in reader.messages()]


def test_killed_recorder_loses_nothing_that_it_had_noted_as_kept(tmp_path):
    bag = tmp_path / "episode_0001"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", LIVE, str(bag)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().strip() == "ready"
        process.send_signal(signal.SIGKILL)
    recovery = recover(tmp_path / "episode_0001.partial")
    saved = stamps(bag)
    assert saved == list(range(1, len(saved) + 1))
    assert 50 <= len(saved) <= 70
    assert recovery.topics[0].lost == 0
    assert read_session(bag).outcome == "interrupted"


def test_whatever_the_cut_what_is_saved_is_all_whole_chunks_before_it(tmp_path, ros):
    ends = sink_with(tmp_path / "whole", ros, count=40, per_chunk=10)
    data = (tmp_path / "whole" / "whole.mcap").read_bytes()
    for cut in {*range(ends[0], ends[-1], 37), *ends}:
        recovery = recover(partial_from(tmp_path, data[:cut]), tmp_path / f"out_{cut}")
        whole_chunks = sum(end <= cut for end in ends)
        assert recovery.messages >= 10 * whole_chunks
        assert stamps(recovery.path) == list(range(1, recovery.messages + 1))
        assert recovery.messages % 10 == 0


def test_zeros_that_a_power_cut_left_behind_are_an_end_and_not_a_message(tmp_path, ros):
    ends = sink_with(tmp_path / "whole", ros, count=30, per_chunk=10)
    data = (tmp_path / "whole" / "whole.mcap").read_bytes()[: ends[1]] + bytes(4096)
    recovery = recover(partial_from(tmp_path, data))
    assert recovery.messages == 20
    assert recovery.unreadable_bytes == 4096
    assert "half a record" in recovery.damage[0]


def test_damaged_chunk_in_the_middle_costs_only_itself_and_is_named(tmp_path, ros):
    ends = sink_with(tmp_path / "whole", ros, count=30, per_chunk=10)
    data = bytearray((tmp_path / "whole" / "whole.mcap").read_bytes()[: ends[2]])
    data[ends[0] + 70 : ends[0] + 90] = bytes(20)
    recovery = recover(partial_from(tmp_path, bytes(data)))
    assert stamps(recovery.path) == [*range(1, 11), *range(21, 31)]
    assert "can not be unpacked" in recovery.damage[0]


def test_loss_per_topic_is_what_the_recorder_had_taken_and_the_bag_lacks(tmp_path, ros):
    ends = sink_with(tmp_path / "whole", ros, count=20, per_chunk=10)
    data = (tmp_path / "whole" / "whole.mcap").read_bytes()[: ends[0]]
    progress = {"newest_ns": 2_000_000_010, "received": {"/said": 13, "/head/image_raw": 4}, "dropped": {}}
    partial = partial_from(tmp_path, data, progress)
    Session(episode="episode_0001", instruction="pick").write(partial / "episode_0001")
    recovery = recover(partial)
    assert {topic.name: topic.lost for topic in recovery.topics} == {"/said": 3, "/head/image_raw": 4}
    assert recovery.missing_s == pytest.approx(2.0)
    session = read_session(recovery.path)
    assert (session.outcome, session.instruction) == ("interrupted", "pick")
    assert session.result["lost_at_least"] == {"/said": 3, "/head/image_raw": 4}


def test_recovered_bag_keeps_types_and_offered_qos(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/latched", STRING, offered_qos(is_latched=True, depth=1))
        writer.write("/latched", 5, bytes([0, 1, 0, 0, 1, 0, 0, 0, 0]))
    (tmp_path / "bag" / "metadata.yaml").unlink()
    recovery = recover(tmp_path / "bag")
    assert recovery.path.name == "bag_recovered"
    with BagReader(recovery.path) as reader:
        (connection,) = reader.connections
    assert connection.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
    assert connection.digest == MessageDefinitions().lookup(STRING, "").rihs01


def test_what_can_not_be_recovered_says_why(tmp_path, ros):
    sink_with(tmp_path / "whole", ros, count=3, per_chunk=1)
    with pytest.raises(RecordingError, match="is whole: nothing to recover"):
        recover(tmp_path / "whole")
    with pytest.raises(RecordingError, match="expected a bag folder"):
        recover(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match=r"holds no \.mcap"):
        (tmp_path / "empty.partial").mkdir()
        recover(tmp_path / "empty.partial")
    with pytest.raises(RecordingError, match="is no MCAP"):
        recover(partial_from(tmp_path, b"not an mcap at all"))
    with pytest.raises(RecordingError, match="not one message survived"):
        recover(partial_from(tmp_path, (tmp_path / "whole" / "whole.mcap").read_bytes()[:40]))
    assert not [entry for entry in tmp_path.iterdir() if entry.name.endswith(".recovering")]


def test_existing_bag_is_never_overwritten(tmp_path, ros):
    ends = sink_with(tmp_path / "whole", ros, count=10, per_chunk=10)
    partial = partial_from(tmp_path, (tmp_path / "whole" / "whole.mcap").read_bytes()[: ends[0]])
    (tmp_path / "episode_0001").mkdir()
    with pytest.raises(RecordingError, match="exists already.*--out"):
        recover(partial)


def test_scan_of_a_finished_file_is_whole_and_agrees_with_the_index(tmp_path, ros):
    sink_with(tmp_path / "whole", ros, count=12, per_chunk=5)
    scan = McapScan(tmp_path / "whole" / "whole.mcap")
    assert [message.stamp_ns for message in scan.messages()] == stamps(tmp_path / "whole")
    assert scan.is_whole
    assert not scan.damage


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_official_split_bag_without_metadata_is_made_whole(tmp_path, storage):
    if not SHARED.is_dir():
        pytest.skip("the official bags are in ../shared/data, which is not here")
    folder = SHARED / "rosbag2_official_small/rosbag2_py/test/resources" / storage / "reindex_test_bags/multiple_files"
    recovery = recover(folder, tmp_path / "whole")
    assert recovery.messages == 1324 + 1324 + 529
    assert len(stamps(tmp_path / "whole")) == recovery.messages


def test_folder_of_several_bags_is_refused_with_their_names():
    folder = SHARED / "rosbag2_official_small/rosbag2_cpp/test/rosbag2_cpp/bags"
    if not folder.is_dir():
        pytest.skip("the official bags are in ../shared/data, which is not here")
    with pytest.raises(RecordingError, match=r"several bags.*only_services\.mcap.*name one of them"):
        recover(folder)


def test_metadata_that_disagrees_with_its_storage_about_qos_still_gives_every_message():
    folder = SHARED / "rosbag2_official_small/rosbag2_py/test/resources/mcap/talker"
    if not folder.is_dir():
        pytest.skip("the official bags are in ../shared/data, which is not here")
    assert len(stamps(folder)) == 20


def test_writer_of_rosbags_still_has_the_parts_the_sink_flushes(tmp_path):
    assert Writer.VERSION_LATEST >= 8
    sink = McapSink(tmp_path / "bag", is_compressed=False, custom_data={})
    sink.flush()
    sink.sync()
    sink.close()
    assert (tmp_path / "bag" / "metadata.yaml").is_file()
