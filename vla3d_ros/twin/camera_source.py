"""The twin's cameras behind the `CameraSource` protocol, fed by the render thread through one slot."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.source import SourceHealth
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ConfigError

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RenderedSet:
    """Images of all cameras at one instant of simulated time, and the simulated time when they were ready.

    depths_m: (H, W) float32 of the cameras that give depth, NaN where there is nothing.
    """

    stamp_ns: int
    receive_ns: int
    images: Mapping[str, Rgb]
    depths_m: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class ImageMailbox:
    """Holds the newest set of images; a reader that is late skips sets, it never delays the world."""

    def __init__(self) -> None:
        self._newest: RenderedSet | None = None
        self._changed = threading.Condition()

    def put(self, rendered: RenderedSet) -> None:
        """Replace the set."""
        with self._changed:
            self._newest = rendered
            self._changed.notify_all()

    def wait_newer(self, stamp_ns: int | None, timeout_s: float) -> RenderedSet | None:
        """Wait for a set captured after a stamp (None: any set).

        Returns:
            The newest set, or None after the timeout (seconds of wall time).
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_newer(stamp_ns), timeout_s)
            return self._newest if self._is_newer(stamp_ns) else None

    def _is_newer(self, stamp_ns: int | None) -> bool:
        return self._newest is not None and (stamp_ns is None or self._newest.stamp_ns > stamp_ns)


class TwinCameraSource:
    """One camera of the twin; all cameras of a set carry the same stamp."""

    def __init__(self, camera: CameraSpec, mailbox: ImageMailbox) -> None:
        """Read one camera's images from a mailbox that the runtime fills."""
        self._camera = camera
        self._mailbox = mailbox
        self._last_ns: int | None = None
        self._is_open = False
        self.health = SourceHealth()

    @property
    def name(self) -> str:
        """Name of the camera in the rig file."""
        return self._camera.name

    def open(self) -> CameraModel:
        """Start with the next image and return the intrinsics in force."""
        self._is_open = True
        return self._camera.model

    def read(self, timeout_s: float) -> CameraImage | None:
        """Wait for an image newer than the last one returned.

        Args:
            timeout_s: Longest wait, seconds of wall time.

        Returns:
            The freshest image, or None if none came in time.

        Raises:
            ConfigError: If the source is not open, or the twin does not render this camera.
        """
        if not self._is_open:
            raise ConfigError(f"camera '{self.name}' is read before it is opened; call open() first")
        rendered = self._mailbox.wait_newer(self._last_ns, timeout_s)
        if rendered is None:
            return None
        if self.name not in rendered.images:
            raise ConfigError(f"the twin renders no camera '{self.name}'; available: {list(rendered.images)}")
        self._last_ns = rendered.stamp_ns
        return CameraImage(
            camera=self.name,
            rgb=rendered.images[self.name],
            stamp_ns=rendered.stamp_ns,
            receive_ns=rendered.receive_ns,
            depth_m=rendered.depths_m.get(self.name),
        )

    def close(self) -> None:
        """Stop reading; safe to call twice."""
        self._is_open = False
