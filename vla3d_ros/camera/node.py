"""`camera`: publishes synchronized images with intrinsics and extrinsics."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tf2_msgs.msg import TFMessage

from vla3d_ros.camera.capture import Capture
from vla3d_ros.camera.realsense import realsense_factory
from vla3d_ros.camera.recorded import recorded_factory
from vla3d_ros.camera.rig import load_rig
from vla3d_ros.camera.source import CameraSource, CameraSources
from vla3d_ros.camera.synchronizer import Synchronizer
from vla3d_ros.camera.uvc import uvc_factory
from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import CameraImage, CameraModel, ViewSet
from vla3d_ros.errors import ConfigError, Vla3dError, join_problems
from vla3d_ros.recording.bag_images import BagImages
from vla3d_ros.ros import qos
from vla3d_ros.ros.camera_topics import CameraTopics
from vla3d_ros.ros.lifecycle import ManagedNode
from vla3d_ros.ros.parameters import declare, parameter

_SKEW_WINDOW = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraNodeParameters:
    """Parameters of `camera`."""

    rig_file: str = parameter("Rig file: cameras, intrinsics, mounts, skew gate")
    grace_ms: float = parameter("How long a set waits for a late camera", unit="ms", default=50.0)


class CameraNode(ManagedNode):
    """One capture thread per camera; sets leave when the synchronizer says they are complete."""

    def __init__(self, sources: CameraSources, exchange: ViewExchange | None = None) -> None:
        super().__init__("camera")
        self._settings = declare(self, CameraNodeParameters)
        self._sources, self._exchange = sources, exchange
        sources.offer("realsense", realsense_factory(lambda: self.now_ns))
        sources.offer("uvc", uvc_factory(lambda: self.now_ns))
        sources.offer("recorded", recorded_factory(lambda: self.now_ns, BagImages))
        self._open_sources: dict[str, CameraSource] = {}
        self._captures: dict[str, Capture] = {}
        self._is_active = False
        self._lock, self._encoding = threading.Lock(), threading.Lock()
        self._skews_ms: deque[float] = deque(maxlen=_SKEW_WINDOW)
        self._last_set: ViewSet | None = None
        self._compressed_skipped = 0
        self._topics: dict[str, CameraTopics] = {}

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
        try:
            self._models = self._open_cameras()
        except Vla3dError:
            self.clean_up()
            raise
        self._create_publishers()

    def _open_cameras(self) -> dict[str, CameraModel]:
        models, problems = {}, []
        for spec in self._rig.cameras:
            try:
                source = self._sources.create(spec)
                self._open_sources[spec.name] = source
                model = source.open()
            except ConfigError as error:
                problems.append(str(error))
                continue
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
        if self._topics:
            return
        self._topics = {
            name: CameraTopics(self, spec, self._models[name], has_depth=bool(spec.settings.get("depth")))
            for name, spec in self._specs.items()
        }
        self._tf_static_publisher = self.create_publisher(TFMessage, "/tf_static", qos.LATCHED)

    def activate(self) -> None:
        """Announce where the cameras are and start capturing."""
        mounts = [topics.announce(self.now_ns) for topics in self._topics.values()]
        self._tf_static_publisher.publish(TFMessage(transforms=mounts))
        if self._exchange is not None:
            self._exchange.announce(self._models, {name: spec.mount for name, spec in self._specs.items()})
        self._synchronizer.clear()
        self._is_active = True
        self._captures = {name: Capture(source, self._on_image) for name, source in self._open_sources.items()}
        for capture in self._captures.values():
            capture.start()

    def _on_image(self, image: CameraImage) -> None:
        with self._lock:
            view_sets = self._synchronizer.add(image)
            for view_set in view_sets:
                self._publish(view_set)
        if view_sets:
            self._publish_compressed(view_sets[-1].images)

    def _publish(self, view_set: ViewSet) -> None:
        if not self._is_active or not self.context.ok():
            return
        stamp_ns = view_set.stamp_ns  # a set has one stamp: whoever receives it pairs by equality
        images = tuple(replace(image, stamp_ns=stamp_ns) for image in view_set.images)
        if self._exchange is not None:
            self._exchange.put(replace(view_set, images=images))
        for image in images:
            self._topics[image.camera].publish_image(image)
        for image in images:
            self._topics[image.camera].publish_rest(image)
        self._skews_ms.append(view_set.skew_ns / 1e6)
        self._last_set = view_set

    def _publish_compressed(self, images: Sequence[CameraImage]) -> None:
        """Encode for who listens, outside of the lock; a set that comes while one is being encoded is left out."""
        wanted = [image for image in images if self._topics[image.camera].is_compressed_wanted]
        if not wanted or not self._encoding.acquire(blocking=False):
            self._compressed_skipped += len(wanted)
            return
        try:
            for image in wanted:
                if self._is_active and self.context.ok():
                    self._topics[image.camera].publish_compressed(image)
        finally:
            self._encoding.release()

    def deactivate(self) -> None:
        """Stop the capture threads."""
        self._is_active = False
        for capture in self._captures.values():
            capture.stop()
        self._captures = {}

    def clean_up(self) -> None:
        """Close the cameras."""
        for source in self._open_sources.values():
            source.close()
        self._open_sources = {}

    def diagnose(self) -> tuple[bool, str, dict[str, str]]:
        """Report rates, skew, missing views, and what is wrong with each camera."""
        captures = dict(self._captures)
        if not captures:
            return True, "not active", {}
        values = {key: text for capture in captures.values() for key, text in capture.describe().items()}
        troubles = {name: capture.trouble for name, capture in captures.items() if capture.trouble}
        with self._lock:
            troubles = {**self._synchronizer.troubles, **troubles}
            values |= {f"{name}.late": str(self._synchronizer.late(name)) for name in captures}
        if self._last_set is None:
            return False, _sentence(troubles) or "waiting for images", values
        age_ms = (self.now_ns - self._last_set.stamp_ns) / 1e6
        values |= self._describe_sets(age_ms)
        missing = ", ".join(self._last_set.missing)
        is_stale = age_ms > 10e3 / self._rig.rate_hz
        message = f"no set for {age_ms:.0f} ms" if is_stale else f"missing views: {missing}" if missing else "streaming"
        message = "; ".join(filter(None, [message, _sentence(troubles)]))
        return not (missing or is_stale or troubles), message, values

    def _describe_sets(self, age_ms: float) -> dict[str, str]:
        skews, counters = np.array(self._skews_ms), self._synchronizer.counters
        return {
            "sets": str(counters.sets),
            "incomplete_sets": str(counters.incomplete_sets),
            "unpaired_images": str(counters.unpaired),
            "out_of_order_images": str(counters.out_of_order),
            "duplicate_images": str(counters.duplicates),
            "implausible_stamps": str(counters.implausible),
            "clock_steps": str(counters.clock_steps),
            "compressed_skipped": str(self._compressed_skipped),
            "skew_p50_ms": f"{np.percentile(skews, 50):.2f}",
            "skew_p99_ms": f"{np.percentile(skews, 99):.2f}",
            "age_ms": f"{age_ms:.1f}",
        }


def _sentence(troubles: dict[str, str]) -> str:
    return "; ".join(f"camera '{name}': {trouble}" for name, trouble in troubles.items())
