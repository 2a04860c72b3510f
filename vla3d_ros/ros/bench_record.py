"""Measure the recorder: what arrives in the bag of what was published, and what that costs, beside a plain loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla3d_ros.errors import TransportError
from vla3d_ros.recording.bag_reader import BagReader
from vla3d_ros.recording.mcap_sink import McapSink
from vla3d_ros.recording.message_definitions import MessageDefinitions
from vla3d_ros.recording.qos import offered_qos
from vla3d_ros.ros.domain import claimed_domain
from vla3d_ros.ros.environment import prepare_environment

_NAMESPACE = "/bench"
_DOMAINS = range(60, 80)
_SLACK_S = 60.0
_BYTES_PER_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMeasurement:
    """What one run saw.

    Attributes:
        seconds: How long was published.
        jpeg_quality: 0 if images were recorded raw.
        published: Messages by topic, as the publishing process counted them.
        recorded: Messages by topic, counted in the finished bag.
        lost: Published, but not in the bag.
        dropped_by_writer: What the recorder itself announced as dropped.
        publisher_late_s: How late the last message was published: over about 0.1 s the machine was too slow to ask.
        payload_mb_s: Serialized megabytes a second that the recorder took.
        disk_mb_s: Megabytes a second that it wrote.
        recorder_cpu: Cores it used, 1.0 = one core.
        publisher_cpu: Cores that publishing used, on the same machine.
        longest_sync_s: Longest wait for the disk.
        plain_cpu: Cores a plain loop with rosbags would use for the same bytes at this rate.
        plain_mb_s: Megabytes a second that the plain loop writes when nothing holds it back.
    """

    seconds: float
    jpeg_quality: int
    published: Mapping[str, int]
    recorded: Mapping[str, int]
    lost: int
    dropped_by_writer: int
    publisher_late_s: float
    payload_mb_s: float
    disk_mb_s: float
    recorder_cpu: float
    publisher_cpu: float
    longest_sync_s: float
    plain_cpu: float
    plain_mb_s: float


def measure_recording(*, seconds: float, jpeg_quality: int, folder: Path | None = None) -> RecordMeasurement:
    """Record three raw 640x480 cameras, depth and joint states through the recorder node, from another process.

    Args:
        seconds: How long.
        jpeg_quality: 0 to record images raw.
        folder: Whose disk is measured; the temporary folder by default. What is written is removed.

    Raises:
        TransportError: If no ROS domain is free, or the graph did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="vla3d_bench_", dir=folder) as place, claimed_domain(_DOMAINS) as domain:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        prepare_environment()
        try:
            told = _run(Path(place), seconds, jpeg_quality)
        finally:
            del os.environ["ROS_DOMAIN_ID"]
        bag = Path(place) / "episode_0001"
        recorded, payload_bytes = _count(bag)
        disk_bytes = (bag / f"{bag.name}.mcap").stat().st_size
        plain_cpu_s, plain_s = _plain_loop(bag, Path(place) / "plain")
    published = told["sent"]
    arrived = {topic: recorded.get(topic, recorded.get(f"{topic}/compressed", 0)) for topic in published}
    return RecordMeasurement(
        seconds=seconds,
        jpeg_quality=jpeg_quality,
        published=published,
        recorded=arrived,
        lost=sum(published.values()) - sum(arrived.values()),
        dropped_by_writer=told["dropped"],
        publisher_late_s=round(told["late_s"], 3),
        payload_mb_s=round(payload_bytes / _BYTES_PER_MB / seconds, 2),
        disk_mb_s=round(disk_bytes / _BYTES_PER_MB / seconds, 2),
        recorder_cpu=round(told["recorder_cpu_s"] / seconds, 3),
        publisher_cpu=round(told["cpu_s"] / seconds, 3),
        longest_sync_s=told["longest_sync_s"],
        plain_cpu=round(plain_cpu_s / seconds, 3),
        plain_mb_s=round(payload_bytes / _BYTES_PER_MB / plain_s, 1),
    )


def _run(place: Path, seconds: float, jpeg_quality: int) -> dict[str, Any]:
    arguments = ["--ros-args", "-r", f"__ns:={_NAMESPACE}"]
    settings = ["-p", f"output_dir:={place}", "-p", f"jpeg_quality:={jpeg_quality}"]
    recorder = [sys.executable, "-m", "vla3d_ros.ros.process", "recorder", *arguments, *settings]
    stream = [sys.executable, "-m", "vla3d_ros.ros.bench_record_stream", str(seconds), *arguments]
    processes: list[subprocess.Popen[str]] = []
    try:
        processes.append(subprocess.Popen(recorder, text=True, stdout=sys.stderr))
        processes.append(subprocess.Popen(stream, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return _conduct(processes[0], processes[1], place / "episode_0001", seconds)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=_SLACK_S)


def _conduct(
    recorder: subprocess.Popen[str], stream: subprocess.Popen[str], bag: Path, seconds: float
) -> dict[str, Any]:
    """Start the episode before the first message and stop it after the last, so that every message counts."""
    from vla3d_ros.ros.bring_up import bring_up
    from vla3d_ros.ros.recorder_link import RecorderLink

    bring_up([f"{_NAMESPACE}/recorder"], on_active=lambda _: None)
    link = RecorderLink(_NAMESPACE, instruction="", operator="", tells_policy=False)
    assert stream.stdin is not None
    assert stream.stdout is not None
    try:
        if stream.stdout.readline().strip() != "ready":
            raise TransportError("the recorder did not follow the topics of the bench; see the log above")
        has_started, text = link.call("start_forced")
        if not has_started:
            raise TransportError(f"the recorder refused: {text}")
        before_s = _cpu_s(recorder.pid)
        stream.stdin.write("go\n")
        stream.stdin.flush()
        time.sleep(seconds)
        told: dict[str, Any] = json.loads(stream.stdout.readline())
        link.call("stop")
        told["recorder_cpu_s"] = _cpu_s(recorder.pid) - before_s
    finally:
        link.close()
    return told | _result(bag)


def _result(bag: Path) -> dict[str, Any]:
    from vla3d_ros.recording.session_file import read_session

    session = read_session(bag)
    result = session.result if session else {}
    return {"dropped": sum(result.get("dropped", {}).values()), "longest_sync_s": result.get("longest_sync_s", 0.0)}


def _cpu_s(pid: int) -> float:
    """Seconds of processor time a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _count(bag: Path) -> tuple[dict[str, int], int]:
    counts: dict[str, int] = {}
    size_bytes = 0
    with BagReader(bag) as reader:
        for message in reader.messages():
            counts[message.topic] = counts.get(message.topic, 0) + 1
            size_bytes += len(message.cdr)
    return counts, size_bytes


def _plain_loop(bag: Path, folder: Path) -> tuple[float, float]:
    """Write the same bytes again with rosbags alone, and return processor and wall seconds of the writing."""
    definitions = MessageDefinitions()
    sink = McapSink(folder, is_compressed=True, custom_data={})
    cpu_s = wall_s = 0.0
    with BagReader(bag) as reader:
        for topic, kind in reader.topics.items():
            sink.add_topic(topic, definitions.lookup(kind, topic), offered_qos())
        for message in reader.messages():
            cpu, wall = time.process_time(), time.monotonic()
            sink.write(message.topic, message.stamp_ns, message.cdr)
            cpu_s, wall_s = cpu_s + time.process_time() - cpu, wall_s + time.monotonic() - wall
    sink.close()
    return cpu_s, wall_s
