"""One thread per camera: reads its source, hands images on, counts. One camera's fault stays its own."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from vla3d_ros.camera.source import CameraSource
from vla3d_ros.datatypes import CameraImage

_READ_TIMEOUT_S = 0.5
_RETRY_S = 1.0
_RATE_WINDOW = 31
_log = logging.getLogger(__name__)


class Capture:
    """The capture thread of one camera."""

    def __init__(self, source: CameraSource, on_image: Callable[[CameraImage], None]) -> None:
        """Take an open source and what to call with each image, from the capture thread."""
        self.captured = 0
        self._source = source
        self._on_image = on_image
        self._stamps_ns: deque[int] = deque(maxlen=_RATE_WINDOW)
        self._failure = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capture_{source.name}", daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait for the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=4 * _READ_TIMEOUT_S)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest image."""
        stamps = tuple(self._stamps_ns)
        return stamps[-1] if stamps else None

    @property
    def rate_hz(self) -> float:
        """Images per second over the last images, by their stamps; 0 with fewer than two."""
        stamps = tuple(self._stamps_ns)
        span_ns = stamps[-1] - stamps[0] if stamps else 0
        return (len(stamps) - 1) / span_ns * 1e9 if span_ns > 0 else 0.0

    @property
    def trouble(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        return self._failure or self._source.health.trouble

    def describe(self) -> dict[str, str]:
        """Return counters and figures for `/diagnostics`."""
        name, health = self._source.name, self._source.health
        values = {
            "captured": str(self.captured),
            "dropped": str(health.dropped),
            "withheld": str(health.withheld),
            "clock_jumps": str(health.clock_jumps),
            "reconnects": str(health.reconnects),
            "rate_hz": f"{self.rate_hz:.1f}",
        }
        if health.temperature_c is not None:
            values["temperature_c"] = f"{health.temperature_c:.1f}"
        return {f"{name}.{key}": value for key, value in values.items()}

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                image = self._source.read(_READ_TIMEOUT_S)
                if image is not None and not self._stopping.is_set():
                    self._take(image)
            except Exception as error:  # the boundary: the other cameras go on
                self._fail(error)

    def _take(self, image: CameraImage) -> None:
        self.captured += 1
        self._stamps_ns.append(image.stamp_ns)
        self._on_image(image)
        if self._failure:
            _log.info("camera '%s' recovered", self._source.name)
            self._failure = ""

    def _fail(self, error: Exception) -> None:
        text = str(error) or repr(error)
        if text != self._failure:
            _log.error("camera '%s': %s", self._source.name, text)
        self._failure = text
        self._stopping.wait(_RETRY_S)
