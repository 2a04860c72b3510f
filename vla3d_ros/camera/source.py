"""Where images come from: one Protocol for every kind of camera."""

from __future__ import annotations

from typing import Protocol

from vla3d_ros.datatypes import CameraImage, CameraModel


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
