"""Where images come from: one Protocol for every kind of camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.datatypes import CameraImage, CameraModel
from vla3d_ros.errors import ConfigError


@dataclass(slots=True)
class SourceHealth:
    """What a source knows of its camera.

    Attributes:
        dropped: Frames the camera took that were never returned: lost on the way, or overtaken by a fresher one.
        withheld: Frames that were not passed on because their stamp could not be right.
        clock_jumps: How often the camera's clock was found to have jumped.
        reconnects: How often the camera came back after it had gone.
        temperature_c: Temperature, where the device tells.
        trouble: What is wrong now, in words; empty if nothing is.
    """

    dropped: int = 0
    withheld: int = 0
    clock_jumps: int = 0
    reconnects: int = 0
    temperature_c: float | None = None
    trouble: str = ""


class CameraSource(Protocol):
    """One camera. `open`, `read` and `close` are called from one thread at a time, `health` from any.

    Stamps of the images returned are on the ROS clock and strictly increase. A camera that goes away makes `read`
    return None and `health.trouble` say so, until it is back; nobody needs to open it again.
    """

    @property
    def health(self) -> SourceHealth:
        """How the camera does."""
        ...

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
