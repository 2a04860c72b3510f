"""The world runs by itself, in step with its images, and stops when told to."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from vla3d_ros.errors import BringUpError, ConfigError, DependencyError
from vla3d_ros.twin import runtime as runtime_module
from vla3d_ros.twin.runtime import TwinRuntime
from vla3d_ros.twin.world import START_NS


class BlankRenderer:
    """Stands in for OpenGL: images of one grey, after a delay."""

    delay_s = 0.0
    error: Exception | None = None

    def __init__(self, model, cameras) -> None:
        if self.error:
            raise self.error
        self._cameras = cameras
        self.thread = threading.get_ident()

    def render(self, render_state):
        assert threading.get_ident() == self.thread
        time.sleep(self.delay_s)
        return {camera.name: np.zeros((480, 640, 3), np.uint8) for camera in self._cameras}

    def close(self) -> None:
        assert threading.get_ident() == self.thread


@pytest.fixture
def renderer_class(monkeypatch: pytest.MonkeyPatch) -> type[BlankRenderer]:
    kind = type("Blank", (BlankRenderer,), {})
    monkeypatch.setattr(runtime_module, "TwinRenderer", kind)
    return kind


@pytest.fixture
def launch(world, renderer_class):
    """Start runtimes which are stopped whatever happens."""
    started = []

    def start(**more) -> TwinRuntime:
        runtime = TwinRuntime(world, **more)
        started.append(runtime)
        runtime.start()
        return runtime

    yield start
    for runtime in started:
        runtime.stop()


def test_images_come_as_sets_with_one_stamp_at_the_camera_rate(launch) -> None:
    runtime = launch(real_time_factor=4.0)
    sources = runtime.camera_sources()
    assert [source.open().width_px for source in sources] == [640, 640, 640]
    stamps = []
    for _ in range(10):
        images = [source.read(5.0) for source in sources]
        assert all(image is not None for image in images)
        stamps.append(images[0].stamp_ns)
        assert images[0].receive_ns >= images[0].stamp_ns
    assert stamps == sorted(set(stamps))
    ticks = (np.array(stamps) - START_NS) * 30e-9
    np.testing.assert_allclose(ticks, np.round(ticks), atol=0.07)


def test_late_reader_gets_the_newest_image_and_skips_the_others(launch) -> None:
    runtime = launch(real_time_factor=4.0)
    source = runtime.camera_sources()[0]
    source.open()
    first = source.read(5.0)
    time.sleep(0.3)
    second = source.read(5.0)
    assert second.stamp_ns - first.stamp_ns > 300_000_000


def test_slow_renderer_slows_the_world_and_loses_no_tick(launch, renderer_class) -> None:
    renderer_class.delay_s = 0.1
    runtime = launch()

    def lag(world) -> int:
        newest = runtime.images.wait_newer(None, 0.0)
        return world.time_ns - (newest.stamp_ns if newest else START_NS)

    lag_ns, deadline = [], time.monotonic() + 1.5
    while time.monotonic() < deadline:
        lag_ns.append(runtime.call(lag))
    assert max(lag_ns) <= 2 * 34_000_000 + 4_000_000
    assert 0.02 < runtime.real_time_factor < 0.5


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_world_is_never_faster_than_asked_and_reports_its_speed(launch, factor: float) -> None:
    runtime = launch(real_time_factor=factor)
    for _ in range(5):  # while the machine's own speed changes, what is reported lags behind
        wall0_s, sim0_ns = time.monotonic(), runtime.call(lambda world: world.time_ns)
        time.sleep(0.8)
        passed_s = (runtime.call(lambda world: world.time_ns) - sim0_ns) * 1e-9
        measured, reported = passed_s / (time.monotonic() - wall0_s), runtime.real_time_factor
        assert measured < 1.05 * factor
        if reported == pytest.approx(measured, rel=0.3):
            break
    assert reported == pytest.approx(measured, rel=0.3)


def test_clock_and_joint_states_come_at_their_rate_in_simulated_time(launch) -> None:
    clock, samples = [], []
    runtime = launch(real_time_factor=4.0, state_hz=100.0, on_clock=clock.append, on_joint_state=samples.append)
    deadline = time.monotonic() + 10.0
    while len(samples) <= 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    runtime.stop()
    stamps = np.array([sample.stamp_ns for sample in samples])
    assert len(stamps) > 20
    np.testing.assert_array_equal(np.diff(stamps), 10_000_000)
    assert clock == stamps.tolist()


def test_call_runs_in_the_physics_thread_and_hands_back_result_or_error(launch) -> None:
    runtime = launch()
    assert runtime.call(lambda world: threading.current_thread().name) == "twin-physics"
    assert runtime.call(lambda world: runtime.call(lambda inner: inner is world))
    with pytest.raises(ConfigError, match="no arm"):
        runtime.call(lambda world: world.submit_trajectory("third", None))
    assert runtime.call(lambda world: world.time_ns) > START_NS


def test_call_after_stop_says_that_nothing_runs(launch) -> None:
    runtime = launch()
    runtime.stop()
    runtime.stop()
    with pytest.raises(BringUpError, match="not running"):
        runtime.call(lambda world: world.time_ns)


def test_renderer_that_can_not_start_is_reported_by_start(world, renderer_class) -> None:
    renderer_class.error = DependencyError("no OpenGL")
    runtime = TwinRuntime(world)
    with pytest.raises(DependencyError, match="no OpenGL"):
        runtime.start()


def test_error_in_a_callback_stops_the_runtime_and_is_reported(launch) -> None:
    failed = threading.Event()

    def explode(_) -> None:
        raise RuntimeError("listener broke")

    runtime = launch(on_clock=explode, on_failure=lambda error: failed.set())
    assert failed.wait(5.0)
    assert str(runtime.failure) == "listener broke"
    with pytest.raises(BringUpError, match="not running"):
        runtime.call(lambda world: world.time_ns)


def test_stop_leaves_no_thread(launch) -> None:
    launch().stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("twin-")]


def test_source_must_be_opened_first_and_times_out_quietly(world, renderer_class) -> None:
    source = TwinRuntime(world).camera_sources()[0]
    with pytest.raises(ConfigError, match="open"):
        source.read(0.0)
    source.open()
    assert source.read(0.01) is None
    source.close()
    source.close()
