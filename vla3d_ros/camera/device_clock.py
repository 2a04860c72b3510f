"""Turns a camera's own time into ROS time, and catches its jumps before anybody pairs images by them."""

from __future__ import annotations

import logging
from collections import deque

_WRAP_NS = 2**32 * 1000
_FUTURE_TOLERANCE_NS = 5_000_000
_log = logging.getLogger(__name__)


class DeviceClock:
    """Maps capture stamps of one device to the ROS clock; a stamp that can not be right is None.

    `is_ros_time` says what the device's stamps are:

    - True: already host time (RealSense's global and system time). They are believed as long as they are not in the
      future and not older than `max_age_ns` when the image is received; others are withheld until they are right.
    - False: ticks since the device was switched on. Their offset to the ROS clock is the smallest difference between
      reception and capture over the last frames, less `latency_ns`: transfer can be late, never early. A 32-bit
      microsecond counter that wraps is carried on. When the difference jumps, the frame is withheld and the offset
      starts anew: at once if the device's time went back or ahead, after `patience` frames if frames merely seem late.
    """

    def __init__(
        self,
        name: str,
        *,
        is_ros_time: bool,
        latency_ns: int = 0,
        jump_ns: int = 50_000_000,
        max_age_ns: int = 500_000_000,
        memory: int = 100,
        patience: int = 10,
    ) -> None:
        self.jumps = 0
        self.trouble = ""
        self._name = name
        self._is_ros_time = is_ros_time
        self._latency_ns = latency_ns
        self._jump_ns = jump_ns
        self._max_age_ns = max_age_ns
        self._patience = patience
        self._differences_ns: deque[int] = deque(maxlen=memory)
        self._last_device_ns: int | None = None
        self._last_stamp_ns: int | None = None
        self._wraps = 0
        self._late_frames = 0

    @property
    def offset_ns(self) -> int:
        """What is added to the device's time at present."""
        if self._is_ros_time or not self._differences_ns:
            return 0
        return min(self._differences_ns) - self._latency_ns

    def restart(self) -> None:
        """Forget the device's offset: it was switched off. Stamps still only increase."""
        self._differences_ns.clear()
        self._last_device_ns = None
        self._wraps = self._late_frames = 0
        self.trouble = ""

    def convert(self, device_ns: int, receive_ns: int) -> int | None:
        """Return the capture stamp on the ROS clock, or None if this frame's stamp can not be right.

        Args:
            device_ns: Capture time as the device tells it.
            receive_ns: ROS time at which the frame came.
        """
        stamp_ns = self._host_stamp(device_ns, receive_ns) if self._is_ros_time else self._ticks(device_ns, receive_ns)
        if stamp_ns is None or (self._last_stamp_ns is not None and stamp_ns <= self._last_stamp_ns):
            if self._last_stamp_ns is not None and receive_ns < self._last_stamp_ns - self._max_age_ns:
                self._last_stamp_ns = None  # the ROS clock itself was set back
            return None
        self._last_stamp_ns = stamp_ns
        return stamp_ns

    def _host_stamp(self, stamp_ns: int, receive_ns: int) -> int | None:
        age_ns = receive_ns - stamp_ns
        if -_FUTURE_TOLERANCE_NS <= age_ns <= self._max_age_ns:
            if self.trouble:
                _log.info("camera '%s': the device's clock agrees with the ROS clock again", self._name)
            self.trouble = ""
            return stamp_ns
        if not self.trouble:
            self._report(f"stamps are {age_ns / 1e6:.1f} ms old on reception")
        self.trouble = f"the device's clock jumped: stamps are {age_ns / 1e6:.1f} ms old on reception, frames withheld"
        return None

    def _ticks(self, device_ns: int, receive_ns: int) -> int | None:
        device_ns = self._unwrapped(device_ns)
        went_back = self._last_device_ns is not None and device_ns <= self._last_device_ns
        self._last_device_ns = device_ns
        difference_ns = receive_ns - device_ns
        excess_ns = difference_ns - min(self._differences_ns, default=difference_ns)
        self._late_frames = self._late_frames + 1 if excess_ns > self._jump_ns else 0
        if went_back or excess_ns < -self._jump_ns or self._late_frames >= self._patience:
            if went_back or len(self._differences_ns) >= self._patience:  # before, the offset is still settling
                self._report(f"offset to the ROS clock changed by {excess_ns / 1e6:.1f} ms")
            self._differences_ns.clear()
            self._differences_ns.append(difference_ns)
            self._late_frames = 0
            return None
        if self._late_frames:
            return None
        self._differences_ns.append(difference_ns)
        return device_ns + self.offset_ns

    def _unwrapped(self, device_ns: int) -> int:
        unwrapped = device_ns + self._wraps * _WRAP_NS
        if self._last_device_ns is not None and self._last_device_ns - unwrapped > _WRAP_NS // 2:
            self._wraps += 1
            unwrapped += _WRAP_NS
        return unwrapped

    def _report(self, what: str) -> None:
        self.jumps += 1
        _log.warning("camera '%s': the device's clock jumped: %s; frames withheld", self._name, what)
