"""Measure the way from a camera to a policy: recorded cameras, the real camera node, the real observation window.

Three recordings of noise play at 30 Hz as cameras. They go through the camera node and the ROS graph into an
`ObservationWindow`, wired as the policy node wires it. Robot states are made up at the images' stamps, so that
waiting for an arm is not counted. Latency is from an image's capture stamp until its observation is whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from vla3d_ros.datatypes import RobotState
from vla3d_ros.errors import TransportError
from vla3d_ros.geometry import Transform
from vla3d_ros.ros.domain import claimed_domain
from vla3d_ros.ros.environment import ros_environment
from vla3d_ros.ros.transport import PROFILE_VARIABLE

WAYS = ("shipped", "default", "one_process")
_CAMERAS = ("head", "side", "wrist")
_WIDTH, _HEIGHT, _RATE_HZ, _IMAGES = 640, 480, 30.0, 8
_NAMESPACE = "bench"
_DOMAINS = range(60, 80)
_SETTLE_S = 2.0
_PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewsMeasurement:
    """What one run saw.

    Attributes:
        way: `shipped`: two processes, the shipped profile; `default`: two processes, the ROS default;
            `one_process`: camera and window in one process.
        profile: The Fast DDS profile in force; None for Fast DDS's default.
        seconds: How long was counted.
        sets: Sets of three views that were captured in that time.
        complete: Sets that became whole observations.
        incomplete: Sets that left with a view missing, after the grace period.
        overtaken: Sets that were whole, but a newer one was, too.
        lost: Sets that became no observation and were not overtaken, with the incomplete ones.
        skipped_at_capture: Images that one camera skipped in the whole run because the machine gave its thread no time:
            sets that were lost before anything was sent. None if the camera node was not heard.
        latency_p50_ms: Median time from capture to observation; None without any.
        latency_p99_ms: Its 99th percentile.
        skew_p50_ms: Median difference of captures within a set, as the camera node measured it.
        skew_p99_ms: Its 99th percentile.
    """

    way: str
    profile: str | None
    seconds: float
    sets: int
    complete: int
    incomplete: int
    overtaken: int
    lost: int
    skipped_at_capture: int | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    skew_p50_ms: float | None
    skew_p99_ms: float | None


def measure_views(*, way: str, duration_s: float) -> ViewsMeasurement:
    """Run three 640x480 cameras at 30 Hz into an observation window.

    Args:
        way: One of `WAYS`.
        duration_s: How long to count.

    Raises:
        TransportError: If no ROS domain is free, or the graph did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="vla3d_bench_") as folder, claimed_domain(_DOMAINS) as domain_id:
        environ = {**os.environ, **ros_environment(os.environ)}
        environ |= {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        if way == "default":
            environ.pop(PROFILE_VARIABLE, None)
        parameters = _write_rig(Path(folder))
        arguments = ["--ros-args", "-r", f"__ns:=/{_NAMESPACE}", "--params-file", str(parameters)]
        camera = [sys.executable, "-m", "vla3d_ros.ros.process", "camera", *arguments]
        with _child(camera, environ) if way != "one_process" else contextlib.nullcontext():
            watch = [sys.executable, "-m", "vla3d_ros.ros.bench_views", way, str(duration_s), *arguments]
            limit_s = duration_s + 2 * _PATIENCE_S
            seen = subprocess.run(watch, env=environ, stdout=subprocess.PIPE, timeout=limit_s, check=False)
    if seen.returncode != 0:
        raise TransportError(f"the bench of way '{way}' ended with code {seen.returncode}; its log is above")
    result = json.loads(seen.stdout.splitlines()[-1])
    return ViewsMeasurement(way=way, profile=environ.get(PROFILE_VARIABLE), **result)


def _write_rig(folder: Path) -> Path:
    """Write images, a rig that plays them, and the parameter file that names it."""
    rng = np.random.default_rng(0)
    cameras: dict[str, Any] = {}
    for name in _CAMERAS:
        (folder / name).mkdir()
        for index in range(_IMAGES):
            pixels = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / name / f"{index}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
        cameras[name] = {
            "source": "recorded",
            "width_px": _WIDTH,
            "height_px": _HEIGHT,
            "K": [600.0, 0.0, (_WIDTH - 1) / 2, 0.0, 600.0, (_HEIGHT - 1) / 2, 0.0, 0.0, 1.0],
            "mount": {
                "parent_frame": "base",
                "optical_frame": f"{name}_optical_frame",
                "position_m": [0.0, 0.0, 1.0],
                "xyzw": [1.0, 0.0, 0.0, 0.0],
            },
            "settings": {"path": str(folder / name), "rate_hz": _RATE_HZ},
        }
    rig = {"anchor": _CAMERAS[0], "rate_hz": _RATE_HZ, "max_skew_ms": 15.0, "cameras": cameras}
    (folder / "rig.yaml").write_text(yaml.safe_dump(rig))
    parameters = {"/**": {"ros__parameters": {"rig_file": str(folder / "rig.yaml")}}}
    (folder / "parameters.yaml").write_text(yaml.safe_dump(parameters))
    return folder / "parameters.yaml"


@contextlib.contextmanager
def _child(command: list[str], environ: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=dict(environ), stdout=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_S)


class _Watch:
    """The receiving end: a node with an observation window, and a clock that reads when observations are whole."""

    def __init__(self, duration_s: float) -> None:
        import rclpy

        from vla3d_ros.policy.observation_window import ObservationWindow

        self.node = rclpy.create_node("watch", start_parameter_services=False)
        self.window = ObservationWindow(
            cameras=_CAMERAS, base_frame="base", ee_frames={"arm": "tool"}, grace_ns=50_000_000, min_views=2
        )
        self._duration_ns = int(duration_s * 1e9)
        self._start_ns: int | None = None
        self._newest_ns = 0
        self._whole: dict[int, float] = {}
        self._overtaken_before = 0
        self._incomplete = 0
        self._told: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether everything was counted."""
        return self._start_ns is not None and self._newest_ns > self._start_ns + self._duration_ns

    def subscribe(self) -> None:
        """Listen to the camera node as the policy node does."""
        from geometry_msgs.msg import TransformStamped
        from sensor_msgs.msg import CameraInfo, Image

        from vla3d_ros.ros import conversions, qos

        def on_image(camera: str, msg: Image) -> None:
            self.window.add_image(conversions.image_from_msg(camera, msg, time.time_ns()))
            self.take()

        def on_info(camera: str, msg: CameraInfo) -> None:
            self.window.add_model(camera, conversions.camera_model_from_msg(msg))

        def on_mount(camera: str, msg: TransformStamped) -> None:
            self.window.add_mount(conversions.mount_from_msg(camera, msg))

        for name in _CAMERAS:
            base = f"camera/{name}"
            self.node.create_subscription(Image, f"{base}/image_raw", partial(on_image, name), qos.SENSOR)
            self.node.create_subscription(CameraInfo, f"{base}/camera_info", partial(on_info, name), qos.SENSOR)
            self.node.create_subscription(TransformStamped, f"{base}/extrinsics", partial(on_mount, name), qos.LATCHED)

    def hear_diagnostics(self) -> None:
        """Keep the camera node's figures."""
        from diagnostic_msgs.msg import DiagnosticArray

        from vla3d_ros.ros import qos

        def on_diagnostics(msg: DiagnosticArray) -> None:
            self._told |= {value.key: value.value for status in msg.status for value in status.values}

        self.node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, qos.EVENT)

    def take(self) -> None:
        """Take the observation that may have become whole, and note when."""
        now_ns = time.time_ns()
        self.window.add_robot_state(_state(now_ns))
        observation = self.window.take("")
        if observation is None:
            return
        if self._start_ns is None:
            self._start_ns = observation.stamp_ns + int(_SETTLE_S * 1e9)
        self._newest_ns = observation.stamp_ns
        if observation.stamp_ns < self._start_ns:
            self._overtaken_before = self.window.counters.overtaken
        elif not self.is_done:
            if observation.missing_views:
                self._incomplete += 1
            else:
                self._whole[observation.stamp_ns] = (now_ns - observation.stamp_ns) / 1e6

    def result(self) -> dict[str, Any]:
        """Return the figures of a `ViewsMeasurement`."""
        seconds = self._duration_ns / 1e9
        sets = round(seconds * _RATE_HZ)
        latencies_ms = list(self._whole.values())
        skipped = [int(value) for key, value in self._told.items() if key.endswith(".dropped")]
        overtaken = min(self.window.counters.overtaken - self._overtaken_before, sets - len(latencies_ms))
        p50, p99 = np.percentile(latencies_ms, [50, 99]).round(2).tolist() if latencies_ms else (None, None)
        return {
            "seconds": seconds,
            "sets": sets,
            "complete": len(latencies_ms),
            "incomplete": self._incomplete,
            "overtaken": max(0, overtaken),
            "lost": max(0, sets - len(latencies_ms) - max(0, overtaken)),
            "latency_p50_ms": p50,
            "latency_p99_ms": p99,
            "skipped_at_capture": max(skipped, default=None),
            "skew_p50_ms": float(self._told["skew_p50_ms"]) if "skew_p50_ms" in self._told else None,
            "skew_p99_ms": float(self._told["skew_p99_ms"]) if "skew_p99_ms" in self._told else None,
        }


