"""Hands views from the camera node to other nodes of its process, as arrays: no copy, no message."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from vla3d_ros.datatypes import CameraModel, CameraMount, ViewSet

RigListener = Callable[[Mapping[str, CameraModel], Mapping[str, CameraMount]], None]
ViewListener = Callable[[ViewSet], None]


class ViewExchange:
    """What camera topics are between processes, within one: intrinsics and mounts are kept for who comes late.

    Listeners are called in the thread that captured the last image of a set; they should only note it. The arrays
    are read-only and shared by all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[tuple[RigListener, ViewListener]] = []
        self._rig: tuple[Mapping[str, CameraModel], Mapping[str, CameraMount]] | None = None

    def listen(self, on_rig: RigListener, on_views: ViewListener) -> None:
        """Call `on_rig` with intrinsics and mounts by camera, now if they are known, and `on_views` with every set."""
        with self._lock:
            self._listeners.append((on_rig, on_views))
            rig = self._rig
        if rig is not None:
            on_rig(*rig)

    def announce(self, models: Mapping[str, CameraModel], mounts: Mapping[str, CameraMount]) -> None:
        """Tell the cameras' intrinsics and mounts."""
        with self._lock:
            self._rig = (dict(models), dict(mounts))
            listeners = list(self._listeners)
        for on_rig, _ in listeners:
            on_rig(models, mounts)

    def put(self, view_set: ViewSet) -> None:
        """Hand a set to every listener."""
        with self._lock:
            listeners = list(self._listeners)
        for _, on_views in listeners:
            on_views(view_set)
