import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.camera.synchronizer import Synchronizer
from vla3d_ros.datatypes import CameraImage
from vla3d_ros.errors import ConfigError

MS = 1_000_000
CAMERAS = ("head", "side", "wrist")


def image(camera: str, stamp_ms: float) -> CameraImage:
    return CameraImage(camera=camera, rgb=np.zeros((2, 2, 3), np.uint8), stamp_ns=int(stamp_ms * MS), receive_ns=0)


def synchronizer() -> Synchronizer:
    return Synchronizer(CAMERAS, anchor="head", max_skew_ns=15 * MS, grace_ns=50 * MS)


def test_images_of_one_capture_become_one_set():
    sync = synchronizer()
    assert sync.add(image("side", 100)) == ()
    assert sync.add(image("head", 100)) == ()
    (view_set,) = sync.add(image("wrist", 103))
    assert view_set.stamp_ns == 100 * MS
    assert view_set.skew_ns == 3 * MS
    assert view_set.missing == ()


def test_a_dead_camera_is_marked_missing_after_the_grace_period_and_comes_back():
    sync = synchronizer()
    sets = []
    for tick in range(6):
        for camera in ("head", "side"):
            sets += sync.add(image(camera, tick * 33))
    assert sets and all(view_set.missing == ("wrist",) for view_set in sets)
    for tick in range(6, 12):
        for camera in CAMERAS:
            sets += sync.add(image(camera, tick * 33))
    assert sets[-1].missing == ()


def test_an_unknown_camera_or_anchor_is_refused():
    with pytest.raises(ConfigError, match="'rear'"):
        synchronizer().add(image("rear", 0))
    with pytest.raises(ConfigError, match="anchor camera 'top'"):
        Synchronizer(CAMERAS, anchor="top", max_skew_ns=1, grace_ns=1)


captures = st.lists(
    st.tuples(st.sampled_from(CAMERAS), st.integers(0, 40), st.integers(-20, 20)), min_size=1, max_size=150
)


@settings(max_examples=150, deadline=None)
@given(captures)
def test_under_jitter_drops_reordering_and_duplicates_sets_are_in_order_and_inside_the_gate(events):
    sync = synchronizer()
    sets = []
    for camera, tick, jitter_ms in events:
        sets += sync.add(image(camera, tick * 33 + jitter_ms))
    stamps = [view_set.stamp_ns for view_set in sets]
    assert stamps == sorted(set(stamps))
    for view_set in sets:
        for found in view_set.images:
            assert abs(found.stamp_ns - view_set.stamp_ns) <= 15 * MS
        assert {i.camera for i in view_set.images} | set(view_set.missing) == set(CAMERAS)
    used = [(i.camera, i.stamp_ns) for view_set in sets for i in view_set.images]
    assert len(used) == len(set(used))
    assert all(len(pending) <= 8 for pending in sync._images.values())
