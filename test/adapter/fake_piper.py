"""A PiPER's side of the CAN protocol, for piper_sdk to talk to: follows at once, reports at 200 Hz."""

from __future__ import annotations

import struct
import threading
import time

import can

_PERIOD_S = 0.005
_ENABLED = 0x40
_JOINT_PAIRS = (0x155, 0x156, 0x157)


class FakePiper:
    """Joints in millidegrees, gripper in micrometres, and every mode frame that came."""

    def __init__(self, channel: str) -> None:
        self._bus = can.Bus(channel, interface="virtual")
        self.joints = [0] * 6
        self.gripper = (0, 0)
        self.modes: list[tuple[int, int, int, int]] = []
        self.is_enabled = False
        self._is_ending = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._listen, self._report)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._is_ending.set()
        for thread in self._threads:
            thread.join(1.0)
        self._bus.shutdown()

    def _listen(self) -> None:
        while not self._is_ending.is_set():
            frame = self._bus.recv(timeout=0.05)
            if frame is not None:
                self._take(frame.arbitration_id, bytes(frame.data))

    def _take(self, number: int, data: bytes) -> None:
        if number in _JOINT_PAIRS:
            at = 2 * _JOINT_PAIRS.index(number)
            self.joints[at : at + 2] = struct.unpack(">ii", data)
        elif number == 0x159:
            self.gripper = struct.unpack(">iH", data[:6])
        elif number == 0x151:
            self.modes.append((data[0], data[1], data[2], data[3]))
        elif number == 0x471:
            self.is_enabled = data[1] == 0x02

    def _report(self) -> None:
        while not self._is_ending.is_set():
            for index in range(3):
                self._send(0x2A5 + index, struct.pack(">ii", *self.joints[2 * index : 2 * index + 2]))
            self._send(0x2A8, struct.pack(">iHBB", *self.gripper, _ENABLED, 0))
            for motor in range(1, 7):
                status = _ENABLED if self.is_enabled else 0
                self._send(0x260 + motor, struct.pack(">HhbBH", 240, 30, 30, status, 0))
            time.sleep(_PERIOD_S)

    def _send(self, number: int, data: bytes) -> None:
        self._bus.send(can.Message(arbitration_id=number, data=data, is_extended_id=False))
