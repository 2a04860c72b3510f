"""Is what is about to be recorded worth recording? Rates, skew, ages, calibration, exposure, focus, joint states."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from vla3d_ros.camera.rig import CameraRig
from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.camera_topics import camera_of
from vla3d_ros.recording.image_look import ImageLook, LookLimits, look_at, look_problem
from vla3d_ros.recording.image_packing import COMPRESSED_TYPE, read_image, stamp_ns

_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_MOUNT_TYPE = "geometry_msgs/msg/TransformStamped"
_JOINTS_TYPE = "sensor_msgs/msg/JointState"
_JOINTS_NAME = "joint_states"
_WINDOW_NS = 2_000_000_000
_LOOK_NS = 500_000_000
_JOINTS_NS = 20_000_000
_SKEW_SETS = 15
_NS_PER_S = 1e9
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """What the gate lets pass.

    Attributes:
        min_rate_share: Share of the rig's rate that a camera must reach.
        max_image_age_s: Oldest newest image.
        max_joint_age_s: Oldest newest joint state.
        max_ahead_s: How far a stamp may lie ahead of now.
        max_frozen_s: How long an image may stay the same, bit by bit.
        moved_rad: In simulation, without sensor noise, images may stay the same until a joint moved this far.
        max_calibration_days: Oldest calibration, where the rig file has a record of it.
        look: Exposure and focus.
    """

    min_rate_share: float = 0.8
    max_image_age_s: float = 0.5
    max_joint_age_s: float = 0.5
    max_ahead_s: float = 0.05
    max_frozen_s: float = 1.0
    moved_rad: float = 0.05
    max_calibration_days: int = 90
    look: LookLimits = field(default_factory=LookLimits)


@dataclass(slots=True)
class _Camera:
    stamps_ns: deque[int] = field(default_factory=deque)
    look: ImageLook | None = None
    looked_ns: int = -_LOOK_NS
    changed_ns: int = 0
    q_then: Mapping[str, float] = field(default_factory=dict)
    broken: str = ""
    K: list[float] | None = None
    mount: dict[str, Any] | None = None

    @property
    def rate_hz(self) -> float:
        """Images per second by their stamps; 0 with fewer than two."""
        if len(self.stamps_ns) < 2 or self.stamps_ns[-1] <= self.stamps_ns[0]:
            return 0.0
        return (len(self.stamps_ns) - 1) * _NS_PER_S / (self.stamps_ns[-1] - self.stamps_ns[0])


class HealthMonitor:
    """Sees every message that the recorder sees, and costs little: pixels are looked at twice a second."""

    def __init__(
        self,
        store: Typestore,
        *,
        rig: CameraRig | None,
        joint_names: Sequence[str],
        is_simulated: bool,
        today: Callable[[], date],
        limits: HealthLimits | None = None,
    ) -> None:
        """Begin to watch.

        Args:
            store: How messages are decoded.
            rig: Which cameras there should be; any if None.
            joint_names: Which joints there should be.
            is_simulated: Whether images carry no noise and the clock runs at any speed.
            today: For the age of calibrations.
            limits: What passes.
        """
        self._today = today
        self._store, self._rig, self._joint_names = store, rig, tuple(joint_names)
        self._is_simulated, self._limits = is_simulated, limits or HealthLimits()
        expected = [spec.name for spec in rig.cameras] if rig else []
        self._cameras: dict[str, _Camera] = {name: _Camera() for name in expected}
        self._q: dict[str, float] = {}
        self._joint_seen_ns: dict[str, int] = {}
        self._nameless: set[str] = set()
        self._decoded_ns: dict[str, int] = {}

    def on_message(self, topic: str, msgtype: str, now_ns: int, cdr: bytes) -> None:
        """Take one message.

        Args:
            topic: Full name.
            msgtype: Full type name.
            now_ns: Receive time, ROS clock.
            cdr: Serialized message.
        """
        camera = camera_of(topic, msgtype)
        if camera is not None and (self._rig is None or camera in self._cameras):
            self._take_image(self._cameras.setdefault(camera, _Camera()), msgtype, now_ns, cdr)
        elif msgtype in (_INFO_TYPE, _MOUNT_TYPE):
            self._take_calibration(topic, msgtype, cdr)
        elif msgtype == _JOINTS_TYPE and topic.rpartition("/")[2] == _JOINTS_NAME:
            self._take_joints(topic, now_ns, cdr)

    def _take_image(self, camera: _Camera, msgtype: str, now_ns: int, cdr: bytes) -> None:
        try:
            stamp = stamp_ns(cdr)
            camera.broken = ""
            if camera.stamps_ns and stamp <= camera.stamps_ns[-1]:
                camera.stamps_ns.clear()
            camera.stamps_ns.append(stamp)
            while camera.stamps_ns[0] < stamp - _WINDOW_NS:
                camera.stamps_ns.popleft()
            if now_ns - camera.looked_ns >= _LOOK_NS or now_ns < camera.looked_ns:
                camera.looked_ns = now_ns
                self._look(camera, now_ns, self._pixels(msgtype, cdr))
        except RecordingError as error:
            camera.broken = str(error)

    def _pixels(self, msgtype: str, cdr: bytes) -> NDArray[np.uint8] | None:
        if msgtype == COMPRESSED_TYPE:
            msg: Any = self._store.deserialize_cdr(cdr, msgtype)
            decoded = cv2.imdecode(np.asarray(msg.data), cv2.IMREAD_COLOR)
            return None if decoded is None else np.asarray(decoded, dtype=np.uint8)
        return read_image(cdr).pixels

    def _look(self, camera: _Camera, now_ns: int, pixels: NDArray[np.uint8] | None) -> None:
        look = None if pixels is None else look_at(pixels)
        if look is None or camera.look is None or look.digest != camera.look.digest:
            camera.changed_ns, camera.q_then = now_ns, dict(self._q)
        elif not camera.q_then:  # no joint state had come yet
            camera.q_then = dict(self._q)
        camera.look = look

    def _take_calibration(self, topic: str, msgtype: str, cdr: bytes) -> None:
        name = topic.strip("/").split("/")[-2:][0]
        camera = self._cameras.get(name)
        if camera is None or (msgtype == _INFO_TYPE and camera.K is not None):
            return
        msg: Any = self._store.deserialize_cdr(cdr, msgtype)
        if msgtype == _INFO_TYPE:
            camera.K = [float(value) for value in msg.k]
            return
        p, r = msg.transform.translation, msg.transform.rotation
        camera.mount = {
            "parent_frame": msg.header.frame_id,
            "optical_frame": msg.child_frame_id,
            "position_m": [float(p.x), float(p.y), float(p.z)],
            "xyzw": [float(r.x), float(r.y), float(r.z), float(r.w)],
        }

    def _take_joints(self, topic: str, now_ns: int, cdr: bytes) -> None:
        if 0 <= now_ns - self._decoded_ns.get(topic, -_JOINTS_NS) < _JOINTS_NS:
            return
        self._decoded_ns[topic] = now_ns
        msg: Any = self._store.deserialize_cdr(cdr, _JOINTS_TYPE)
        if not msg.name or not all(msg.name):
            self._nameless.add(topic)
            return
        self._nameless.discard(topic)
        stamp = stamp_ns(cdr)
        self._joint_seen_ns |= dict.fromkeys(msg.name, stamp)
        if len(msg.position) == len(msg.name):
            self._q |= {name: float(q) for name, q in zip(msg.name, msg.position, strict=True)}

    # ------------------------------------------------------------------------------------------- what it says

    def problems(self, now_ns: int) -> list[str]:
        """Return one sentence per problem, all of them; empty if a recording may begin.

        Args:
            now_ns: Now, ROS clock.
        """
        found = [
            f"camera '{name}': {problem}"
            for name, camera in sorted(self._cameras.items())
            for problem in self._camera_problems(camera, now_ns)
        ]
        return [*found, *self._skew_problems(), *self._calibration_problems(), *self._joint_problems(now_ns)]

    def _camera_problems(self, camera: _Camera, now_ns: int) -> list[str]:
        limits = self._limits
        if camera.broken:
            return [camera.broken]
        if not camera.stamps_ns:
            return ["no image yet; is it plugged in, and its node active?"]
        age_s = (now_ns - camera.stamps_ns[-1]) / _NS_PER_S
        if age_s > limits.max_image_age_s:
            return [f"newest image is {age_s:.2f} s old; expected {limits.max_image_age_s:g} s or less"]
        found = []
        if age_s < -limits.max_ahead_s and not self._is_simulated:  # there is only one clock in a simulation
            found.append(f"stamps lie {-age_s:.2f} s ahead of now; synchronise clocks")
        if self._rig and camera.rate_hz < limits.min_rate_share * self._rig.rate_hz:
            found.append(f"{camera.rate_hz:.1f} Hz; the rig says {self._rig.rate_hz:g} Hz")
        if camera.look is not None and (problem := look_problem(camera.look, limits.look)):
            found.append(problem)
        frozen_s = (camera.looked_ns - camera.changed_ns) / _NS_PER_S
        if frozen_s > limits.max_frozen_s and (not self._is_simulated or self._has_moved_since(camera.q_then)):
            found.append(f"frozen: the same image, bit by bit, for {frozen_s:.1f} s")
        return found

    def _has_moved_since(self, q_then: Mapping[str, float]) -> bool:
        moves = (abs(q - q_then.get(name, q)) for name, q in self._q.items())
        return max(moves, default=0.0) > self._limits.moved_rad

    def _skew_problems(self) -> list[str]:
        skews_ms = self._skews_ms()
        if self._rig is None or not skews_ms or float(np.median(skews_ms)) <= self._rig.max_skew_ms:
            return []
        return [f"skew between cameras is {np.median(skews_ms):.1f} ms; the rig allows {self._rig.max_skew_ms:g} ms"]

    def _skews_ms(self) -> list[float]:
        """Return, for the anchor's newest images that others could have met, the farthest of the nearest others."""
        others = {name: np.array(camera.stamps_ns) for name, camera in self._cameras.items() if camera.stamps_ns}
        anchor = self._rig.anchor if self._rig else next(iter(others), "")
        own = others.pop(anchor, np.zeros(0))
        if not others or not len(own):
            return []
        newest = min(stamps[-1] for stamps in others.values())
        met = own[own <= newest][-_SKEW_SETS:]
        return [max(float(np.abs(s - t).min()) for s in others.values()) / _NS_PER_MS for t in met]

    def _calibration_problems(self) -> list[str]:
        found = []
        for name, camera in sorted(self._cameras.items()):
            if not camera.stamps_ns:
                continue  # it is missing as a whole
            if camera.K is None or not camera.K[0]:
                found.append(f"camera '{name}': no intrinsics on camera_info")
            if camera.mount is None:
                found.append(f"camera '{name}': no extrinsics on the wire; `vla3d calibrate` makes them")
        for spec in self._rig.cameras if self._rig else ():
            for kind, record in spec.calibration.items():
                days = (self._today() - record.date).days
                if days > self._limits.max_calibration_days:
                    expected = f"expected {self._limits.max_calibration_days} or less"
                    found.append(f"camera '{spec.name}': {kind} were calibrated {days} days ago; {expected}")
        return found

    def _joint_problems(self, now_ns: int) -> list[str]:
        found = [f"{topic}: joint states without names" for topic in sorted(self._nameless)]
        limit_s = self._limits.max_joint_age_s
        silent = [name for name in self._joint_names if name not in self._joint_seen_ns]
        if silent:
            found.append(f"no joint state of {silent}; heard: {sorted(self._joint_seen_ns)}")
        elif not self._joint_names and not self._joint_seen_ns:
            found.append("no joint states yet")
        wanted = self._joint_names or tuple(self._joint_seen_ns)
        ages_s = {n: (now_ns - self._joint_seen_ns[n]) / _NS_PER_S for n in wanted if n in self._joint_seen_ns}
        if ages_s and max(ages_s.values()) > limit_s:
            oldest = max(ages_s, key=lambda name: ages_s[name])
            found.append(f"joint state of '{oldest}' is {ages_s[oldest]:.2f} s old; expected {limit_s:g} s or less")
        return found

    def figures(self) -> dict[str, str]:
        """Return rates and skew as text, for people."""
        found = {f"{name}_hz": f"{camera.rate_hz:.1f}" for name, camera in sorted(self._cameras.items())}
        skews_ms = self._skews_ms()
        return found | ({"skew_ms": f"{np.median(skews_ms):.2f}"} if skews_ms else {})

    def calibration(self) -> dict[str, Any]:
        """Return intrinsics and extrinsics by camera as they are on the wire, and where the rig file has them from."""
        found: dict[str, Any] = {}
        for name, camera in sorted(self._cameras.items()):
            found[name] = {"K": camera.K, "mount": camera.mount}
            records = self._rig.camera(name).calibration if self._rig else {}
            if records:
                found[name]["records"] = {kind: record.to_yaml() for kind, record in records.items()}
        return found
