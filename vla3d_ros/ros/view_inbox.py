"""Takes views that the camera node of the same process hands over, in the receiving node's own thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rclpy.node import Node

from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import CameraModel, CameraMount, ViewSet
from vla3d_ros.policy.observation_window import ObservationWindow

_VIEW_SETS_KEPT = 5


class ViewInbox:
    """What subscriptions are to messages: notes what comes, wakes the node's executor, keeps the newest few."""

    def __init__(self, node: Node, exchange: ViewExchange, on_views: Callable[[], None]) -> None:
        """Listen.

        Args:
            node: Whose executor calls `on_views`.
            exchange: Where the camera node puts views.
            on_views: Called when something waits; should call `move_into`.
        """
        self._rigs: deque[tuple[Mapping[str, CameraModel], Mapping[str, CameraMount]]] = deque(maxlen=1)
        self._view_sets: deque[ViewSet] = deque(maxlen=_VIEW_SETS_KEPT)
        self._wake = node.create_guard_condition(on_views)
        exchange.listen(self._on_rig, self._on_view_set)

    def _on_rig(self, models: Mapping[str, CameraModel], mounts: Mapping[str, CameraMount]) -> None:
        self._rigs.append((models, mounts))
        self._wake.trigger()

    def _on_view_set(self, view_set: ViewSet) -> None:
        self._view_sets.append(view_set)
        self._wake.trigger()

    def move_into(self, window: ObservationWindow, cameras: Sequence[str], now_ns: int) -> None:
        """Give the window what waits: intrinsics, mounts, images with their depth, as messages would bring them.

        Raises:
            FrameError: If a camera's mount does not fit the window's frames.
        """
        while self._rigs:
            models, mounts = self._rigs.popleft()
            for camera in cameras:
                if camera in models:
                    window.add_model(camera, models[camera])
                    window.add_mount(mounts[camera])
        while self._view_sets:
            for image in self._view_sets.popleft().images:
                window.add_image(replace(image, receive_ns=now_ns))
