"""Where images come from: one Protocol for every kind of camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ConfigError


class CameraSource(Protocol):
    """One camera. `open`, `read` and `close` are called from one capture thread."""

    @property
    def name(self) -> str:
        """Name of the camera in the rig file."""
        ...

    def open(self) -> CameraModel:
        """Start capturing and return the intrinsics in force.

        Raises:
            ConfigError: If the camera can not deliver what the rig file asks for.
        """
        ...

    def read(self, timeout_s: float) -> CameraImage | None:
        """Wait for an image newer than the last one returned.

        Args:
            timeout_s: Longest wait, seconds of wall time.

        Returns:
            The freshest image, older unread ones are skipped; None if none came in time.
        """
        ...

    def close(self) -> None:
        """Stop capturing; safe to call twice."""
        ...


class CameraSources:
    """The kinds of camera this process can open, e.g. `twin` when a twin lives here."""

    def __init__(self) -> None:
        self._factories: dict[str, Callable[[CameraSpec], CameraSource]] = {}

    def offer(self, kind: str, factory: Callable[[CameraSpec], CameraSource]) -> None:
        """Make a kind of camera available under the name used for `source` in rig files."""
        self._factories[kind] = factory

    def create(self, spec: CameraSpec) -> CameraSource:
        """Build the source of one camera.

        Raises:
            ConfigError: If this process has no such kind of camera.
        """
        factory = self._factories.get(spec.source)
        if factory is None:
            raise ConfigError(
                f"camera '{spec.name}' has source '{spec.source}'; this process offers {sorted(self._factories)}; "
                "a 'twin' camera must run in the process of the twin node (see 'processes' in the deployment)"
            )
        return factory(spec)
