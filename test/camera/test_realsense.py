"""The real pipeline of the vendor's library on its software device and on a recorded file."""

import sys
import time

import numpy as np
import pytest
from source_reading import camera_spec, read_n, read_until

from vla3d_ros.camera.realsense import RealSenseSource, load_sdk, realsense_factory
from vla3d_ros.errors import ConfigError, DependencyError

rs = pytest.importorskip("pyrealsense2", reason="no pyrealsense2: pip install 'vla3d_ros[realsense]'")

from software_realsense import FX, HEIGHT, WIDTH, SoftwareCamera, SoftwareContext  # noqa: E402

SERIAL = "SIM0001"


@pytest.fixture
def home():
    return SoftwareContext()


@pytest.fixture
def camera(home):
    camera = SoftwareCamera(home, SERIAL)
    camera.start()
    yield camera
    camera.stop()


def source_for(home, **settings) -> RealSenseSource:
    given = {
        "serial": SERIAL,
        "fps": 30,
        "timestamps": "hardware",
        "warm_up_frames": 3,
        "lost_after_s": 0.5,
        **settings,
    }
    if given["serial"] is None:
        del given["serial"]
    create = realsense_factory(time.time_ns, lambda sdk: home.context)
    return create(camera_spec("realsense", given))


@pytest.fixture
def opened():
    """Open sources and close them whatever happens."""
    sources = []

    def open_source(home, **settings):
        source = source_for(home, **settings)
        sources.append(source)
        return source, source.open()

    yield open_source
    for source in sources:
        source.close()


def test_colour_arrives_with_the_factory_intrinsics_after_the_warm_up(home, camera, opened):
    source, model = opened(home)
    assert (model.width_px, model.height_px, model.K[0, 0], model.K[0, 2]) == (WIDTH, HEIGHT, FX, 161.0)
    assert model.distortion.size == 0
    first = read_n(source, 1)[0]
    assert first.rgb.shape == (HEIGHT, WIDTH, 3) and first.rgb[0, 0, 2] == 7
    assert first.rgb[0, 0, 0] >= 3, "the first three frames are warm-up"
    assert source.health.temperature_c == 41.5


