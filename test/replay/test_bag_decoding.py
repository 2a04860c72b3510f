"""Bytes of the wire and decoded messages give the same datatypes as the nodes' own conversions."""

import numpy as np
import pytest
from made_up_run import STORE, header, message

from vla3d_ros.errors import ShapeError
from vla3d_ros.replay import bag_decoding as decoding

IMAGE = "sensor_msgs/msg/Image"
STAMP_NS = 7_000_000_123


def serialized(rgb, encoding="rgb8", frame="head_optical_frame", padding=0):
    height, width, _ = rgb.shape
    rows = np.concatenate([rgb.reshape(height, -1), np.zeros((height, padding), np.uint8)], axis=1)
    fields = {"header": header(STAMP_NS, frame), "height": height, "width": width, "encoding": encoding}
    fields |= {"is_bigendian": 0, "step": width * 3 + padding, "data": rows.ravel()}
    return bytes(STORE.serialize_cdr(message(IMAGE, **fields), IMAGE))


@pytest.fixture
def rgb():
    return np.random.default_rng(1).integers(0, 255, (6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("frame", ["", "a", "ab", "abc", "abcd", "head_optical_frame"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
@pytest.mark.parametrize("padding", [0, 7])
def test_an_image_read_in_place_is_the_image_that_is_decoded(rgb, frame, encoding, padding):
    cdr = serialized(rgb, encoding, frame, padding)
    quick = decoding.image_of_cdr("head", cdr, 9)
    slow = decoding.image("head", STORE.deserialize_cdr(cdr, IMAGE), 9)
    assert np.array_equal(quick.rgb, slow.rgb)
    assert np.array_equal(quick.rgb, rgb if encoding == "rgb8" else rgb[:, :, ::-1])
    assert (quick.stamp_ns, quick.receive_ns, quick.camera) == (STAMP_NS, 9, "head")


def test_an_image_that_is_cut_off_is_refused(rgb):
    with pytest.raises(ShapeError, match="camera 'head' is cut off"):
        decoding.image_of_cdr("head", serialized(rgb)[:-20], 9)


def test_an_image_of_another_encoding_is_refused(rgb):
    with pytest.raises(ShapeError, match="'mono16'.*expected rgb8 or bgr8"):
        decoding.image_of_cdr("head", serialized(rgb, "mono16"), 9)


@pytest.mark.ros
def test_chunks_are_on_the_wire_as_the_policy_node_puts_them_there():
    conversions = pytest.importorskip("vla3d_ros.ros.conversions")
    from vla3d_ros.datatypes import ActionChunk, ArmChunk
    from vla3d_ros.geometry import exp_se3
    from vla3d_ros.replay.chunk_record import record_of_chunk, record_of_message

    generator = np.random.default_rng(2)
    arms = tuple(
        ArmChunk(arm=arm, Ts_ee0_ee=exp_se3(generator.normal(size=(30, 6))), gripper_opening=generator.random(30))
        for arm in ("left", "right")
    )
    chunk = ActionChunk(stamp_ns=STAMP_NS, dt_ns=33_333_333, arms=arms)
    strokes_m = {"left": 0.08, "right": 0.07}
    sent = record_of_message(conversions.chunk_to_msg(chunk, "base", strokes_m))
    assert sent.digest == record_of_chunk(chunk, strokes_m).digest


@pytest.mark.parametrize(("encoding", "dtype"), [("16UC1", "<u2"), ("32FC1", "<f4")])
def test_depth_is_in_metres_with_nan_where_nothing_came_back(encoding, dtype):
    kept = np.array([[500, 0], [1250, 1]]) if encoding == "16UC1" else np.array([[0.5, np.nan], [1.25, 0.001]])
    data = kept.astype(dtype)
    fields = {"header": header(STAMP_NS), "height": 2, "width": 2, "encoding": encoding, "is_bigendian": 0}
    fields |= {"step": 2 * data.itemsize, "data": data.view(np.uint8).ravel()}
    depth_m = decoding.depth("head", message(IMAGE, **fields))
    assert depth_m.dtype == np.float32
    np.testing.assert_array_equal(depth_m, np.array([[0.5, np.nan], [1.25, 0.001]], dtype=np.float32))
