"""Arrays in msgpack, as openpi's policy servers speak it. Nothing is ever unpickled; only plain numbers are arrays.

An array travels as a map of the byte strings `__ndarray__` (true), `data` (C order), `dtype` (NumPy's short form, e.g.
`<f4`) and `shape`; a NumPy scalar as `__npgeneric__`, `data`, `dtype`. Everything else is ordinary msgpack.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from vla3d_ros.errors import DependencyError, PolicyServerError, ShapeError

_ARRAY, _SCALAR = b"__ndarray__", b"__npgeneric__"
# Bool, signed, unsigned and real numbers of known size; never objects, structures, text or complex numbers.
_PLAIN_DTYPE = re.compile(r"^(\|b1|[|<>=][iu][1248]|[|<>=]f[248])$")
_MOST_AXES = 8


def pack(message: Mapping[str, Any]) -> bytes:
    """Encode a request.

    Args:
        message: Nested mappings of text to arrays, numbers and texts.

    Raises:
        ShapeError: If it contains an array of something else than plain numbers, or another kind of object.
        DependencyError: If `msgpack` is not installed.
    """
    packed: bytes = load_msgpack().packb(message, default=_encode)
    return packed


def unpack(reply: bytes) -> Any:
    """Decode a reply; arrays are read-only copies.

    Raises:
        PolicyServerError: If it is not msgpack, or holds an array that is not plain numbers of its shape.
        DependencyError: If `msgpack` is not installed.
    """
    msgpack = load_msgpack()
    try:
        return msgpack.unpackb(reply, object_hook=_decode, ext_hook=_refuse_extension)
    except PolicyServerError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise PolicyServerError(
            f"reply of {len(reply)} bytes is not msgpack ({error or type(error).__name__})"
        ) from error


def load_msgpack() -> Any:
    """Return the `msgpack` module.

    Raises:
        DependencyError: If it is not installed.
    """
    try:
        return importlib.import_module("msgpack")
    except ImportError as error:
        raise DependencyError("a remote policy needs the package 'msgpack': 'pip install msgpack'") from error


def _encode(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, (np.ndarray, np.generic)):
        raise ShapeError(f"can not send {type(value).__name__}; expected arrays, numbers, texts and mappings of them")
    if not _PLAIN_DTYPE.match(value.dtype.str):
        raise ShapeError(f"can not send an array of dtype {value.dtype}; expected bool, integers or floats")
    if isinstance(value, np.ndarray):
        return {_ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": list(value.shape)}
    return {_SCALAR: True, b"data": value.item(), b"dtype": value.dtype.str}


def _decode(content: dict[Any, Any]) -> Any:
    if _ARRAY in content:
        return _decode_array(content)
    if _SCALAR in content:
        return _dtype(content).type(content.get(b"data"))
    return content


def _decode_array(content: dict[Any, Any]) -> Any:
    dtype = _dtype(content)
    shape, data = content.get(b"shape"), content.get(b"data")
    is_shape = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not is_shape or not isinstance(shape, list) or len(shape) > _MOST_AXES or not isinstance(data, bytes):
        raise PolicyServerError(f"array of shape {shape!r} with {type(data).__name__} data; expected sizes and bytes")
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(data) != expected:
        raise PolicyServerError(f"array {tuple(shape)} {dtype} has {len(data)} bytes; expected {expected}")
    return np.frombuffer(data, dtype).reshape(shape)


def _dtype(content: dict[Any, Any]) -> np.dtype[Any]:
    name = content.get(b"dtype")
    if isinstance(name, bytes):
        name = name.decode("ascii", errors="replace")
    if not isinstance(name, str) or not _PLAIN_DTYPE.match(name):
        raise PolicyServerError(f"array of dtype {name!r} refused: expected bool, integers or floats, e.g. '<f4'")
    return np.dtype(name)


def _refuse_extension(code: int, data: bytes) -> Any:
    raise PolicyServerError(f"msgpack extension {code} ({len(data)} bytes) refused: nothing is unpickled")
