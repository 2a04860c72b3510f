"""Sets are grouped by capture, in order, inside the gate, whatever a camera or its clock does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla3d_ros.camera.synchronizer import Synchronizer
from vla3d_ros.datatypes import CameraImage, ViewSet
from vla3d_ros.errors import ConfigError

MS = 1_000_000
CAMERAS = ("head", "side", "wrist")
PERIOD_MS, LATENCY_MS, SKEW_MS, GRACE_MS, MEMORY = 33, 8, 15, 50, 8
PIXELS = np.zeros((2, 2, 3), np.uint8)


def image(camera: str, stamp_ms: float, receive_ms: float | None = None) -> CameraImage:
    receive_ms = stamp_ms + LATENCY_MS if receive_ms is None else receive_ms
    return CameraImage(camera=camera, rgb=PIXELS, stamp_ns=int(stamp_ms * MS), receive_ns=int(receive_ms * MS))


def synchronizer() -> Synchronizer:
    return Synchronizer(CAMERAS, anchor="head", max_skew_ns=SKEW_MS * MS, grace_ns=GRACE_MS * MS, memory=MEMORY)


def run(sync: Synchronizer, ticks: range, cameras=CAMERAS, stamp_offset_ms: dict[str, float] | None = None):
    """Feed regular ticks; an offset spoils a camera's stamps, not the time of reception."""
    sets: list[ViewSet] = []
    for tick in ticks:
        for camera in cameras:
            at_ms = tick * PERIOD_MS
            stamp_ms = at_ms + (stamp_offset_ms or {}).get(camera, 0)
            sets += sync.add(image(camera, stamp_ms, at_ms + LATENCY_MS))
    return sets


def test_images_of_one_capture_become_one_set():
    sync = synchronizer()
    assert sync.add(image("side", 100)) == ()
    assert sync.add(image("head", 100)) == ()
    (view_set,) = sync.add(image("wrist", 103))
    assert view_set.stamp_ns == 100 * MS
    assert view_set.skew_ns == 3 * MS
    assert view_set.missing == ()


@pytest.mark.parametrize("dead", CAMERAS)
def test_no_set_is_lost_to_a_dead_camera_even_the_anchor_and_it_comes_back(dead):
    sync = synchronizer()
    whole = run(sync, range(1, 10))
    alive = [camera for camera in CAMERAS if camera != dead]
    without = run(sync, range(10, 40), alive)
    again = run(sync, range(40, 50))
    assert len(whole) == 9 and not any(view_set.missing for view_set in whole)
    assert len(without) >= 29 and all(view_set.missing == (dead,) for view_set in without)
    assert sum(not view_set.missing for view_set in again) >= 9
    stamps = [view_set.stamp_ns for view_set in (*whole, *without, *again)]
    assert stamps == sorted(set(stamps))


def test_a_camera_known_to_be_dead_costs_no_waiting():
    sync = synchronizer()
    run(sync, range(1, 20), ("head", "side"))
    assert sync.silent == ("wrist",)
    (view_set,) = run(sync, range(20, 21), ("head", "side"))
    assert view_set.stamp_ns == 20 * PERIOD_MS * MS


def test_a_set_leaves_after_the_grace_period_while_a_camera_is_only_late():
    sync = synchronizer()
    run(sync, range(1, 10))
    assert run(sync, range(10, 12), ("head", "side")) == []
    (view_set,) = run(sync, range(12, 13), ("head", "side"))
    assert (view_set.stamp_ns, view_set.missing) == (10 * PERIOD_MS * MS, ("wrist",))
    sync.add(image("wrist", 10 * PERIOD_MS, 13 * PERIOD_MS))
    assert sync.late("wrist") == 1


@pytest.mark.parametrize("stepped", CAMERAS)
@pytest.mark.parametrize("step_ms", [-3_600_000, -2_000, +50, +3_600_000])
def test_a_camera_whose_clock_stepped_is_named_refused_and_taken_back_when_it_is_right(stepped, step_ms):
    sync = synchronizer()
    run(sync, range(200_000, 200_010))
    during = run(sync, range(200_010, 200_050), stamp_offset_ms={stepped: step_ms})
    assert list(sync.troubles) == [stepped] and "clock" in sync.troubles[stepped]
    assert sync.counters.clock_steps == 1
    assert len(during) >= 38 and all(view_set.missing == (stepped,) for view_set in during)
    after = run(sync, range(200_050, 200_060))
    assert sync.troubles == {} and sum(not view_set.missing for view_set in after) >= 9


