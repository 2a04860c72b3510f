"""Arrays in msgpack: there and back, and what is never accepted."""

import msgpack
import numpy as np
import pytest
from policy_server import decode, encode

from vla3d_ros.errors import PolicyServerError, ShapeError
from vla3d_ros.policy.backends.remote_codec import pack, unpack

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.array([[1.5, -2.0]], np.float32),
    np.array([1.0, np.inf], np.float64),
    np.array([True, False]),
    np.array(7, np.int64),
    np.zeros((0, 3), np.float32),
    np.arange(12, dtype=np.int16).reshape(3, 4).T,
    np.array([1.0, 2.0], ">f8"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_another_implementation_reads_what_we_write(array):
    found = decode(pack({"a": {"b": array}}))["a"]["b"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_we_read_what_another_implementation_writes(array):
    found = unpack(encode({"a": array}))["a"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_scalars_numbers_and_texts_pass():
    message = {"step": np.int32(4), "prompt": "pick", "list": [1, 2.5, None, True]}
    assert unpack(pack(message)) == message


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["a"]), np.array([1j]), np.zeros(1, "i4,f4")])
def test_only_plain_numbers_are_sent(array):
    with pytest.raises(ShapeError, match="dtype"):
        pack({"a": array})


def test_other_objects_are_not_sent():
    with pytest.raises(ShapeError, match="can not send set"):
        pack({"a": {1}})


@pytest.mark.parametrize(
    "dtype", ["O", "|O", "|O8", "object", "<U4", "|V8", "i4,O", "<c8", "M8[ns]", "float32", 4, None]
)
def test_no_other_dtype_is_built_from_a_reply(dtype):
    reply = msgpack.packb({b"__ndarray__": True, b"data": b"12345678", b"dtype": dtype, b"shape": [1]})
    with pytest.raises(PolicyServerError, match="refused"):
        unpack(reply)


def test_a_scalar_of_an_object_is_refused():
    with pytest.raises(PolicyServerError, match="refused"):
        unpack(msgpack.packb({b"__npgeneric__": True, b"data": b"x", b"dtype": "|O"}))


def test_extensions_are_refused():
    with pytest.raises(PolicyServerError, match="nothing is unpickled"):
        unpack(msgpack.packb({"a": msgpack.ExtType(42, b"cos\nsystem\n")}))


@pytest.mark.parametrize("shape", [[1] * 9, [2.0], ["2"], None, [True], [2**62, 2**62]])
def test_only_a_shape_that_fits_is_taken(shape):
    reply = msgpack.packb({b"__ndarray__": True, b"data": b"1234", b"dtype": "<f4", b"shape": shape})
    with pytest.raises(PolicyServerError, match="array"):
        unpack(reply)
