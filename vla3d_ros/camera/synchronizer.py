"""Groups images of several cameras by when the photons arrived, never by when the messages did."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from vla3d_ros.datatypes import CameraImage, ViewSet
from vla3d_ros.errors import ConfigError


@dataclass(slots=True)
class SynchronizerCounters:
    """What became of the images: sets sent out, sets sent with a view missing, images refused and why."""

    sets: int = 0
    incomplete_sets: int = 0
    unpaired: int = 0
    out_of_order: int = 0


class Synchronizer:
    """Builds view sets around an anchor camera.

    A set is the anchor's image with, per other camera, the image whose capture is nearest, if it is within
    `max_skew_ns`. A set waits for the others until they have moved past it, or until `grace_ns` of capture time have
    gone by; then it goes out with that view marked missing. Sets leave in order; memory is bounded.
    """

    def __init__(
        self, cameras: Sequence[str], *, anchor: str, max_skew_ns: int, grace_ns: int, memory: int = 8
    ) -> None:
        if anchor not in cameras:
            raise ConfigError(f"anchor camera '{anchor}' is not in the rig: expected one of {list(cameras)}")
        self._anchor = anchor
        self._max_skew_ns = max_skew_ns
        self._grace_ns = grace_ns
        self._images: dict[str, deque[CameraImage]] = {camera: deque(maxlen=memory) for camera in cameras}
        self._newest_ns: dict[str, int] = {}
        self.counters = SynchronizerCounters()

    def clear(self) -> None:
        """Forget pending images, e.g. after the clock was reset."""
        for images in self._images.values():
            images.clear()
        self._newest_ns.clear()

    def add(self, image: CameraImage) -> tuple[ViewSet, ...]:
        """Take one image and return the sets it completes, oldest first.

        Raises:
            ConfigError: If the camera is not part of the rig.
        """
        images = self._images.get(image.camera)
        if images is None:
            raise ConfigError(f"image of unknown camera '{image.camera}': expected one of {list(self._images)}")
        if image.stamp_ns <= self._newest_ns.get(image.camera, image.stamp_ns - 1):
            self.counters.out_of_order += 1
            return ()
        self._newest_ns[image.camera] = image.stamp_ns
        if len(images) == images.maxlen:
            self.counters.unpaired += 1
        images.append(image)
        return tuple(self._complete_sets())

    def _complete_sets(self) -> list[ViewSet]:
        sets = []
        while (view_set := self._next_set()) is not None:
            sets.append(view_set)
        return sets

    def _next_set(self) -> ViewSet | None:
        anchors = self._images[self._anchor]
        if not anchors:
            return None
        anchor = anchors[0]
        newest_ns = max(images[-1].stamp_ns for images in self._images.values() if images)
        is_overdue = newest_ns - anchor.stamp_ns > self._grace_ns
        chosen: list[CameraImage] = []
        missing: list[str] = []
        for camera, images in self._images.items():
            nearest = min(images, key=lambda image: abs(image.stamp_ns - anchor.stamp_ns), default=None)
            is_settled = bool(images) and images[-1].stamp_ns >= anchor.stamp_ns
            if not is_settled and not is_overdue:
                return None
            if nearest is None or abs(nearest.stamp_ns - anchor.stamp_ns) > self._max_skew_ns:
                missing.append(camera)
            else:
                chosen.append(nearest)
        self._discard_up_to(anchor.stamp_ns, chosen)
        self._count(missing)
        return ViewSet(stamp_ns=anchor.stamp_ns, images=tuple(chosen), missing=tuple(missing))

    def _discard_up_to(self, stamp_ns: int, chosen: Sequence[CameraImage]) -> None:
        used = {image.camera: image.stamp_ns for image in chosen}
        for camera, images in self._images.items():
            newest_used_ns = used.get(camera, stamp_ns - self._max_skew_ns - 1)
            while images and images[0].stamp_ns <= newest_used_ns:
                if images.popleft().stamp_ns != used.get(camera):
                    self.counters.unpaired += 1

    def _count(self, missing: Sequence[str]) -> None:
        self.counters.sets += 1
        self.counters.incomplete_sets += bool(missing)
