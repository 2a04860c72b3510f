"""Listens to a policy's chunks and reports from outside, and notes when each came."""

from __future__ import annotations

import threading
import time
from functools import partial

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.evaluation.chunk_rate import ChunkSample
from vla3d_ros.ros import qos
from vla3d_ros.ros.conversions import stamp_ns_of_cdr

_COUNTERS = ("lost_sets", "overtaken_sets", "replaced_observations", "views_without_depth")


class ChunkEar:
    """A node of its own, spun in a thread of its own. ROS must be initialised, and stays so."""

    def __init__(self, namespace: str, anchor: str) -> None:
        """Start listening.

        Args:
            namespace: Namespace of the robot, without slashes.
            anchor: The camera whose camera_info tells when a view could have been seen.
        """
        self._lock = threading.Lock()
        self._infos: dict[int, float] = {}
        self._heard: dict[int, float] = {}
        self._reports: list[dict[str, str]] = []
        self._node = Node("chunk_ear", namespace=f"/{namespace}", start_parameter_services=False)
        info = partial(self._note, self._infos)
        chunk = partial(self._note, self._heard)
        self._node.create_subscription(CameraInfo, f"camera/{anchor}/camera_info", info, qos.SENSOR, raw=True)
        self._node.create_subscription(MultiDOFJointTrajectory, "policy/chunk", chunk, qos.EVENT, raw=True)
        self._node.create_subscription(DiagnosticStatus, "policy/report", self._on_report, qos.EVENT)
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="chunk_ear", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._is_closing.set()
        self._thread.join(timeout=2.0)
        self._node.destroy_node()

    def restart(self) -> None:
        """Forget what was heard: what is measured begins now."""
        with self._lock:
            self._heard.clear()
            self._reports.clear()

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest chunk; None if none was heard since the restart."""
        with self._lock:
            return max(self._heard, default=None)

    def samples(self) -> list[ChunkSample]:
        """Return the chunks whose report was heard as well, in the order in which they were heard."""
        with self._lock:
            reports = {int(values["stamp_ns"]): values for values in self._reports}
            return [
                ChunkSample(
                    stamp_ns=stamp_ns,
                    heard_s=heard_s,
                    latency_ms=float(reports[stamp_ns]["latency_ms"]),
                    compute_ms=float(reports[stamp_ns]["compute_ms"]),
                    seen_to_heard_ms=1e3 * (heard_s - self._infos[stamp_ns]) if stamp_ns in self._infos else None,
                )
                for stamp_ns, heard_s in self._heard.items()
                if stamp_ns in reports
            ]

    def counted(self) -> dict[str, int]:
        """Return how much the node's own counters grew: observations lost, overtaken, replaced before inference."""
        with self._lock:
            if not self._reports:
                return {}
            first, last = self._reports[0], self._reports[-1]
            return {name: int(last[name]) - int(first[name]) for name in _COUNTERS if name in first and name in last}

    def last_report(self) -> dict[str, str]:
        """Return what the policy said about its newest chunk; empty if it has said nothing."""
        with self._lock:
            return dict(self._reports[-1]) if self._reports else {}

    def _note(self, times: dict[int, float], cdr: bytes) -> None:
        with self._lock:
            times.setdefault(stamp_ns_of_cdr(cdr), time.monotonic())

    def _on_report(self, msg: DiagnosticStatus) -> None:
        with self._lock:
            self._reports.append({entry.key: entry.value for entry in msg.values})

    def _spin(self) -> None:
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        try:
            while rclpy.ok() and not self._is_closing.is_set():
                executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            return
