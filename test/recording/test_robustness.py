"""What goes wrong with disks and cameras costs only what is announced."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rosbags.rosbag2 import Writer

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording import BagReader, BagWriter, offered_qos
from vla3d_ros.recording.inspection import inspect
from vla3d_ros.recording.recovery import recover

STRING, IMAGE = "std_msgs/msg/String", "sensor_msgs/msg/Image"
NOISE = bytes([0, 1, 0, 0])
PAYLOAD = 60_000
DEADLINE_S = 30.0


def noise(index: int) -> bytes:
    return NOISE + index.to_bytes(4, "little") + os.urandom(PAYLOAD)


def read(bag: Path) -> list[bytes]:
    with BagReader(bag) as reader:
        return [message.cdr for message in reader.messages()]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mounting a small tmpfs needs 'mount'")
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs needs root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_announced_and_what_was_written_before_is_recovered(small_disk, tmp_path):
    writer = BagWriter(small_disk / "bag")
    writer.add_topic("/noise", STRING, offered_qos())
    sent: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    with pytest.raises(RecordingError, match=r"No space left on device.*vla3d bag recover"):
        while time.monotonic() < deadline:
            sent.append(noise(len(sent)))
            writer.write("/noise", len(sent), sent[-1])
            time.sleep(0.002)
    with pytest.raises(RecordingError, match="No space left"):
        writer.close()
    recovery = recover(small_disk / "bag.partial", tmp_path / "saved")
    saved = read(tmp_path / "saved")
    assert saved == sent[: len(saved)]
    assert len(saved) * PAYLOAD > 4 * 2**20
    assert recovery.damage


def test_process_that_may_not_write_longer_files_says_so_too(tmp_path):
    script = (
        "import os, pathlib, resource, sys, time\n"
        "from vla3d_ros.recording import BagWriter, offered_qos\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4 * 2**20, 4 * 2**20))\n"
        "writer = BagWriter(pathlib.Path(sys.argv[1]))\n"
        "writer.add_topic('/noise', 'std_msgs/msg/String', offered_qos())\n"
        "for stamp in range(1, 4000):\n"
        "    writer.write('/noise', stamp, bytes(4) + os.urandom(60000))\n"
        "    time.sleep(0.001)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bag")],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "File too large" in done.stderr
    assert "vla3d bag recover" in done.stderr
    assert recover(tmp_path / "bag.partial").messages * PAYLOAD > 2 * 2**20


def test_slow_disk_costs_exactly_what_was_counted_and_the_rest_is_in_order(tmp_path, monkeypatch):
    store = Writer.write

    def slow(*arguments):
        time.sleep(0.01)
        store(*arguments)

    monkeypatch.setattr(Writer, "write", slow)
    writer = BagWriter(tmp_path / "bag", queue_bytes=10 * PAYLOAD)
    writer.add_topic("/noise", STRING, offered_qos())
    sent = [noise(index) for index in range(100)]
    kept = [cdr for stamp, cdr in enumerate(sent, start=1) if writer.write("/noise", stamp, cdr)]
    state = writer.state
    summary = writer.close()
    assert state.waiting_share > 0.5
    assert read(tmp_path / "bag") == kept
    assert len(kept) + summary.dropped["/noise"] == len(sent)
    assert summary.dropped["/noise"] > 50
    assert f"DROPPED {summary.dropped['/noise']} on /noise" in summary.line()


def test_stalled_camera_is_a_gap_of_that_camera_and_of_no_other(tmp_path, ros):
    import numpy as np

    rng = np.random.default_rng(0)
    period_ns, stall = 33_333_333, range(60, 90)
    with BagWriter(tmp_path / "bag") as writer:
        for name in ("head", "side"):
            writer.add_topic(f"/arm/camera/{name}/image_raw", IMAGE, offered_qos(is_reliable=False))
        for index in range(150):
            for name in ("head", "side"):
                if name == "side" and index in stall:
                    continue
                stamp = 10**9 + index * period_ns
                rgb = rng.integers(60, 200, (24, 32, 3), dtype=np.uint8)
                writer.write(f"/arm/camera/{name}/image_raw", stamp, ros.image(rgb, stamp))
    seen = inspect(tmp_path / "bag")
    by_name = {topic.topic: topic for topic in seen.topics}
    assert by_name["/arm/camera/head/image_raw"].gaps == ()
    ((start_ns, length_ns),) = by_name["/arm/camera/side/image_raw"].gaps
    assert start_ns == 10**9 + 59 * period_ns
    assert length_ns == 31 * period_ns
    assert any(finding.is_problem and "1 gaps" in finding.sentence for finding in seen.findings)
