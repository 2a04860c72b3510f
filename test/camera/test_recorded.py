"""Recordings are played as if they came now, in step with one another."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from source_reading import camera_spec, read_n

from vla3d_ros.camera.recorded import load_calibration, recorded_factory
from vla3d_ros.errors import ConfigError
from vla3d_ros.recording import BagReader, BagWriter
from vla3d_ros.recording.bag_images import BagImages
from vla3d_ros.recording.qos import offered_qos

FRANKA = Path(__file__).parents[2].parent / "shared" / "data" / "fairo_franka_3cam"
needs_franka = pytest.mark.skipif(not FRANKA.is_dir(), reason="the recording of a real robot is not on this machine")


def source_for(spec):
    return recorded_factory(time.time_ns, BagImages)(spec)


@pytest.fixture
def colours(tmp_path) -> Path:
    """A folder of 30 images, each with its index as grey value."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(30):
        cv2.imwrite(str(folder / f"{index:02}.png"), np.full((48, 64, 3), index * 8, np.uint8))
    return folder


def test_cameras_that_play_equal_recordings_show_the_same_instant(colours):
    settings = {"path": str(colours), "rate_hz": 30.0}
    head, side = (source_for(camera_spec("recorded", settings, 64, 48, name)) for name in ("head", "side"))
    head.open()
    time.sleep(0.4)
    side.open()
    for one, other in zip(read_n(head, 3), read_n(side, 3), strict=True):
        if one.stamp_ns == other.stamp_ns:
            np.testing.assert_array_equal(one.rgb, other.rgb)
    shown = {image.stamp_ns: int(image.rgb[0, 0, 0]) for image in read_n(head, 20)}
    again = {image.stamp_ns: int(image.rgb[0, 0, 0]) for image in read_n(side, 20)}
    period_ns = round(1e9 / 30)
    for stamp_ns, value in {**shown, **again}.items():
        assert value == stamp_ns // period_ns % 30 * 8


def test_a_slow_reader_skips_images_and_they_are_counted(colours):
    source = source_for(camera_spec("recorded", {"path": str(colours), "rate_hz": 30.0}, 64, 48))
    source.open()
    before = read_n(source, 1)[0]
    time.sleep(0.5)
    after = read_n(source, 1)[0]
    passed = round((after.stamp_ns - before.stamp_ns) * 30 / 1e9)
    assert passed >= 12
    assert source.health.dropped == pytest.approx(passed - 1, abs=2)


def test_a_clock_that_was_set_back_does_not_stop_the_show(colours):
    now = [10_000_000_000]
    source = recorded_factory(lambda: now[0])(camera_spec("recorded", {"path": str(colours), "rate_hz": 30.0}, 64, 48))
    source.open()
    assert source.read(0.1).stamp_ns == 9_999_999_900
    now[0] = 1_000_000_000
    assert source.read(0.1).stamp_ns < 1_000_000_000
    assert source.read(0.05) is None


def test_a_video_is_played_at_its_own_rate_with_its_own_pixels(tmp_path):
    file = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 20.0, (64, 48))
    for index in range(20):
        bgr = np.zeros((48, 64, 3), np.uint8)
        bgr[:, :, 2] = 10 * index
        writer.write(bgr)
    writer.release()
    source = source_for(camera_spec("recorded", {"path": str(file)}, 64, 48))
    source.open()
    images = read_n(source, 15)
    stamps = np.array([image.stamp_ns for image in images])
    assert np.median(np.diff(stamps)) == 50_000_000
    for image in images:
        index = image.stamp_ns // 50_000_000 % 20
        assert abs(int(image.rgb[20, 30, 0]) - 10 * index) < 8 and image.rgb[20, 30, 2] < 20


