"""`camera`: publishes synchronized images with intrinsics and extrinsics."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from vla3d_ros.camera.rig import CameraSpec, load_rig
from vla3d_ros.camera.source import CameraSource, CameraSources
from vla3d_ros.camera.synchronizer import Synchronizer
from vla3d_ros.datatypes import CameraImage, CameraModel, ViewSet
from vla3d_ros.errors import ConfigError, join_problems
from vla3d_ros.ros import conversions, qos
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter

_READ_TIMEOUT_S = 0.5
_SKEW_WINDOW = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraNodeParameters:
    """Parameters of `camera`."""

    rig_file: str = parameter("Rig file: cameras, intrinsics, mounts, skew gate")
    grace_ms: float = parameter("How long a set waits for a late camera", unit="ms", default=50.0)


class CameraNode(ManagedNode):
    """One capture thread per camera; sets leave when the synchronizer says they are complete."""

    def __init__(self, sources: CameraSources) -> None:
        super().__init__("camera")
        self._settings = declare(self, CameraNodeParameters)
        self._sources = sources
        self._open_sources: dict[str, CameraSource] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._skews_ms: deque[float] = deque(maxlen=_SKEW_WINDOW)
        self._last_set: ViewSet | None = None
        self._image_publishers: dict[str, Publisher] = {}

    def configure(self) -> None:
        """Open every camera; refuse if one does not deliver what the rig says."""
        self._rig = load_rig(Path(self._settings.rig_file))
        self._specs = {spec.name: spec for spec in self._rig.cameras}
        self._synchronizer = Synchronizer(
            list(self._specs),
            anchor=self._rig.anchor,
            max_skew_ns=int(self._rig.max_skew_ms * 1e6),
            grace_ns=int(self._settings.grace_ms * 1e6),
        )
        self._models = self._open_cameras()
        self._create_publishers()

    def _open_cameras(self) -> dict[str, CameraModel]:
        models, problems = {}, []
        for spec in self._rig.cameras:
            source = self._sources.create(spec)
            self._open_sources[spec.name] = source
            model = source.open()
            got, expected = (model.width_px, model.height_px), (spec.model.width_px, spec.model.height_px)
            if got != expected:
                problems.append(
                    f"camera '{spec.name}' delivers {got[0]}x{got[1]} px, the rig says {expected[0]}x{expected[1]} px; "
                    f"fix width_px and height_px in {self._settings.rig_file}"
                )
            models[spec.name] = model
        if problems:
            raise ConfigError(join_problems("cameras", problems))
        return models

    def _create_publishers(self) -> None:
        if self._image_publishers:
            return
        names = list(self._specs)
        self._image_publishers = {n: self.create_publisher(Image, f"~/{n}/image_raw", qos.SENSOR) for n in names}
        self._info_publishers = {n: self.create_publisher(CameraInfo, f"~/{n}/camera_info", qos.SENSOR) for n in names}
        self._extrinsics_publishers = {
            n: self.create_publisher(TransformStamped, f"~/{n}/extrinsics", qos.LATCHED) for n in names
        }
        self._tf_static_publisher = self.create_publisher(TFMessage, "/tf_static", qos.LATCHED)

    def activate(self) -> None:
        """Announce where the cameras are and start capturing."""
        mounts = {name: conversions.mount_to_msg(spec.mount, self.now_ns) for name, spec in self._specs.items()}
        for name, mount in mounts.items():
            self._extrinsics_publishers[name].publish(mount)
        self._tf_static_publisher.publish(TFMessage(transforms=list(mounts.values())))
        self._synchronizer.clear()
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self._capture, args=(source,), name=f"capture_{name}", daemon=True)
            for name, source in self._open_sources.items()
        ]
        for thread in self._threads:
            thread.start()

    def _capture(self, source: CameraSource) -> None:
        while not self._stopping.is_set():
            image = source.read(_READ_TIMEOUT_S)
            if image is None:
                continue
            with self._lock:
                for view_set in self._synchronizer.add(image):
                    self._publish(view_set)

    def _publish(self, view_set: ViewSet) -> None:
        if self._stopping.is_set() or not self.context.ok():
            return
        for image in view_set.images:
            spec = self._specs[image.camera]
            self._image_publishers[image.camera].publish(self._stamped_image(image, spec, view_set.stamp_ns))
            info = conversions.camera_info_to_msg(
                self._models[image.camera], spec.mount.optical_frame, view_set.stamp_ns
            )
            self._info_publishers[image.camera].publish(info)
        self._skews_ms.append(view_set.skew_ns / 1e6)
        self._last_set = view_set

    def _stamped_image(self, image: CameraImage, spec: CameraSpec, stamp_ns: int) -> Image:
        """Return the message with the set's one stamp."""
        msg = conversions.image_to_msg(image, spec.mount.optical_frame)
        msg.header.stamp = conversions.stamp_from_ns(stamp_ns)
        return msg

    def deactivate(self) -> None:
        """Stop the capture threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2 * _READ_TIMEOUT_S)
        self._threads = []

    def clean_up(self) -> None:
        """Close the cameras."""
        for source in self._open_sources.values():
            source.close()
        self._open_sources = {}

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report rates, skew and missing views."""
        if not self._threads or self._last_set is None:
            return not self._threads, "waiting for images" if self._threads else "not active", {}
        skews = np.array(self._skews_ms)
        counters = self._synchronizer.counters
        age_ms = (self.now_ns - self._last_set.stamp_ns) / 1e6
        missing = ", ".join(self._last_set.missing)
        is_stale = age_ms > 10e3 / self._rig.rate_hz
        message = f"no set for {age_ms:.0f} ms" if is_stale else f"missing views: {missing}" if missing else "streaming"
        return (
            not missing and not is_stale,
            message,
            {
                "sets": str(counters.sets),
                "incomplete_sets": str(counters.incomplete_sets),
                "unpaired_images": str(counters.unpaired),
                "out_of_order_images": str(counters.out_of_order),
                "skew_p50_ms": f"{np.percentile(skews, 50):.2f}",
                "skew_p99_ms": f"{np.percentile(skews, 99):.2f}",
                "age_ms": f"{age_ms:.1f}",
            },
        )
