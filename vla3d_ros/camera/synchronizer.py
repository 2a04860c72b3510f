"""Groups images of several cameras by when the photons arrived, never by when the messages did."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vla3d_ros.datatypes import CameraImage, ViewSet
from vla3d_ros.errors import ConfigError

_FUTURE_TOLERANCE_NS = 5_000_000
_SILENCE_IN_GRACES = 3
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class SynchronizerCounters:
    """What became of the images: sets sent out, sets sent with a view missing, images refused and why."""

    sets: int = 0
    incomplete_sets: int = 0
    unpaired: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    implausible: int = 0
    clock_steps: int = 0


@dataclass(slots=True)
class _Stream:
    """What is known of one camera: images not yet used, and when the newest was captured and received."""

    images: deque[CameraImage]
    newest_ns: int | None = None
    received_ns: int | None = None
    late: int = field(default=0)


class Synchronizer:
    """Builds view sets around an anchor camera.

    A set is the anchor's image with, per other camera, the image whose capture is nearest, if it is within
    `max_skew_ns`. A set waits for the others until they have moved past it, or until `grace_ns` have gone by; then it
    leaves with that view marked missing. A camera that has been silent for three graces is not waited for; if it is
    the anchor, the next camera takes its place until it returns. Sets leave in order; memory is bounded.

    Time that passes is read off `receive_ns`, the clock all cameras share. A stamp that is in the future of its own
    reception, or older than `max_age_ns`, comes from a clock that was stepped: the image is refused and the camera
    named in `troubles` until its stamps are right again. If reception itself goes back, the whole clock was reset
    and everything starts anew.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        *,
        anchor: str,
        max_skew_ns: int,
        grace_ns: int,
        max_age_ns: int = 1_000_000_000,
        memory: int = 8,
    ) -> None:
        """Take names and limits.

        Args:
            cameras: All cameras; in this order they take the anchor's place.
            anchor: Whose capture time stamps a set.
            max_skew_ns: Largest difference to the anchor's capture within a set.
            grace_ns: How long a set waits for a late camera.
            max_age_ns: Oldest capture at reception that is believed.
            memory: Images kept per camera.

        Raises:
            ConfigError: If the anchor is not one of the cameras.
        """
        if anchor not in cameras:
            raise ConfigError(f"anchor camera '{anchor}' is not in the rig: expected one of {list(cameras)}")
        self._precedence = [anchor, *(camera for camera in cameras if camera != anchor)]
        self._max_skew_ns = max_skew_ns
        self._grace_ns = grace_ns
        self._silence_ns = _SILENCE_IN_GRACES * grace_ns
        self._max_age_ns = max_age_ns
        self._memory = memory
        self._cameras = tuple(cameras)
        self._troubles: dict[str, str] = {}
        self.counters = SynchronizerCounters()
        self.clear()

    def clear(self) -> None:
        """Forget pending images and what was sent, e.g. after the clock was reset."""
        self._streams = {camera: _Stream(deque(maxlen=self._memory)) for camera in self._cameras}
        self._now_ns: int | None = None
        self._started_ns: int | None = None
        self._sent_ns: int | None = None
        self._reference = self._precedence[0]

    @property
    def troubles(self) -> Mapping[str, str]:
        """Cameras whose stamps are refused at present, and why."""
        return dict(self._troubles)

    @property
    def silent(self) -> tuple[str, ...]:
        """Cameras that have not been heard of for so long that they are not waited for."""
        return tuple(camera for camera, stream in self._streams.items() if self._is_silent(stream))

    def late(self, camera: str) -> int:
        """Return how many images of a camera came when their set had left."""
        return self._streams[camera].late

    def add(self, image: CameraImage) -> tuple[ViewSet, ...]:
        """Take one image and return the sets it completes, oldest first.

        Raises:
            ConfigError: If the camera is not part of the rig.
        """
        stream = self._streams.get(image.camera)
        if stream is None:
            raise ConfigError(f"image of unknown camera '{image.camera}': expected one of {list(self._streams)}")
        stream = self._advance(image, stream)
        if self._is_acceptable(image, stream):
            stream.newest_ns, stream.received_ns = image.stamp_ns, image.receive_ns
            stream.late += self._sent_ns is not None and image.stamp_ns <= self._sent_ns
            self.counters.unpaired += len(stream.images) == stream.images.maxlen
            stream.images.append(image)
        return tuple(self._complete_sets())

    def _advance(self, image: CameraImage, stream: _Stream) -> _Stream:
        """Move time on; start anew if the clock of reception was set back."""
        received_ns = image.receive_ns
        if self._now_ns is not None and self._now_ns - received_ns > self._max_age_ns:
            self.counters.clock_steps += 1
            _log.warning("the clock went back by %.3f s; pending images dropped", (self._now_ns - received_ns) / 1e9)
            self.clear()
            stream = self._streams[image.camera]
        self._now_ns = received_ns if self._now_ns is None else max(self._now_ns, received_ns)
        self._started_ns = received_ns if self._started_ns is None else self._started_ns
        return stream

    def _is_acceptable(self, image: CameraImage, stream: _Stream) -> bool:
        age_ns = image.receive_ns - image.stamp_ns
        if not -_FUTURE_TOLERANCE_NS <= age_ns <= self._max_age_ns:
            self.counters.implausible += 1
            self._complain(image.camera, age_ns)
            return False
        if self._troubles.pop(image.camera, None):
            _log.info("camera '%s': stamps agree with the clock again", image.camera)
        if stream.newest_ns is None or image.stamp_ns > stream.newest_ns:
            return True
        if image.stamp_ns == stream.newest_ns:
            self.counters.duplicates += 1
        else:
            self.counters.out_of_order += 1
        return False

    def _complain(self, camera: str, age_ns: int) -> None:
        where = f"{-age_ns / 1e6:.1f} ms in the future" if age_ns < 0 else f"{age_ns / 1e6:.1f} ms old"
        if camera not in self._troubles:
            self.counters.clock_steps += 1
            _log.warning("camera '%s': stamps are %s when received, its images are refused", camera, where)
        limit = f"expected at most {self._max_age_ns / 1e6:g} ms old; check the camera's clock"
        self._troubles[camera] = f"stamps are {where} when received, {limit}"

    def _is_silent(self, stream: _Stream) -> bool:
        since_ns = self._started_ns if stream.received_ns is None else stream.received_ns
        return self._now_ns is not None and since_ns is not None and self._now_ns - since_ns > self._silence_ns

    def _complete_sets(self) -> list[ViewSet]:
        self._choose_reference()
        sets = []
        while (view_set := self._next_set()) is not None:
            sets.append(view_set)
        return sets

    def _choose_reference(self) -> None:
        """Let the first camera that is alive be the reference; a new one starts clear of the last set."""
        alive = [camera for camera in self._precedence if not self._is_silent(self._streams[camera])]
        if not alive or alive[0] == self._reference:
            return
        self._reference = alive[0]
        if self._sent_ns is not None:
            self._discard(self._reference, self._sent_ns + self._max_skew_ns)

    def _next_set(self) -> ViewSet | None:
        pending = self._streams[self._reference].images
        while pending and self._sent_ns is not None and pending[0].stamp_ns <= self._sent_ns:
            self._discard(self._reference, self._sent_ns)
        if not pending or self._now_ns is None:
            return None
        reference = pending[0]
        is_overdue = self._now_ns - reference.receive_ns > self._grace_ns
        chosen: list[CameraImage] = []
        missing: list[str] = []
        for camera, stream in self._streams.items():
            if not is_overdue and not self._is_settled(stream, reference.stamp_ns):
                return None
            nearest = min(stream.images, key=lambda image: abs(image.stamp_ns - reference.stamp_ns), default=None)
            if nearest is None or abs(nearest.stamp_ns - reference.stamp_ns) > self._max_skew_ns:
                missing.append(camera)
            else:
                chosen.append(nearest)
        self._send_off(reference, chosen)
        self.counters.sets += 1
        self.counters.incomplete_sets += bool(missing)
        return ViewSet(stamp_ns=reference.stamp_ns, images=tuple(chosen), missing=tuple(missing))

    def _is_settled(self, stream: _Stream, stamp_ns: int) -> bool:
        """Whether no image can come any more that would be nearer to the reference."""
        return (stream.newest_ns is not None and stream.newest_ns >= stamp_ns) or self._is_silent(stream)

    def _send_off(self, reference: CameraImage, chosen: Sequence[CameraImage]) -> None:
        self._sent_ns = reference.stamp_ns
        used = {image.camera: image.stamp_ns for image in chosen}
        for camera, stream in self._streams.items():
            if camera in used:
                while stream.images[0].stamp_ns < used[camera]:
                    self._discard(camera, stream.images[0].stamp_ns)
                stream.images.popleft()
            else:
                self._discard(camera, reference.stamp_ns - self._max_skew_ns - 1)

    def _discard(self, camera: str, up_to_ns: int) -> None:
        stream = self._streams[camera]
        while stream.images and stream.images[0].stamp_ns <= up_to_ns:
            stream.images.popleft()
            self.counters.unpaired += 1