def test_depth_is_metres_aligned_to_colour_with_nan_where_there_is_no_return(home, opened):
    camera = SoftwareCamera(home, "SIM0002", depth_shift_m=0.03)
    camera.start()
    try:
        source, _ = opened(home, serial="SIM0002", depth=True)
        depth_m = read_n(source, 1)[0].depth_m
    finally:
        source.close()
        camera.stop()
    assert depth_m.dtype == np.float32 and depth_m.shape == (HEIGHT, WIDTH)
    assert np.isnan(depth_m[0]).all()
    assert depth_m[100, 60] == pytest.approx(1.0) and depth_m[100, 300] == pytest.approx(2.0)
    # A point of the near half, 1 m away, moves by fx * 0.03 m / 1 m = 9 px between the two cameras.
    assert depth_m[100, WIDTH // 2 + 4] == pytest.approx(1.0)
    assert np.isnan(depth_m[100, :8]).all(), "nothing was seen left of the depth image's border"


def test_hardware_ticks_become_ros_time_with_the_spacing_of_the_device(home, camera, opened):
    source, _ = opened(home)
    images = read_n(source, 40)
    stamps = np.array([image.stamp_ns for image in images])
    numbers = np.array([int(image.rgb[0, 0, 0]) for image in images])
    errors_ns = np.abs(np.diff(stamps) - np.diff(numbers) * 1e9 / 30)
    assert np.quantile(errors_ns, 0.8) < 3e6, "a frame that came with less delay than any before it moves the offset"
    ages_ms = np.array([image.receive_ns - image.stamp_ns for image in images]) / 1e6
    assert (ages_ms >= 0).all() and np.median(ages_ms) < 10


@pytest.mark.parametrize("jump_ms", [-20_000.0, 20_000.0])
def test_a_jump_of_the_devices_clock_is_reported_and_never_passed_on(home, camera, opened, jump_ms):
    source, _ = opened(home)
    images = read_n(source, 15)
    camera.shift_ms = jump_ms
    images += read_n(source, 15)
    assert source.health.clock_jumps == 1 and source.health.withheld >= 1
    stamps = [image.stamp_ns for image in images]
    assert stamps == sorted(set(stamps))
    assert max(abs(image.receive_ns - image.stamp_ns) for image in images) < 60e6


def test_frames_of_another_time_domain_are_withheld_and_named(home, camera, opened):
    source, _ = opened(home, timestamps="global", warm_up_frames=0)
    deadline = time.monotonic() + 10
    while not source.health.trouble and time.monotonic() < deadline:
        assert source.read(0.2) is None
    assert "'hardware_clock'; expected 'global_time'" in source.health.trouble


def test_dropped_frames_are_counted(home, camera, opened):
    source, _ = opened(home)
    read_n(source, 3)
    camera.drop_every = 5
    images = read_n(source, 30)
    camera.drop_every = 0
    numbers = [int(image.rgb[0, 0, 0]) for image in images]
    assert source.health.dropped >= sum(number % 5 == 0 for number in range(numbers[0] + 5, numbers[-1]))


def test_an_unplugged_camera_comes_back_without_being_opened_again(home, camera, opened):
    source, _ = opened(home)
    before = read_n(source, 5)
    camera.unplug()
    deadline = time.monotonic() + 10
    while "not connected" not in source.health.trouble and time.monotonic() < deadline:
        source.read(0.2)
    assert f"RealSense '{SERIAL}' is not connected" in source.health.trouble
    camera.plug()
    camera.start()
    after = read_n(source, 5)
    assert source.health.reconnects == 1 and source.health.trouble == ""
    stamps = [image.stamp_ns for image in (*before, *after)]
    assert stamps == sorted(set(stamps))


def test_several_cameras_of_one_context_run_side_by_side(home, camera, opened):
    other = SoftwareCamera(home, "SIM0007")
    other.start()
    try:
        one, _ = opened(home)
        two, _ = opened(home, serial="SIM0007")
        for source in (one, two):
            assert len(read_n(source, 10)) == 10
        camera.stop()
        assert len(read_n(two, 30)) == 30, "the other one does not notice"
    finally:
        two.close()
        other.stop()


def test_options_are_applied_and_read_back(home, camera, opened):
    opened(home, color={"exposure": 300, "enable_auto_exposure": False, "gain": 16})
    assert camera.color_sensor.get_option(rs.option.exposure) == 300
    assert camera.color_sensor.get_option(rs.option.enable_auto_exposure) == 0
    assert camera.color_sensor.get_option(rs.option.gain) == 16


def test_every_wrong_option_is_named_with_range_and_alternatives(home, camera, opened):
    with pytest.raises(ConfigError) as caught:
        opened(home, color={"exposure": 20_000, "hue": 3}, depth_sensor={"laser_power": 150})
    text = str(caught.value)
    assert "'exposure' is asked to be 20000; expected 1 to 10000 in steps of 1, factory 156" in text
    assert "'hue' does not exist on this sensor; available: " in text and "'laser_power' does not exist" in text


def test_an_option_the_device_does_not_keep_is_refused(home, camera, opened, monkeypatch):
    source = source_for(home, color={"exposure": 300})
    begin = rs.pipeline.start

    def start_and_forget(pipeline, *arguments):
        profile = begin(pipeline, *arguments)
        camera.color_sensor.set_option(rs.option.exposure, 156)
        return profile

    monkeypatch.setattr(rs.pipeline, "start", start_and_forget)
    with pytest.raises(ConfigError, match="'exposure' was asked to be 300, the device says 156; 1 to 10000"):
        source.open()


def test_a_camera_that_is_not_there_is_refused_with_those_that_are(home, camera):
    with pytest.raises(ConfigError, match=r"no RealSense with serial '999' is connected; available: \['SIM0001'\]"):
        source_for(home, serial="999").open()


def test_a_profile_that_is_not_offered_is_refused_with_those_that_are(home, camera):
    with pytest.raises(ConfigError, match=r"320x240 px at 90 fps .*'color 320x240@30', 'depth 320x240@30'"):
        source_for(home, fps=90).open()


def test_every_wrong_setting_is_reported_at_once(home):
    with pytest.raises(ConfigError) as caught:
        source_for(home, serial=1234, fps=None, speed=3, timestamps="device", file="x.db3")
    text = str(caught.value)
    for words in (
        "'speed'",
        "'serial' is 1234; expected a string",
        "'fps' is None",
        "'timestamps' is 'device'",
        "exactly",
    ):
        assert words in text


def test_inverse_distortion_is_converted_so_that_rays_meet_their_pixels(home, opened):
    cv2 = pytest.importorskip("cv2")
    camera = SoftwareCamera(home, "SIM0003", coefficients=(-0.055, 0.064, -0.0004, 0.0006, -0.02))
    _, model = opened(home, serial="SIM0003")
    assert model.distortion.size == 5
    vendor = camera.color_stream.as_video_stream_profile().get_intrinsics()
    for pixel in ([3.0, 5.0], [160.0, 20.0], [310.0, 230.0]):
        ray = np.array(rs.rs2_deproject_pixel_to_point(vendor, pixel, 1.0))
        seen, _ = cv2.projectPoints(ray[None], np.zeros(3), np.zeros(3), model.K, model.distortion)
        np.testing.assert_allclose(seen.ravel(), pixel, atol=0.05)


def test_distortion_that_plumb_bob_can_not_describe_is_refused(home):
    camera = SoftwareCamera(home, "SIM0004", coefficients=(3.0, -9.0, 0.0, 0.0, 20.0))
    assert camera.device is not None
    with pytest.raises(ConfigError, match=r"distortion model 'inverse_brown_conrady', which no plumb-bob.*calibrate"):
        source_for(home, serial="SIM0004").open()


def test_a_recorded_file_plays_in_a_loop_and_its_lap_is_a_clock_jump_not_a_step_in_time(home, tmp_path, opened):
    camera = SoftwareCamera(home, "SIM0006")
    file = tmp_path / "two_cubes.db3"
    camera.record(file, frames=30)
    source, model = opened(home, serial=None, file=str(file))
    assert model.K[0, 2] == 161.0
    images = read_until(source, lambda images: source.health.clock_jumps >= 1 and len(images) > 40)
    stamps = [image.stamp_ns for image in images]
    assert stamps == sorted(set(stamps))
    assert max(abs(image.receive_ns - image.stamp_ns) for image in images) < 100e6


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    with pytest.raises(DependencyError, match=r"pip install .*\[realsense\].*apt install libusb-1.0-0"):
        load_sdk()
