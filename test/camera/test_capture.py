"""The capture thread survives its source, and the exchange serves who comes late."""

import time

import numpy as np
import pytest
from source_reading import camera_spec

from vla3d_ros.camera.capture import Capture
from vla3d_ros.camera.source import CameraSources, SourceHealth
from vla3d_ros.camera.view_exchange import ViewExchange
from vla3d_ros.datatypes import CameraImage, ViewSet
from vla3d_ros.errors import ConfigError

PIXELS = np.zeros((2, 2, 3), np.uint8)


def image(stamp_ns: int) -> CameraImage:
    return CameraImage(camera="head", rgb=PIXELS, stamp_ns=stamp_ns, receive_ns=stamp_ns)


class FaultySource:
    """Gives an image, fails once, and goes on."""

    name = "head"

    def __init__(self) -> None:
        self.health = SourceHealth(dropped=3)
        self.reads = 0

    def read(self, timeout_s: float) -> CameraImage:
        self.reads += 1
        if self.reads == 2:
            raise ConfigError("the lens cap is on")
        time.sleep(0.01)
        return image(self.reads * 10_000_000)


def test_a_fault_of_the_source_is_told_and_reading_goes_on():
    images: list[CameraImage] = []
    capture = Capture(FaultySource(), images.append)
    capture.start()
    deadline = time.monotonic() + 5
    while not capture.trouble and time.monotonic() < deadline:
        time.sleep(0.005)
    assert capture.trouble == "the lens cap is on"
    while len(images) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    capture.stop()
    assert len(images) >= 5 and capture.trouble == ""
    assert capture.rate_hz == pytest.approx(90, abs=15)
    assert capture.describe()["head.dropped"] == "3"
    count = len(images)
    time.sleep(0.05)
    assert len(images) == count, "it reads on after stop"


def test_who_listens_late_still_learns_the_rig_and_all_get_the_same_arrays():
    exchange, spec = ViewExchange(), camera_spec("twin", {})
    heard: list = []
    exchange.listen(lambda models, mounts: heard.append(models), heard.append)
    exchange.announce({"head": spec.model}, {"head": spec.mount})
    late: list = []
    exchange.listen(lambda models, mounts: late.append(models), late.append)
    views = ViewSet(stamp_ns=1, images=(image(1),))
    exchange.put(views)
    assert heard == [{"head": spec.model}, views] and late == [{"head": spec.model}, views]
    assert late[1].images[0].rgb is PIXELS


def test_an_unknown_kind_of_camera_names_those_there_are():
    sources = CameraSources()
    sources.offer("uvc", lambda spec: FaultySource())
    with pytest.raises(ConfigError, match=r"source 'webcam'; this process offers \['uvc'\]"):
        sources.create(camera_spec("webcam", {}))
