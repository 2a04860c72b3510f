"""UVC cameras: what is asked is read back, and a pulled cable is no end."""

import time
from types import SimpleNamespace

import cv2
import pytest
from source_reading import camera_spec, read_n
from test_source_contract import PretendedDevice

from vla3d_ros.camera.uvc import uvc_factory
from vla3d_ros.errors import ConfigError


@pytest.fixture
def state() -> SimpleNamespace:
    return SimpleNamespace(there=True, limits={}, released=0)


def source_for(state, **settings):
    given = {"device": "/dev/v4l/by-id/cam", "fps": 30, "warm_up_frames": 0, **settings}
    return uvc_factory(time.time_ns, lambda device: PretendedDevice(state))(camera_spec("uvc", given))


def test_controls_are_set_and_images_are_rgb(state):
    source = source_for(state, controls={"auto_exposure": 1, "exposure": 157})
    source.open()
    assert read_n(source, 1)[0].rgb[0, 0].tolist() == [200, 0, 0]


def test_a_control_that_does_not_stick_names_asked_and_got(state):
    state.limits = {cv2.CAP_PROP_EXPOSURE: 100, cv2.CAP_PROP_FPS: 15}
    with pytest.raises(ConfigError) as caught:
        source_for(state, controls={"exposure": 157}).open()
    text = str(caught.value)
    assert "'exposure' was asked to be 157, the device says 100" in text
    assert "'fps' was asked to be 30, the device says 15" in text
    assert state.released == 1


def test_a_device_that_is_not_there_is_refused(state):
    state.there = False
    with pytest.raises(ConfigError, match=r"device '/dev/v4l/by-id/cam' can not be opened"):
        source_for(state).open()


def test_wrong_settings_are_reported_at_once(state):
    with pytest.raises(ConfigError) as caught:
        source_for(state, zoom=2, fourcc="H.264", controls={"hue": 1})
    for words in ("'zoom'", "'fourcc' is 'H.264'", "unknown controls ['hue']"):
        assert words in str(caught.value)


def test_the_known_latency_is_taken_off_the_stamp(state):
    source = source_for(state, latency_ms=25.0)
    source.open()
    image = read_n(source, 1)[0]
    assert image.receive_ns - image.stamp_ns == 25_000_000
