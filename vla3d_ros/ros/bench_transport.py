"""Measure what the ROS transport does to camera images: how many arrive, and when.

    python -m vla3d_ros.ros.bench_transport --json transport.json

One process publishes, another receives, in a ROS domain of their own; both use the profile that
`prepare_environment` would put in force, or Fast DDS's own default with `--builtin`, to see what it is worth.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vla3d_ros.ros.domain import claimed_domain
from vla3d_ros.ros.environment import ros_environment
from vla3d_ros.ros.transport import PROFILE_VARIABLE

_COMMAND = (sys.executable, "-m", "vla3d_ros.ros.bench_transport")
_TOPIC = "bench/camera{}"
_DOMAINS = range(60, 80)
_DISCOVERY_S = 1.0
_PATIENCE_S = 15.0
_DRAIN_S = 0.5
_TOLERATED_LOSS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportMeasurement:
    """What one run of the bench saw.

    Attributes:
        profile: The Fast DDS profile in force; None for Fast DDS's default.
        sent: Images published.
        received: Images that arrived.
        latency_p50_ms: Median time from publish to callback; None if nothing arrived.
        latency_p99_ms: Its 99th percentile.
    """

    profile: str | None
    sent: int
    received: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None


def measure(*, cameras: int, rate_hz: float, duration_s: float, use_builtin: bool) -> TransportMeasurement:
    """Send 640x480 RGB images from one new process to another.

    Args:
        cameras: Number of image topics.
        rate_hz: Images per second on each.
        duration_s: How long to send.
        use_builtin: Leave Fast DDS's default transports in place, ignoring any profile.

    Raises:
        TransportError: If no ROS domain is free.
    """
    ticks = round(rate_hz * duration_s)
    with claimed_domain(_DOMAINS) as domain_id:
        environ = _environment(domain_id, use_builtin)
        with _child(["publish", str(cameras), str(rate_hz), str(ticks)], environ):
            receiver = [*_COMMAND, "receive", str(cameras), str(_DISCOVERY_S + duration_s + _PATIENCE_S)]
            received = subprocess.run(receiver, env=environ, stdout=subprocess.PIPE, check=True)
    latencies_ms: list[float] = json.loads(received.stdout)
    p50, p99 = np.percentile(latencies_ms, [50, 99]).round(2).tolist() if latencies_ms else (None, None)
    return TransportMeasurement(
        profile=environ.get(PROFILE_VARIABLE),
        sent=ticks * cameras,
        received=len(latencies_ms),
        latency_p50_ms=p50,
        latency_p99_ms=p99,
    )


def _environment(domain_id: int, use_builtin: bool) -> dict[str, str]:
    """Complete this process's environment for the two children."""
    environ = {**os.environ, **ros_environment(os.environ)}
    environ |= {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if use_builtin:
        environ.pop(PROFILE_VARIABLE, None)
    return environ


@contextlib.contextmanager
def _child(arguments: list[str], environ: dict[str, str]) -> Iterator[None]:
    """Run this module in a process for the duration of the block; it never outlives it."""
    process = subprocess.Popen([*_COMMAND, *arguments], env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _node(name: str) -> Iterator:
    """Run a node for the duration of the block."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    try:
        yield rclpy.create_node(name, context=context)
    finally:
        rclpy.shutdown(context=context)


def _receive(cameras: int, patience_s: float) -> list[float]:
    """Collect latencies in milliseconds until no publisher is left, or patience ends."""
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    from vla3d_ros.ros.qos import SENSOR

    latencies_ms: list[float] = []

    def on_image(msg: Image) -> None:
        sent_ns = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec
        latencies_ms.append((time.time_ns() - sent_ns) / 1e6)

    topics = [_TOPIC.format(index) for index in range(cameras)]
    with _node("bench_receiver") as node:
        subscriptions = [node.create_subscription(Image, topic, on_image, SENSOR) for topic in topics]
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        patience_end, has_started = time.monotonic() + patience_s, False
        while subscriptions and time.monotonic() < patience_end:
            executor.spin_once(timeout_sec=0.1)
            is_publishing = node.count_publishers(topics[0]) > 0
            if has_started and not is_publishing:
                break
            has_started = has_started or is_publishing
    return latencies_ms


def _publish(cameras: int, rate_hz: float, ticks: int) -> None:
    """Publish noise, which no transport can compress, on every topic at once."""
    from rclpy.publisher import Publisher
    from sensor_msgs.msg import Image

    from vla3d_ros.ros.qos import SENSOR

    pixels = array.array("B")
    pixels.frombytes(np.random.default_rng(0).bytes(640 * 480 * 3))
    msg = Image(height=480, width=640, step=1920, encoding="rgb8", data=pixels)
    with _node("bench_publisher") as node:
        publishers = [node.create_publisher(Image, _TOPIC.format(index), SENSOR) for index in range(cameras)]
        patience_end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < patience_end and not all(map(Publisher.get_subscription_count, publishers)):
            time.sleep(0.01)
        start = time.monotonic() + _DISCOVERY_S
        for tick in range(ticks):
            time.sleep(max(0.0, start + tick / rate_hz - time.monotonic()))
            for publisher in publishers:
                msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
                publisher.publish(msg)
        time.sleep(_DRAIN_S)


def _run_role(role: str, arguments: list[str]) -> None:
    """Be one of the two child processes; see `measure` for the arguments."""
    if role == "publish":
        _publish(int(arguments[0]), float(arguments[1]), int(arguments[2]))
    else:
        print(json.dumps(_receive(int(arguments[0]), float(arguments[1]))))


def main() -> int:
    """Measure, print one line, and write it to a file if asked: 0 if at most 1 % of the images were lost."""
    parser = argparse.ArgumentParser(description="Measure what the ROS transport does to camera images.")
    parser.add_argument("--cameras", type=int, default=3, help="number of image topics; default: %(default)s")
    parser.add_argument("--rate-hz", type=float, default=30.0, help="images per second on each; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long to send; default: %(default)s")
    parser.add_argument("--builtin", action="store_true", help="use Fast DDS's default instead of the profile")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the measurement as JSON")
    options = parser.parse_args()
    seen = measure(
        cameras=options.cameras, rate_hz=options.rate_hz, duration_s=options.seconds, use_builtin=options.builtin
    )
    lost = 1.0 - seen.received / seen.sent
    print(
        f"{seen.received} of {seen.sent} images arrived ({lost:.1%} lost), latency p50 {seen.latency_p50_ms} ms, "
        f"p99 {seen.latency_p99_ms} ms, profile {seen.profile or 'none'}"
    )
    if options.json:
        options.json.write_text(json.dumps(asdict(seen), indent=2) + "\n")
    return 0 if lost <= _TOLERATED_LOSS else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["publish"], ["receive"]):
        _run_role(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(main())
