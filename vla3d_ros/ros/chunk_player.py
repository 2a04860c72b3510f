"""Recorded chunks published again when the robot's clock says so, and what the robot made of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState, MultiDOFJointState
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla3d_ros.datatypes import ActionChunk
from vla3d_ros.geometry import Transform
from vla3d_ros.replay.approach import EePoses
from vla3d_ros.replay.chunk_playlist import DueChunk
from vla3d_ros.ros import conversions, qos

_PERIOD_NS = 33_333_333


class ChunkPlayer:
    """Lives in somebody's node, in the robot's namespace; joint states tell the time and drive the playing.

    samples: what `ee_state` told since the start: (stamp, T_base_ee, opening) by arm. q: newest joint positions. ee:
    newest T_base_ee and opening by arm, of `stamp_ns`. late_ns: how long after it was due a chunk came at worst.
    """

    def __init__(self, node: Node, strokes_m: Mapping[str, float], base_frame: str) -> None:
        """Join the graph; nothing is published before `start` or `drive`."""
        self._strokes_m, self._base_frame = dict(strokes_m), base_frame
        self._make: Callable[[int, EePoses], ActionChunk] | None = None
        self._made_ns = 0
        self.ee: EePoses = {}
        self.stamp_ns = self.late_ns = 0
        self._waiting: deque[tuple[int, MultiDOFJointTrajectory]] = deque()
        self.q: dict[str, float] = {}
        self.samples: dict[str, list[tuple[int, Transform, float]]] = {arm: [] for arm in strokes_m}
        self.verdicts: Counter[str] = Counter()
        self.objections: dict[str, str] = {}
        self.stops: list[str] = []
        self._publisher = node.create_publisher(MultiDOFJointTrajectory, "policy/chunk", qos.EVENT)
        node.create_subscription(JointState, "joint_states", self._on_joint_state, qos.STATE)
        node.create_subscription(MultiDOFJointState, "ee_state", self._on_ee_state, qos.STATE)
        node.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT)
        node.create_subscription(DiagnosticStatus, "adapter/state", self._on_adapter_state, qos.LATCHED)

    @property
    def has_listener(self) -> bool:
        """Whether somebody takes the chunks."""
        return bool(self._publisher.get_subscription_count())

    @property
    def left(self) -> int:
        """How many chunks are not due yet."""
        return len(self._waiting)

    def start(self, chunks: Sequence[DueChunk], shift_ns: int) -> None:
        """Publish chunks from now on, all stamps moved by one offset, each when it was received that day."""
        ready = []
        for chunk in chunks:
            msg = deserialize_message(chunk.shifted(shift_ns), MultiDOFJointTrajectory)
            ready.append((chunk.receive_ns + shift_ns, msg))
        self._waiting = deque(ready)

    def stop(self) -> None:
        """Publish no more."""
        self._waiting = deque()

    def drive(self, make: Callable[[int, EePoses], ActionChunk] | None) -> None:
        """Publish what is made of the newest end-effector states, thirty times a second; None: no more."""
        self._make = make

    def forget(self) -> None:
        """Forget what was said and done so far."""
        self.verdicts.clear()
        self.objections.clear()
        for samples in self.samples.values():
            samples.clear()

    def _on_joint_state(self, msg: JointState) -> None:
        self.q.update(zip(msg.name, msg.position, strict=False))
        now_ns, waiting = conversions.stamp_to_ns(msg.header.stamp), self._waiting
        while waiting and waiting[0][0] <= now_ns:
            due_ns, chunk = waiting.popleft()
            self.late_ns = max(self.late_ns, now_ns - due_ns)
            self._publisher.publish(chunk)

    def _on_ee_state(self, msg: MultiDOFJointState) -> None:
        stamp_ns = conversions.stamp_to_ns(msg.header.stamp)
        self.ee, self.stamp_ns = conversions.ee_state_from_msg(msg, self._strokes_m), stamp_ns
        for arm, (T_base_ee, opening) in self.ee.items():
            self.samples[arm].append((stamp_ns, T_base_ee, opening))
        make = self._make
        if make is not None and stamp_ns - self._made_ns >= _PERIOD_NS:
            self._made_ns = stamp_ns
            chunk = make(stamp_ns, self.ee)
            self._publisher.publish(conversions.chunk_to_msg(chunk, self._base_frame, self._strokes_m))

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        self.verdicts[msg.message] += 1
        told = ("dropped_steps", "stamp_ns")
        for value in msg.values:
            if value.key not in told and "_executed_" not in value.key:
                self.objections.setdefault(value.key, value.value)

    def _on_adapter_state(self, msg: DiagnosticStatus) -> None:
        stopped = next((value.value for value in msg.values if value.key == "stopped"), "")
        if stopped and stopped not in self.stops:
            self.stops.append(stopped)
