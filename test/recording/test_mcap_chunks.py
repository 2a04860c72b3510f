"""Our way through the chunks of an MCAP gives what rosbags gives: the same messages, bytes and order."""

from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, BagWriter, offered_qos
from vla3d_ros.recording.mcap_chunks import indexed_messages, is_indexed

SHARED = Path(__file__).parents[3] / "shared" / "data"
IMAGE, STRING = "sensor_msgs/msg/Image", "std_msgs/msg/String"
S = 10**9


@pytest.fixture(params=[True, False], ids=["zstd", "plain"])
def bag(request, tmp_path, ros):
    """Chunks of several topics, with stamps that go back and stamps that are equal."""
    path = tmp_path / "bag"
    generator = np.random.default_rng(0)
    with BagWriter(path, is_compressed=request.param) as writer:
        writer.add_topic("/image", IMAGE, offered_qos())
        writer.add_topic("/text", STRING, offered_qos())
        for index in range(40):
            stamp_ns = S + index * 10_000_000
            rgb = generator.integers(0, 255, (120, 160, 3), dtype=np.uint8)
            writer.write("/image", stamp_ns, ros.image(rgb, stamp_ns))
            writer.write("/text", stamp_ns - 25_000_000 * (index % 3 == 0), ros.text(f"first of {index}"))
            writer.write("/text", stamp_ns, ros.text(f"second of {index}"))
    return path


def both(path, topics=None):
    """What rosbags gives and what we give, of every storage."""
    with Reader(path) as reader:
        for storage in getattr(reader.storage, "storages", [reader.storage]):
            wanted = [c for c in storage.connections if topics is None or c.topic in topics]
            if not is_indexed(storage) or not wanted:
                continue
            theirs = [(c.topic, stamp, bytes(data)) for c, stamp, data in storage.messages(wanted)]
            ours = [(c.topic, stamp, bytes(data)) for c, stamp, data in indexed_messages(storage, wanted)]
            yield theirs, ours


@pytest.mark.parametrize("topics", [None, {"/image"}, {"/text"}], ids=["all", "images", "texts"])
def test_messages_bytes_and_order_are_those_of_rosbags(bag, topics):
    ((theirs, ours),) = both(bag, topics)
    assert len(ours) == {None: 120, "/image": 40, "/text": 80}[None if topics is None else next(iter(topics))]
    assert ours == theirs


def test_bags_of_others_are_read_as_rosbags_reads_them():
    if not SHARED.is_dir():
        pytest.skip("bags made by others are in ../shared/data, which is not here")
    compared = 0
    for path in sorted(SHARED.rglob("*.mcap")):
        try:
            pairs = list(both(path))
        except Exception:  # some are broken on purpose
            continue
        for theirs, ours in pairs:
            assert ours == theirs, path
            compared += bool(ours)
    assert compared > 3


def test_large_messages_are_only_copied_if_nothing_else_is_said(bag):
    with BagReader(bag) as reader:
        copied = list(reader.messages())
        shared = list(reader.messages(shares_memory=True))
    assert all(isinstance(message.cdr, bytes) for message in copied)
    assert {type(m.cdr) for m in shared if m.topic == "/image"} == {memoryview}
    assert {type(m.cdr) for m in shared if m.topic == "/text"} == {bytes}
    assert [bytes(m.cdr) for m in shared] == [m.cdr for m in copied]


@pytest.mark.parametrize("bag", [True], indirect=True)
def test_a_damaged_chunk_is_refused_with_a_remedy(bag):
    (file,) = bag.glob("*.mcap")
    content = bytearray(file.read_bytes())
    third = len(content) // 3
    content[third : third + 2000] = bytes(2000)
    file.write_bytes(content)
    with pytest.raises(RecordingError, match="can not be read"):
        list(BagReader(bag).messages())
