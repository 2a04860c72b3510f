"""What every kind of camera keeps, whatever it is: the twin's, a RealSense, a UVC camera, a recording."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from source_reading import camera_spec, read_n
from waiting import wait_until

from vla3d_ros.camera.capture import Capture
from vla3d_ros.camera.realsense import realsense_factory
from vla3d_ros.camera.recorded import recorded_factory
from vla3d_ros.camera.rig import CameraSpec
from vla3d_ros.camera.source import CameraSource
from vla3d_ros.camera.uvc import uvc_factory
from vla3d_ros.twin.camera_source import ImageMailbox, RenderedSet, TwinCameraSource

RATE_HZ = 30.0
KINDS = ("twin", "realsense", "uvc", "recorded")


@dataclass
class Case:
    """A source that is fed, and what can be done to its camera; None where it makes no sense."""

    spec: CameraSpec
    create: Callable[[], CameraSource]
    unplug: Callable[[], None] | None = None
    plug: Callable[[], None] | None = None
    jump: Callable[[], None] | None = None
    has_depth: bool = False
    stack: ExitStack = field(default_factory=ExitStack)


def twin_case(tmp_path: Path) -> Case:
    mailbox, stopping = ImageMailbox(), threading.Event()
    spec = camera_spec("twin", {})

    def render() -> None:
        tick = 0
        start = time.time()
        while not stopping.wait(max(0.0, start + tick / RATE_HZ - time.time())):
            now_ns = time.time_ns()
            pixels = np.full((240, 320, 3), tick % 256, np.uint8)
            mailbox.put(RenderedSet(stamp_ns=now_ns - 2_000_000, receive_ns=now_ns, images={"head": pixels}))
            tick += 1

    thread = threading.Thread(target=render, daemon=True)
    thread.start()
    case = Case(spec, lambda: TwinCameraSource(spec, mailbox))
    case.stack.callback(thread.join)
    case.stack.callback(stopping.set)
    return case


def realsense_case(tmp_path: Path) -> Case:
    pytest.importorskip("pyrealsense2", reason="pip install 'vla3d_ros[realsense]'")
    from software_realsense import SoftwareCamera, SoftwareContext

    home = SoftwareContext()
    camera = SoftwareCamera(home, "SIM0009")
    camera.start()
    settings = {"serial": "SIM0009", "fps": 30, "timestamps": "hardware", "warm_up_frames": 12, "depth": True}
    spec = camera_spec("realsense", {**settings, "lost_after_s": 0.5})
    create = realsense_factory(time.time_ns, lambda sdk: home.context)

    def plug() -> None:
        camera.plug()
        camera.start()

    def jump() -> None:
        camera.shift_ms -= 30_000.0

    case = Case(spec, lambda: create(spec), camera.unplug, plug, jump, has_depth=True)
    case.stack.callback(camera.stop)
    return case


class PretendedDevice:
    """The part of `cv2.VideoCapture` that a UVC camera uses; `state.there` says whether it is plugged in."""

    def __init__(self, state: SimpleNamespace) -> None:
        self._state, self._values = state, {}
        self._next = time.monotonic()

    def isOpened(self) -> bool:  # noqa: N802
        return self._state.there

    def set(self, prop: int, value: float) -> bool:
        self._values[prop] = min(value, self._state.limits.get(prop, value))
        return True

    def get(self, prop: int) -> float:
        return self._values.get(prop, 0.0)

    def read(self):
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = max(self._next + 1 / RATE_HZ, time.monotonic())
        if not self._state.there:
            return False, None
        bgr = np.zeros((240, 320, 3), np.uint8)
        bgr[:, :, 2] = 200
        return True, bgr

    def release(self) -> None:
        self._state.released += 1


def uvc_case(tmp_path: Path) -> Case:
    state = SimpleNamespace(there=True, limits={}, released=0)
    spec = camera_spec("uvc", {"device": 0, "fps": 30, "latency_ms": 12.0, "warm_up_frames": 2})
    create = uvc_factory(time.time_ns, lambda device: PretendedDevice(state))
    return Case(
        spec, lambda: create(spec), lambda: setattr(state, "there", False), lambda: setattr(state, "there", True)
    )


def recorded_case(tmp_path: Path) -> Case:
    for index in range(20):
        cv2.imwrite(str(tmp_path / f"{index:02}.png"), np.full((240, 320, 3), index, np.uint8))
    spec = camera_spec("recorded", {"path": str(tmp_path), "rate_hz": RATE_HZ})
    return Case(spec, lambda: recorded_factory(time.time_ns)(spec))


@pytest.fixture(params=KINDS)
def case(request, tmp_path):
    made: Case = globals()[f"{request.param}_case"](tmp_path)
    with made.stack:
        yield made


@pytest.fixture
def source(case):
    source = case.create()
    case.stack.callback(source.close)
    return source


def test_intrinsics_are_of_the_images_that_come(case, source):
    model = source.open()
    image = read_n(source, 1)[0]
    assert source.name == image.camera == case.spec.name
    assert image.rgb.shape == (model.height_px, model.width_px, 3) and image.rgb.dtype == np.uint8
    assert not image.rgb.flags.writeable
    K = model.K
    assert K[0, 0] > 0 and K[1, 1] > 0 and 0 < K[0, 2] < model.width_px and 0 < K[1, 2] < model.height_px
    if case.has_depth:
        assert image.depth_m is not None and image.depth_m.shape == image.rgb.shape[:2]
    else:
        assert image.depth_m is None


def test_images_come_at_the_cameras_rate_counted_by_the_capture(case, source):
    source.open()
    images = []
    capture = Capture(source, images.append)
    capture.start()
    is_at_rate = lambda: capture.captured >= 40 and capture.rate_hz == pytest.approx(RATE_HZ, rel=0.1)  # noqa: E731
    wait_until(is_at_rate, f"{RATE_HZ} images a second", limit_s=20.0, told=lambda: (capture.captured, capture.rate_hz))
    capture.stop()
    assert capture.captured == len(images)
    values = capture.describe()
    assert {f"head.{key}" for key in ("captured", "dropped", "withheld", "clock_jumps", "rate_hz")} <= set(values)


def test_stamps_are_ros_time_of_capture_and_strictly_increase(case, source):
    source.open()
    images = read_n(source, 25)
    stamps = [image.stamp_ns for image in images]
    assert stamps == sorted(set(stamps))
    for image in images:
        assert -1e6 <= image.receive_ns - image.stamp_ns < 500e6
        assert abs(time.time_ns() - image.stamp_ns) < 20e9


def test_the_freshest_image_wins_after_a_pause(case, source):
    source.open()
    ages_ns = []
    for _ in range(3):  # a stall of the machine makes an image old, too; a queue does so each time
        read_n(source, 2)
        time.sleep(1.0)
        image = read_n(source, 1)[0]
        ages_ns.append(time.time_ns() - image.stamp_ns)
        if ages_ns[-1] < 200e6:
            break
    assert min(ages_ns) < 200e6, "an image that waited in a queue"


def test_no_image_in_time_is_none_and_close_is_safe_twice(case, source):
    source.open()
    read_n(source, 1)
    took_s = []
    for _ in range(3):
        started = time.monotonic()
        source.read(0.001)
        took_s.append(time.monotonic() - started)
    assert min(took_s) < 0.5
    source.close()
    source.close()


def test_it_opens_again_after_it_was_closed(case, source):
    source.open()
    first = read_n(source, 2)
    source.close()
    source.open()
    assert read_n(source, 2)[0].stamp_ns > first[-1].stamp_ns


def test_an_unplugged_camera_says_so_and_comes_back_by_itself(case, source):
    if case.unplug is None:
        pytest.skip("nothing to unplug")
    source.open()
    before = read_n(source, 3)
    case.unplug()
    deadline = time.monotonic() + 10
    while not source.health.trouble and time.monotonic() < deadline:
        source.read(0.1)
    assert source.health.trouble
    case.plug()
    after = read_n(source, 3)
    assert source.health.reconnects == 1 and source.health.trouble == ""
    assert after[0].stamp_ns > before[-1].stamp_ns


def test_a_jump_of_the_cameras_clock_never_reaches_the_stamps(case, source):
    if case.jump is None:
        pytest.skip("it has no clock of its own")
    source.open()
    images = read_n(source, 12)
    case.jump()
    images += read_n(source, 12)
    assert source.health.clock_jumps == 1
    assert all(0 <= image.receive_ns - image.stamp_ns < 100e6 for image in images)
