from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from vla3d_ros.errors import ConfigError, RecordingError
from vla3d_ros.recording import BagReader, BagWriter, find_topics, offered_qos, read_episode
from vla3d_ros.recording.image_packing import COMPRESSED_TYPE, IMAGE_TYPE, ImagePacking, read_image

STORE = get_typestore(Stores.ROS2_KILTED)


def image_cdr(pixels: np.ndarray, encoding: str, frame_id: str, stamp_ns: int, padding: int = 0) -> bytes:
    height, row = pixels.shape[0], pixels.reshape(pixels.shape[0], -1).view(np.uint8)
    rows = np.pad(row, ((0, 0), (0, padding)))
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    msg = STORE.types[IMAGE_TYPE](
        header=STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id),
        height=height,
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.ravel(),
    )
    return bytes(STORE.serialize_cdr(msg, IMAGE_TYPE))


@given(
    frame_id=st.text(alphabet="abc_é", max_size=9),
    encoding=st.sampled_from(["rgb8", "bgr8", "mono8"]),
    height=st.integers(1, 5),
    width=st.integers(1, 7),
    padding=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_pixels_are_found_behind_any_header(frame_id, encoding, height, width, padding):
    channels = 1 if encoding == "mono8" else 3
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, channels), dtype=np.uint8)
    seen = read_image(image_cdr(pixels, encoding, frame_id, 1_500_000_007, padding))
    assert (seen.frame_id, seen.encoding, seen.stamp_ns) == (frame_id, encoding, 1_500_000_007)
    np.testing.assert_array_equal(seen.pixels, pixels)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_packed_image_keeps_its_header_and_looks_the_same_whatever_the_order_of_colours(encoding):
    rgb = np.zeros((32, 48, 3), dtype=np.uint8)
    rgb[:, :24, 0], rgb[:, 24:, 2] = 200, 180
    pixels = rgb if encoding == "rgb8" else np.ascontiguousarray(rgb[:, :, ::-1])
    topic, kind, cdr = ImagePacking(95).pack("/head/image_raw", IMAGE_TYPE, image_cdr(pixels, encoding, "lens", 77))
    assert (topic, kind) == ("/head/image_raw/compressed", COMPRESSED_TYPE)
    msg = STORE.deserialize_cdr(cdr, COMPRESSED_TYPE)
    assert (msg.header.frame_id, msg.header.stamp.nanosec) == ("lens", 77)
    assert msg.format == f"{encoding}; jpeg compressed bgr8"
    decoded = cv2.imdecode(np.asarray(msg.data), cv2.IMREAD_COLOR)[:, :, ::-1]
    inner = np.s_[4:-4, 4:20]
    assert np.abs(decoded[inner].astype(int) - rgb[inner]).max() < 12


def test_depth_and_everything_else_go_into_the_bag_bit_by_bit():
    depth = np.random.default_rng(0).integers(0, 5000, (4, 6, 1), dtype=np.uint16)
    packing = ImagePacking(90)
    for encoding in ("16UC1", "32FC1", "bayer_rggb8"):
        cdr = image_cdr(depth, encoding, "lens", 1)
        assert packing.pack("/head/depth", IMAGE_TYPE, cdr) == ("/head/depth", IMAGE_TYPE, cdr)
    assert packing.pack("/said", "std_msgs/msg/String", b"1234")[2] == b"1234"


def test_bag_with_packed_images_reads_like_one_with_raw_ones(tmp_path, ros):
    rgb = np.full((24, 32, 3), 120, dtype=np.uint8)
    with BagWriter(tmp_path / "bag", packing=ImagePacking(90)) as writer:
        writer.add_topic("/arm/camera/head/image_raw", IMAGE_TYPE, offered_qos(is_reliable=False))
        writer.add_topic("/arm/camera/head/depth", IMAGE_TYPE, offered_qos(is_reliable=False))
        writer.add_topic("/silent", "std_msgs/msg/String", offered_qos())
        for stamp in range(1, 4):
            writer.write("/arm/camera/head/image_raw", stamp, ros.image(rgb, stamp))
            writer.write("/arm/camera/head/depth", stamp, image_cdr(np.zeros((2, 2, 1), np.uint16), "16UC1", "", stamp))
    with BagReader(tmp_path / "bag") as bag:
        assert bag.counts == {"/arm/camera/head/image_raw/compressed": 3, "/arm/camera/head/depth": 3}
        assert set(find_topics(bag.topics).images) == {"head"}
    (camera,) = read_episode(tmp_path / "bag").cameras
    assert (camera.camera, camera.count, camera.last.stamp_ns) == ("head", 3, 3)
    assert np.abs(camera.first.rgb.astype(int) - 120).max() < 4


@pytest.mark.parametrize("length", [0, 3, 11, 20, 40, 60])
def test_image_that_is_cut_off_is_refused(length):
    cdr = image_cdr(np.zeros((4, 4, 3), np.uint8), "rgb8", "lens", 1)
    with pytest.raises(RecordingError, match="no sensor_msgs/Image|expected full rows|has no header"):
        read_image(cdr[:length])


def test_quality_out_of_range_names_the_way_to_record_raw():
    with pytest.raises(ConfigError, match="expected 1 to 100, or 0 to record images raw"):
        ImagePacking(101)
