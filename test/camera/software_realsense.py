"""A RealSense without hardware: the vendor's own software device, fed by a thread, under the real pipeline."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pyrealsense2 as rs

WIDTH, HEIGHT, FX, FPS = 320, 240, 300.0, 30
INVERSE = rs.distortion.inverse_brown_conrady


class SoftwareContext:
    """A context of the vendor's library that lists software devices; it holds them only through what it announced.

    An announcement names all devices of the context: one of several can not be unplugged. Give it its own context.
    """

    def __init__(self) -> None:
        self.context = rs.context()
        self.announced: list = []
        self.context.set_devices_changed_callback(lambda info: self.announced.append(info.get_new_devices()))

    def announce(self, device) -> None:
        """Make a device appear."""
        known = len(self.announced)
        device.add_to(self.context)
        deadline = time.monotonic() + 5
        while len(self.announced) == known and time.monotonic() < deadline:
            time.sleep(0.01)


class SoftwareCamera:
    """Colour and depth of one camera. Its frames say when they were captured: `clock` + `shift_ms`, milliseconds."""

    def __init__(self, home: SoftwareContext, serial: str, *, coefficients=(0.0,) * 5, domain=None, depth_shift_m=0.0):
        self.serial, self.home = serial, home
        self.coefficients, self.depth_shift_m = coefficients, depth_shift_m
        self.domain = domain or rs.timestamp_domain.hardware_clock
        self.shift_ms, self.latency_s, self.drop_every = 0.0, 0.004, 0
        self.sent = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.plug()

    def plug(self) -> None:
        """Make the device appear in the context."""
        self.device = rs.software_device()
        for info, value in (("serial_number", self.serial), ("name", "Software camera"), ("product_line", "D400")):
            self.device.register_info(getattr(rs.camera_info, info), value)
        self.depth_sensor, self.color_sensor = self.device.add_sensor("Stereo Module"), self.device.add_sensor("RGB")
        self.depth_stream = self.depth_sensor.add_video_stream(self._stream(rs.stream.depth, 1, rs.format.z16, 2))
        self.color_stream = self.color_sensor.add_video_stream(self._stream(rs.stream.color, 2, rs.format.rgb8, 3))
        self.depth_sensor.add_read_only_option(rs.option.depth_units, 0.001)
        for option, low, high, factory in (
            (rs.option.exposure, 1, 10_000, 156),
            (rs.option.gain, 0, 128, 64),
            (rs.option.enable_auto_exposure, 0, 1, 1),
        ):
            self.color_sensor.add_option(option, _range(low, high, factory), True)
        self.color_sensor.add_read_only_option(rs.option.asic_temperature, 41.5)
        apart = rs.extrinsics()
        apart.rotation, apart.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [self.depth_shift_m, 0, 0]
        self.depth_stream.register_extrinsics_to(self.color_stream, apart)
        self.device.create_matcher(rs.matchers.default)
        self.home.announce(self.device)

    def unplug(self) -> None:
        """Make the device vanish: no frames, nothing that refers to it."""
        self.stop()
        self.device = self.depth_sensor = self.color_sensor = self.depth_stream = self.color_stream = None
        self.home.announced.clear()
        gc.collect()

    def start(self) -> None:
        """Take frames at 30 Hz until `stop`."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more frames."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
            self._thread = None

    def _run(self) -> None:
        start = time.monotonic()
        number = 0
        while not self._stopping.wait(max(0.0, start + number / FPS - time.monotonic())):
            self.send(number, number * 1000 / FPS)
            number += 1

    def send(self, number: int, captured_ms: float) -> None:
        """Send one pair of frames. Colour (number, number, 7); depth 1 m left, 2 m right, none in the first row."""
        if self.drop_every and number % self.drop_every == 0:
            return
        time.sleep(self.latency_s)
        depth = np.full((HEIGHT, WIDTH), 1000, np.uint16)
        depth[:, WIDTH // 2 :] = 2000
        depth[0] = 0
        color = np.full((HEIGHT, WIDTH, 3), (number % 256, number % 256, 7), np.uint8)
        stamp_ms = captured_ms + self.shift_ms
        self._send(self.depth_sensor, self.depth_stream, depth, 2, number, stamp_ms)
        self._send(self.color_sensor, self.color_stream, color, 3, number, stamp_ms)
        self.sent += 1

    def _send(self, sensor, stream, pixels, bytes_per_pixel: int, number: int, stamp_ms: float) -> None:
        frame = rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp = pixels, WIDTH * bytes_per_pixel, bytes_per_pixel
        frame.timestamp, frame.frame_number, frame.domain = stamp_ms, number, self.domain
        frame.profile = stream.as_video_stream_profile()
        if bytes_per_pixel == 2:
            frame.depth_units = 0.001
        sensor.on_video_frame(frame)

    def _stream(self, kind, uid: int, fmt, bytes_per_pixel: int):
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fps = kind, 0, uid, FPS
        stream.width, stream.height, stream.bpp, stream.fmt = WIDTH, HEIGHT, bytes_per_pixel, fmt
        lens = rs.intrinsics()
        lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = WIDTH, HEIGHT, FX, FX, 161.0, 118.5
        lens.model, lens.coeffs = INVERSE, list(self.coefficients) if kind == rs.stream.color else [0.0] * 5
        stream.intrinsics = lens
        return stream

    def record(self, file: Path, frames: int) -> None:
        """Write a recording with the vendor's recorder."""
        recorder = rs.recorder(str(file), self.device)
        sensors = recorder.query_sensors()
        for sensor in sensors:
            sensor.open(sensor.get_stream_profiles()[0])
            sensor.start(lambda frame: None)
        for number in range(frames):
            self.send(number, number * 1000 / FPS)
            time.sleep(1 / FPS)
        for sensor in sensors:
            sensor.stop()
            sensor.close()
        del sensor, sensors, recorder
        gc.collect()


def _range(low: float, high: float, factory: float):
    limits = rs.option_range()
    limits.min, limits.max, limits.step, limits.default = low, high, 1, factory
    return limits