@pytest.fixture
def bag(tmp_path) -> Path:
    """A bag of two cameras, 3 ms apart, with intrinsics, as the recorder writes it."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_KILTED)
    kinds = store.types
    path = tmp_path / "episode"
    writer = BagWriter(path)
    names = {"image_raw": "sensor_msgs/msg/Image", "camera_info": "sensor_msgs/msg/CameraInfo"}
    for camera in ("head", "side"):
        for topic, kind in names.items():
            writer.add_topic(f"/arm/camera/{camera}/{topic}", kind, offered_qos(is_reliable=False, depth=5))
    for tick in range(30):
        for camera, late_ns in (("head", 0), ("side", 3_000_000)):
            stamp_ns = 5_000_000_000 + tick * 33_333_333 + late_ns
            header = kinds["std_msgs/msg/Header"](
                stamp=kinds["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9),
                frame_id=camera,
            )
            pixels = np.full(48 * 64 * 3, tick * 8, np.uint8)
            image = kinds[names["image_raw"]](header, 48, 64, "bgr8", 0, 192, pixels)
            roi = kinds["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
            K = np.array([60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1])
            info = kinds[names["camera_info"]](
                header, 48, 64, "plumb_bob", np.zeros(5), K, np.eye(3).ravel(), np.zeros(12), 0, 0, roi
            )
            for topic, msg in (("image_raw", image), ("camera_info", info)):
                cdr = bytes(store.serialize_cdr(msg, names[topic]))
                writer.write(f"/arm/camera/{camera}/{topic}", stamp_ns + 8_000_000, cdr)
    writer.close()
    return path


def test_cameras_of_a_bag_keep_their_skew_and_bring_their_intrinsics(bag):
    with BagReader(bag) as reader:
        assert len(reader.topics) == 4
    head, side = (source_for(camera_spec("recorded", {"path": str(bag)}, 64, 48, name)) for name in ("head", "side"))
    assert head.open().K[0, 0] == side.open().K[0, 0] == 60.0
    heads, sides = read_n(head, 8), []
    sides = read_n(side, 8)
    by_value = {int(image.rgb[0, 0, 0]): image.stamp_ns for image in heads}
    for image in sides:
        lap_ns = head._recording.duration_ns
        twin_ns = by_value.get(int(image.rgb[0, 0, 0]))
        if twin_ns is not None:
            assert (image.stamp_ns - twin_ns) % lap_ns == 3_000_000
    assert head._recording.duration_ns == side._recording.duration_ns


def test_a_bag_without_such_a_camera_names_those_it_has(bag):
    with pytest.raises(
        ConfigError, match=r"no image topic that ends in '/wrist/image_raw'; available: \['/arm/camera/h"
    ):
        source_for(camera_spec("recorded", {"path": str(bag)}, 64, 48, "wrist"))


def test_wrong_settings_are_reported_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        source_for(camera_spec("recorded", {"path": str(tmp_path / "none"), "rate_hz": -1, "speed": 2}))
    for words in ("'speed'", "'rate_hz' is -1", "'path' is"):
        assert words in str(caught.value)
    with pytest.raises(ConfigError, match="'rate_hz' is missing"):
        source_for(camera_spec("recorded", {"path": str(tmp_path)}))


@needs_franka
def test_a_real_robots_cameras_play_with_their_factory_intrinsics():
    sources = []
    for name in ("cam0", "cam1", "cam2"):
        settings = {"path": str(FRANKA / "images" / name), "rate_hz": 30.0, "calibration": str(FRANKA / "data.json")}
        sources.append(source_for(camera_spec("recorded", settings, 640, 480, name)))
    models = [source.open() for source in sources]
    assert [round(model.K[0, 0], 1) for model in models] == [601.4, 617.3, 612.9]
    images = [read_n(source, 1)[0] for source in sources]
    assert all(image.rgb.shape == (480, 640, 3) and image.rgb.std() > 10 for image in images)


@needs_franka
def test_a_calibration_without_the_camera_names_those_it_has():
    with pytest.raises(ConfigError, match=r"no camera 'head'; available: \['cam0', 'cam1', 'cam2'\]"):
        load_calibration(FRANKA / "data.json", "head")


def test_ros_calibration_files_are_understood(tmp_path):
    file = tmp_path / "head.yaml"
    file.write_text(
        "image_width: 640\nimage_height: 480\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [600, 0, 320, 0, 601, 240, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}\n"
    )
    model = load_calibration(file, "head")
    assert (model.width_px, model.K[1, 1], model.distortion[1]) == (640, 601.0, -0.2)
