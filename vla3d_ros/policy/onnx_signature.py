"""Reads what an ONNX file takes and gives, without running it and without any tensor library.

An ONNX file is a protocol-buffer message (onnx.proto3 of the ONNX project). Only the few fields that matter here are
looked at; everything else, weights included, is skipped by its length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vla3d_ros.errors import PackageError

# Field numbers of onnx.proto3.
_MODEL_OPSET, _MODEL_GRAPH = 8, 7
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION, _DIMENSION_VALUE = 1, 1
_INITIALIZER_NAME, _INITIALIZER_LOCATION, _EXTERNAL = 8, 14, 1
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    16: "bfloat16",
}  # fmt: skip
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10

Buffer = mmap.mmap | bytes
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSignature:
    """Type and shape of one input or output; None where a size is left open."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}".replace("None", "?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSignature:
    """What a graph takes and gives, its opset, and whether some of its weights lie in other files."""

    inputs: Mapping[str, TensorSignature]
    outputs: Mapping[str, TensorSignature]
    opset: int
    has_external_weights: bool


def read_signature(path: Path) -> GraphSignature:
    """Read an ONNX file's inputs and outputs.

    Raises:
        PackageError: If the file is not a whole ONNX model.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
                return _model(buffer)
        except (ValueError, IndexError, UnicodeDecodeError) as error:
            raise PackageError(f"{path.name} is not an ONNX model: {error}; export it again") from error


def _model(buffer: Buffer) -> GraphSignature:
    graph: Span | None = None
    opset = 0
    for number, span in _messages(buffer, (0, len(buffer))):
        if number == _MODEL_GRAPH:
            graph = span
        elif number == _MODEL_OPSET:
            domain = [text for field, text in _messages(buffer, span) if field == _OPSET_DOMAIN]
            if not domain or domain[0][0] == domain[0][1]:
                opset = next((value for field, value in _numbers(buffer, span) if field == _OPSET_VERSION), 0)
    if graph is None:
        raise ValueError("it has no graph")
    inputs: dict[str, TensorSignature] = {}
    outputs: dict[str, TensorSignature] = {}
    weights: set[str] = set()
    is_external = False
    for number, span in _messages(buffer, graph):
        if number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
            name, signature = _value(buffer, span)
            (inputs if number == _GRAPH_INPUT else outputs)[name] = signature
        elif number == _GRAPH_INITIALIZER:
            weights.add(_text(buffer, span, _INITIALIZER_NAME))
            is_external |= (_INITIALIZER_LOCATION, _EXTERNAL) in _numbers(buffer, span)
    real = {name: signature for name, signature in inputs.items() if name not in weights}
    return GraphSignature(inputs=real, outputs=outputs, opset=opset, has_external_weights=is_external)


def _value(buffer: Buffer, span: Span) -> tuple[str, TensorSignature]:
    name = _text(buffer, span, _VALUE_NAME)
    tensors = [
        tensor
        for field, kind in _messages(buffer, span)
        if field == _VALUE_TYPE
        for inner, tensor in _messages(buffer, kind)
        if inner == _TYPE_TENSOR
    ]
    if not tensors:
        return name, TensorSignature(dtype="no tensor", shape=())
    element = next((value for field, value in _numbers(buffer, tensors[0]) if field == _TENSOR_ELEMENT), 0)
    dimensions = [
        dimension
        for field, shape in _messages(buffer, tensors[0])
        if field == _TENSOR_SHAPE
        for inner, dimension in _messages(buffer, shape)
        if inner == _SHAPE_DIMENSION
    ]
    sizes = tuple(
        next((value for field, value in _numbers(buffer, dimension) if field == _DIMENSION_VALUE), None)
        for dimension in dimensions
    )
    return name, TensorSignature(dtype=_DTYPES.get(element, f"type {element}"), shape=sizes)


def _text(buffer: Buffer, span: Span, number: int) -> str:
    begin, end = next((inner for field, inner in _messages(buffer, span) if field == number), (0, 0))
    return bytes(buffer[begin:end]).decode("utf-8")


def _messages(buffer: Buffer, span: Span) -> Iterator[tuple[int, Span]]:
    """Yield the number and extent of every field that has bytes."""
    return ((number, value) for number, value in _fields(buffer, span) if isinstance(value, tuple))


def _numbers(buffer: Buffer, span: Span) -> list[tuple[int, int]]:
    """Return the number and value of every field that is an integer."""
    return [(number, value) for number, value in _fields(buffer, span) if isinstance(value, int)]


def _fields(buffer: Buffer, span: Span) -> Iterator[tuple[int, int | Span]]:
    at, end = span
    while at < end:
        key, at = _varint(buffer, at, end)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(buffer, at, end)
            yield number, value
        elif kind == _BYTES:
            length, at = _varint(buffer, at, end)
            if at + length > end:
                raise ValueError(f"field {number} ends {at + length - end} bytes after its message")
            yield number, (at, at + length)
            at += length
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"byte {at} is no field of a protocol buffer")


def _varint(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        if at + index >= end:
            raise ValueError("it ends in the middle of a number")
        byte = buffer[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError(f"byte {at} starts a number that never ends")
