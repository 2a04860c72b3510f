from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Writer

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, BagWriter, MessageDefinitions, offered_qos

STRING = "std_msgs/msg/String"
RELIABLE = offered_qos()


def recorded(path: Path) -> list[tuple[str, int, bytes]]:
    with BagReader(path) as bag:
        return [(m.topic, m.stamp_ns, m.cdr) for m in bag.messages()]


@given(payloads=st.lists(st.tuples(st.sampled_from(["/a", "/b"]), st.binary(min_size=4, max_size=64)), max_size=30))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bag_gives_back_the_bytes_that_went_in(tmp_path_factory, payloads):
    path = tmp_path_factory.mktemp("bags") / "bag"
    sent = [(topic, stamp_ns, data) for stamp_ns, (topic, data) in enumerate(payloads, start=1)]
    with BagWriter(path) as writer:
        for topic in ("/a", "/b"):
            writer.add_topic(topic, STRING, RELIABLE)
        for entry in sent:
            writer.write(*entry)
    assert recorded(path) == sent


def test_summary_counts_every_message_and_names_the_bag(tmp_path, ros):
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/said", STRING, RELIABLE)
    writer.add_topic("/silent", STRING, RELIABLE)
    for index in range(5):
        writer.write("/said", index * 500_000_000, ros.text("x"))
    summary = writer.close()
    assert summary.messages == {"/said": 5, "/silent": 0}
    assert summary.dropped == {"/said": 0, "/silent": 0}
    assert summary.duration_s == pytest.approx(2.0)
    assert summary.size_bytes == sum(file.stat().st_size for file in (tmp_path / "bag").iterdir())
    assert "nothing dropped" in summary.line()


def test_mcap_package_reads_the_bag(tmp_path, ros):
    with BagWriter(tmp_path / "bag", custom_data={"deployment": "tabletop"}) as writer:
        writer.add_topic("/said", STRING, RELIABLE)
        writer.write("/said", 7, ros.text("hello"))
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        (schema, channel, message), *rest = make_reader(stream).iter_messages()
    assert (schema.name, channel.topic, message.log_time, message.data) == (STRING, "/said", 7, ros.text("hello"))
    assert rest == []


def test_bag_remembers_offered_qos_type_hash_and_custom_data(tmp_path):
    with BagWriter(tmp_path / "bag", custom_data={"deployment": "tabletop"}) as writer:
        writer.add_topic("/latched", STRING, offered_qos(is_latched=True, depth=1))
        writer.add_topic("/camera", "sensor_msgs/msg/Image", offered_qos(is_reliable=False, depth=5))
    with BagReader(tmp_path / "bag") as bag:
        latched, camera = bag.connections
        assert bag.custom_data == {"deployment": "tabletop"}
    assert latched.ext.offered_qos_profiles[0].durability is QosDurability.TRANSIENT_LOCAL
    assert camera.ext.offered_qos_profiles[0].reliability is QosReliability.BEST_EFFORT
    assert camera.digest.startswith("RIHS01_")


def test_full_queue_drops_and_counts_per_topic(tmp_path, ros, monkeypatch, caplog):
    gate = threading.Event()
    store = Writer.write

    def slow(*arguments):
        gate.wait(10)
        store(*arguments)

    monkeypatch.setattr(Writer, "write", slow)
    logger = logging.getLogger("vla3d_ros.recording.bag_writer")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])  # launch, where it is installed, takes the root logger
    payload = ros.text("x" * 100)
    writer = BagWriter(tmp_path / "bag", queue_bytes=3 * len(payload))
    writer.add_topic("/many", STRING, RELIABLE)
    writer.add_topic("/few", STRING, RELIABLE)
    kept = [writer.write("/many", stamp, payload) for stamp in range(10)]
    kept_few = writer.write("/few", 11, payload)
    gate.set()
    summary = writer.close()
    assert kept == [True] * 3 + [False] * 7
    assert not kept_few
    assert summary.messages == {"/many": 3, "/few": 0}
    assert summary.dropped == {"/many": 7, "/few": 1}
    assert "DROPPED 1 on /few, 7 on /many" in summary.line()
    assert sum("dropping on" in record.message for record in set(caplog.records)) == 2
    assert len(recorded(tmp_path / "bag")) == 3


def test_close_leaves_no_partial_and_may_be_called_twice(tmp_path, ros):
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/said", STRING, RELIABLE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag.partial"]
    writer.write("/said", 1, ros.text("x"))
    assert writer.close() == writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]


def test_killed_recorder_leaves_only_a_partial_bag(tmp_path):
    path = tmp_path / "bag"
    script = (
        "import os, pathlib, sys; from vla3d_ros.recording import BagWriter, offered_qos;"
        "w = BagWriter(pathlib.Path(sys.argv[1])); w.add_topic('/a', 'std_msgs/msg/String', offered_qos());"
        "w.write('/a', 1, bytes(100)); os._exit(9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", script, str(path)], env=environment, check=False).returncode == 9
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag.partial"]
    with pytest.raises(RecordingError, match=r"never finished.*bag\.partial"):
        BagReader(path)


def test_failing_disk_is_reported_with_path_and_remedy_and_keeps_the_partial(tmp_path, ros, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "write", full)
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/said", STRING, RELIABLE)
    writer.write("/said", 1, ros.text("x"))
    for _ in range(2):
        with pytest.raises(RecordingError, match=r"No space left.*bag\.partial.*free disk space"):
            writer.close()
    with pytest.raises(RecordingError, match="No space left"):
        writer.write("/said", 2, ros.text("x"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag.partial"]


@pytest.mark.parametrize("taken", ["bag", "bag.partial"])
def test_writer_never_overwrites_a_bag(tmp_path, taken):
    (tmp_path / taken).mkdir()
    with pytest.raises(RecordingError, match="exists already"):
        BagWriter(tmp_path / "bag")


def test_misuse_names_the_topic(tmp_path, ros):
    writer = BagWriter(tmp_path / "bag")
    writer.add_topic("/said", STRING, RELIABLE)
    with pytest.raises(RecordingError, match=r"'/other' is not declared; available: \['/said'\]"):
        writer.write("/other", 1, ros.text("x"))
    with pytest.raises(RecordingError, match="'/said' is already in the bag"):
        writer.add_topic("/said", STRING, RELIABLE)
    writer.close()
    with pytest.raises(RecordingError, match="is closed"):
        writer.write("/said", 1, ros.text("x"))


def test_unknown_type_names_topic_type_and_places_searched(tmp_path):
    definitions = MessageDefinitions(prefixes=[tmp_path])
    with pytest.raises(RecordingError, match=r"'/arm'.*'arm_msgs/msg/Load'.*share.*install and source") as error:
        definitions.lookup("arm_msgs/msg/Load", "/arm")
    assert str(tmp_path) in str(error.value)


def test_types_of_installed_packages_are_read_with_everything_they_contain(tmp_path):
    folder = tmp_path / "share" / "arm_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Load.msg").write_text("std_msgs/Header header\nCell[] cells\nstring UNIT='a/b/c'\n")
    (folder / "Cell.msg").write_text("float64[<=3] force\ngeometry_msgs/Point[2] corners\n")
    definitions = MessageDefinitions.from_environment({"AMENT_PREFIX_PATH": str(tmp_path), "ROS_DISTRO": "jazzy"})
    found = definitions.lookup("arm_msgs/msg/Load", "/arm")
    assert "MSG: arm_msgs/Cell" in found.text
    assert "MSG: geometry_msgs/Point" in found.text
    assert found.rihs01.startswith("RIHS01_")
