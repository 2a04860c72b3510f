"""What the console hears of the graph, turned into the facts its page is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from numpy.typing import NDArray
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMsg
from sensor_msgs.msg import Image, JointState, MultiDOFJointState
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from vla3d_ros.adapter.embodiment import ArmSpec, Embodiment
from vla3d_ros.camera.rig import CameraRig, CameraSpec
from vla3d_ros.console.facts import ArmFacts, CameraFacts, NodeWord, Said
from vla3d_ros.datatypes import CameraImage, SpatialReport
from vla3d_ros.errors import ShapeError
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.newest import NewestMessages
from vla3d_ros.ros.spatial_markers import spatial_from_msg

Float = NDArray[np.float64]

_LEVELS = {DiagnosticStatus.OK: "ok", DiagnosticStatus.WARN: "warning"}
_SPATIAL_S = 2.0
_PLAN_S = 1.0


class ConsoleTopics:
    """One subscription per topic; what is asked for is read then."""

    def __init__(self, node: Node, embodiment: Embodiment, rig: CameraRig, clock_s: Callable[[], float]) -> None:
        """Subscribe.

        Args:
            node: In the robot's namespace.
            embodiment: The robot.
            rig: Its cameras.
            clock_s: Steady time in seconds.
        """
        self._embodiment, self._rig, self._clock_s = embodiment, rig, clock_s
        self._strokes_m = {arm.name: arm.gripper.stroke_m if arm.gripper else 1.0 for arm in embodiment.arms}
        self._newest = newest = NewestMessages(node, clock_s)
        self._node = node
        self._q: dict[str, float] = {}
        self._verdicts: Counter[str] = Counter()
        self._words: dict[str, tuple[DiagnosticStatus, float]] = {}
        newest.listen("joints", JointState, "joint_states", qos.SENSOR, has_header=True)
        newest.listen("ee", MultiDOFJointState, "ee_state", qos.SENSOR)
        newest.listen("state", DiagnosticStatus, "adapter/state", qos.LATCHED)
        newest.listen("report", DiagnosticStatus, "policy/report", qos.EVENT)
        newest.listen("recorder", DiagnosticStatus, "recorder/status", qos.EVENT)
        newest.listen("instruction", String, "instruction", qos.LATCHED)
        newest.listen("spatial", MarkerArray, "policy/spatial", qos.EVENT)
        newest.listen("clock", ClockMsg, "/clock", qos.CLOCK)
        for arm in embodiment.arms:
            newest.listen(f"plan/{arm.name}", PoseArray, f"adapter/planned_path/{arm.name}", qos.EVENT)
        for camera in rig.cameras:
            topic = f"camera/{camera.name}/image_raw"
            newest.listen(f"camera/{camera.name}", Image, topic, qos.SENSOR, has_header=True)
        self._events = [
            node.create_subscription(DiagnosticStatus, "adapter/verdict", self._on_verdict, qos.EVENT),
            node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.EVENT),
        ]
        self._last_verdict: tuple[DiagnosticStatus, float] | None = None

    def close(self) -> None:
        """Unsubscribe."""
        self._newest.close()
        for subscription in self._events:
            self._node.destroy_subscription(subscription)

    def silent_s(self, key: str) -> float:
        """Return the seconds since `joints`, `ee` or `clock` were last heard."""
        return self._newest.silent_s(key)

    # -------------------------------------------------------------------------------------------- words

    def said(self, key: str) -> Said:
        """Return the newest word of `state`, `report` or `recorder`."""
        msg = self._newest.message(key)
        if msg is None:
            return Said()
        return Said(values=_values(msg), message=msg.message, silent_s=self._newest.silent_s(key))

    @property
    def instruction(self) -> str:
        """What the policy is told to do."""
        msg = self._newest.message("instruction")
        return "" if msg is None else str(msg.data)

    @property
    def verdict(self) -> Said:
        """The gate's last verdict with a reason."""
        if self._last_verdict is None:
            return Said()
        msg, heard_s = self._last_verdict
        return Said(values=_values(msg), message=msg.message, silent_s=self._clock_s() - heard_s)

    @property
    def verdicts(self) -> dict[str, int]:
        """How many verdicts of each kind."""
        return dict(self._verdicts)

    def nodes(self) -> tuple[NodeWord, ...]:
        """Return what nodes last said on /diagnostics, by name."""
        now_s = self._clock_s()
        return tuple(
            NodeWord(
                name=name,
                level=_LEVELS.get(msg.level, "error"),
                message=msg.message,
                silent_s=now_s - heard_s,
                values=_values(msg),
            )
            for name, (msg, heard_s) in sorted(self._words.items())
        )

    def _on_verdict(self, msg: DiagnosticStatus) -> None:
        self._verdicts[msg.message] += 1
        if msg.level != DiagnosticStatus.OK or self._last_verdict is None:
            self._last_verdict = (msg, self._clock_s())

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self._words[status.name] = (status, self._clock_s())

    # -------------------------------------------------------------------------------------------- robot

    def joints(self) -> dict[str, float]:
        """Return the newest position of every joint that was heard, rad or m."""
        msg = self._newest.message("joints")
        if msg is not None:
            self._q |= dict(zip(msg.name, msg.position, strict=False))
        return dict(self._q)

    def arms(self) -> tuple[ArmFacts, ...]:
        """Return the arms as they are."""
        q, ends = self.joints(), self._ends()
        return tuple(self._arm(arm, q, ends) for arm in self._embodiment.arms)

    def _arm(self, arm: ArmSpec, q: dict[str, float], ends: dict[str, tuple[Float, float]]) -> ArmFacts:
        is_known = all(name in q for name in arm.joint_names)
        end = ends.get(arm.name)
        return ArmFacts(
            name=arm.name,
            joint_names=arm.joint_names,
            q=np.array([q[name] for name in arm.joint_names]) if is_known else None,
            q_lower=arm.limits.q_lower,
            q_upper=arm.limits.q_upper,
            p_base_ee=end[0] if end else None,
            opening_m=end[1] if end and arm.gripper else None,
        )

    def _ends(self) -> dict[str, tuple[Float, float]]:
        msg = self._newest.message("ee")
        if msg is None:
            return {}
        try:
            states = conversions.ee_state_from_msg(msg, self._strokes_m)
        except ShapeError:
            return {}
        return {arm: (T.translation, opening * self._strokes_m[arm]) for arm, (T, opening) in states.items()}

    def plan(self, arm: str) -> Float:
        """Return the plan of an arm, (T, 3) m in the base frame; empty if it is over."""
        msg = self._newest.message(f"plan/{arm}")
        if msg is None or self._newest.silent_s(f"plan/{arm}") > _PLAN_S:
            return np.zeros((0, 3))
        return np.array([(p.position.x, p.position.y, p.position.z) for p in msg.poses]).reshape(-1, 3)

    def spatial(self) -> SpatialReport | None:
        """Return what the policy believes; None if it has not said so lately."""
        msg = self._newest.message("spatial")
        if msg is None or self._newest.silent_s("spatial") > _SPATIAL_S:
            return None
        return spatial_from_msg(msg)

    # ------------------------------------------------------------------------------------------ cameras

    def image(self, camera: str, now_ns: int) -> tuple[int, CameraImage] | None:
        """Return number and content of a camera's newest image, None if there is none or it can not be read."""
        heard = self._newest.raw(f"camera/{camera}")
        if heard is None:
            return None
        try:
            return heard[0], conversions.image_from_msg(camera, self._newest.message(f"camera/{camera}"), now_ns)
        except ShapeError:
            return None

    def images_seen(self, camera: str) -> int:
        """Return how many images of a camera have come."""
        return self._newest.count(f"camera/{camera}")

    def cameras(self, now_ns: int) -> tuple[CameraFacts, ...]:
        """Return how the cameras are doing.

        Args:
            now_ns: ROS time.
        """
        anchor = np.array(self._newest.stamps_ns(f"camera/{self._rig.anchor}"), dtype=np.int64)
        return tuple(self._camera(spec, anchor, now_ns) for spec in self._rig.cameras)

    def _camera(self, spec: CameraSpec, anchor_ns: NDArray[np.int64], now_ns: int) -> CameraFacts:
        key = f"camera/{spec.name}"
        stamps: Sequence[int] = self._newest.stamps_ns(key)
        span_s = (stamps[-1] - stamps[0]) / 1e9 if len(stamps) > 1 else 0.0
        compared_ns = stamps[-2:][0] if stamps else 0  # the anchor's image of the newest set may still be on its way
        skew_ms = float(np.abs(anchor_ns - compared_ns).min()) / 1e6 if stamps and len(anchor_ns) else None
        return CameraFacts(
            name=spec.name,
            silent_s=self._newest.silent_s(key),
            age_ms=max(0.0, (now_ns - stamps[-1]) / 1e6) if stamps else None,
            skew_ms=skew_ms,
            rate_hz=(len(stamps) - 1) / span_s if span_s > 0 else None,
            expected_hz=self._rig.rate_hz,
            max_skew_ms=self._rig.max_skew_ms,
            size_px=(spec.model.width_px, spec.model.height_px),
        )


def _values(msg: DiagnosticStatus) -> dict[str, str]:
    return {value.key: value.value for value in msg.values}