@pytest.mark.parametrize("stepped", CAMERAS)
def test_a_small_step_back_passes_by_itself(stepped):
    sync = synchronizer()
    run(sync, range(100, 110))
    run(sync, range(110, 130), stamp_offset_ms={stepped: -400})
    assert sync.counters.out_of_order > 0
    after = run(sync, range(130, 150))
    assert sum(not view_set.missing for view_set in after) >= 18


def test_everything_starts_anew_when_the_whole_clock_is_reset():
    sync = synchronizer()
    run(sync, range(100_000, 100_010))
    anew = run(sync, range(1, 11))
    assert [view_set.stamp_ns for view_set in anew] == [tick * PERIOD_MS * MS for tick in range(1, 11)]
    assert sync.counters.clock_steps == 1


def test_cameras_of_different_rates_are_paired_with_the_nearest():
    sync = synchronizer()
    sets = []
    for ms in range(100, 1100):
        for camera, period in (("head", 33), ("side", 11), ("wrist", 17)):
            if ms % period == 0:
                sets += sync.add(image(camera, ms))
    assert len(sets) >= 28 and not any(view_set.missing for view_set in sets)
    assert max(view_set.skew_ns for view_set in sets) <= 15 * MS


def test_an_unknown_camera_or_anchor_is_refused():
    with pytest.raises(ConfigError, match="'rear'"):
        synchronizer().add(image("rear", 0))
    with pytest.raises(ConfigError, match="anchor camera 'top'"):
        Synchronizer(CAMERAS, anchor="top", max_skew_ns=1, grace_ns=1)


def assert_lawful(sets: list[ViewSet]) -> None:
    """Check order, gate, completeness of the account, and that no image is used twice."""
    stamps = [view_set.stamp_ns for view_set in sets]
    assert stamps == sorted(set(stamps))
    for view_set in sets:
        assert view_set.images
        for found in view_set.images:
            assert abs(found.stamp_ns - view_set.stamp_ns) <= SKEW_MS * MS
        names = [found.camera for found in view_set.images]
        assert sorted([*names, *view_set.missing]) == sorted(CAMERAS)
    used = [(found.camera, found.stamp_ns) for view_set in sets for found in view_set.images]
    assert len(used) == len(set(used))


@st.composite
def disturbed_streams(draw) -> list[CameraImage]:
    """Three cameras for a few seconds: jitter, drops, duplicates, reordering, clock steps, in order of arrival."""
    images = []
    for camera in CAMERAS:
        step_at, step_ms = draw(st.integers(0, 60)), draw(st.sampled_from([0, 0, -40, -300, -5000, 4, 60, 5000]))
        step_ends = step_at + draw(st.integers(1, 30))
        for tick in range(60):
            fate = draw(st.sampled_from(["ok"] * 8 + ["drop", "twice", "late"]))
            if fate == "drop":
                continue
            at_ms = 1_000_000 + tick * PERIOD_MS
            stamp_ms = at_ms + draw(st.integers(-5, 5)) + (step_ms if step_at <= tick < step_ends else 0)
            receive_ms = at_ms + LATENCY_MS + draw(st.integers(0, 15)) + (90 if fate == "late" else 0)
            images += [image(camera, stamp_ms, receive_ms)] * (2 if fate == "twice" else 1)
    return sorted(images, key=lambda found: found.receive_ns)


@settings(max_examples=100, deadline=None)
@given(disturbed_streams())
def test_under_every_disturbance_sets_are_in_order_inside_the_gate_and_memory_is_bounded(images):
    sync = synchronizer()
    sets = []
    for found in images:
        sets += sync.add(found)
        assert all(len(stream.images) <= MEMORY for stream in sync._streams.values())
    assert_lawful(sets)
    counters = sync.counters
    pending = sum(len(stream.images) for stream in sync._streams.values())
    refused = counters.out_of_order + counters.duplicates + counters.implausible
    used = sum(len(view_set.images) for view_set in sets)
    assert used + counters.unpaired + refused + pending == len(images), "an image is not accounted for"


@settings(max_examples=60, deadline=None)
@given(disturbed_streams(), st.sets(st.sampled_from(CAMERAS), min_size=1))
def test_whatever_happened_before_sets_flow_again_with_whoever_is_alive(images, alive):
    sync = synchronizer()
    for found in images:
        sync.add(found)
    start = images[-1].receive_ns // (PERIOD_MS * MS) + 2
    cameras = [camera for camera in CAMERAS if camera in alive]
    settling = run(sync, range(start, start + 15), cameras)
    flowing = run(sync, range(start + 15, start + 45), cameras)
    assert_lawful([*settling, *flowing])
    assert len(flowing) == 30, "one set a tick, none lost"
    assert all(sorted(view_set.missing) == sorted(set(CAMERAS) - alive) for view_set in flowing)