def _state(stamp_ns: int) -> RobotState:
    return RobotState(
        arm="arm",
        stamp_ns=stamp_ns,
        joint_names=("joint",),
        q=np.zeros(1),
        dq=np.zeros(1),
        T_base_ee=Transform.identity(),
        gripper_opening=1.0,
    )


def _run(way: str, duration_s: float, ros_arguments: list[str]) -> dict[str, Any]:
    """Be the receiving process; in way `one_process` be the camera's, too."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from vla3d_ros.ros.bring_up import BringUp
    from vla3d_ros.ros.process import tune_process

    tune_process()

    rclpy.init(args=ros_arguments, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    watch = _Watch(duration_s)
    nodes: list[Any] = []
    watch.hear_diagnostics()
    executor = SingleThreadedExecutor()
    if way == "one_process":
        nodes = _compose(watch)
    else:
        watch.subscribe()
        walker = BringUp(watch.node)
        walker.activate([f"/{_NAMESPACE}/camera"], timeout_s=_PATIENCE_S)
        walker.close()
    for node in (watch.node, *nodes):
        executor.add_node(node)
    deadline = time.monotonic() + _SETTLE_S + duration_s + _PATIENCE_S / 2
    while not watch.is_done and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    for node in nodes:
        node.shut_down()
    rclpy.try_shutdown()
    return watch.result()


def _compose(watch: _Watch) -> list[Any]:
    """Bring the camera node up in this process and listen through the exchange."""
    from vla3d_ros.camera.view_exchange import ViewExchange
    from vla3d_ros.ros.process import create_nodes
    from vla3d_ros.ros.view_inbox import ViewInbox

    exchange = ViewExchange()

    def on_views() -> None:
        inbox.move_into(watch.window, _CAMERAS, time.time_ns())
        watch.take()

    inbox = ViewInbox(watch.node, exchange, on_views)
    nodes = create_nodes(["camera"], exchange)
    for node in nodes:
        node.trigger_configure()
        node.trigger_activate()
    return list(nodes)


def main() -> int:
    """Be the receiving process of `measure_views`."""
    parser = argparse.ArgumentParser(description="Receiving end of the bench of views; started by 'vla3d bench'.")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("seconds", type=float)
    options, ros_arguments = parser.parse_known_args()
    print(json.dumps(_run(options.way, options.seconds, ros_arguments)), flush=True)
    return 0


def as_json(measured: Mapping[str, ViewsMeasurement]) -> str:
    """Return measurements as JSON text."""
    return json.dumps({way: asdict(seen) for way, seen in measured.items()}, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
