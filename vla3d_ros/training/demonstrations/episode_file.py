"""One episode's samples in one file: a NumPy archive without pickled objects, the same bytes for the same content."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import RecordingError, join_problems

Float32 = NDArray[np.float32]
Rgb = NDArray[np.uint8]

DEPTH_PER_M = 1000.0
"""Stored depth is in steps of 1 mm, up to 65 m, as depth cameras give it."""
_SCHEMA = "vla3d-demonstration/1"
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 6)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Episode:
    """N samples of C cameras, R arms, K steps and O objects with S surface points each.

    Attributes:
        instruction: What was asked for.
        cameras: Names.
        arms: Names.
        objects: Names; none where nobody knows the truth.
        object_roles: (O,) int64, see `training.samples`.
        surfaces: (O, S, 3) float32 m, each in its object's own frame.
        stamps_ns: (N,) int64, when the pictures were taken.
        phases: (N,) text, what the teacher was doing.
        disturbed: (N,) bool, whether the arm was pushed off the teacher's way.
        pictures: (N * C,) PNG files, RGB; empty where a view is missing.
        depths: (N * C,) PNG files, 16 bits, see `DEPTH_PER_M`, 0 for none; empty without depth.
        numbers: (N * C,) PNG files, 8 bits: 0, or object i + 1; empty without truth.
        K: (N, C, 3, 3) float32 px, of these pictures.
        T_base_camera: (N, C, 4, 4) float32 m.
        q: (N, R, J) float32 rad, NaN beyond an arm's joints and where its state is missing.
        openings: (N, R) float32.
        T_base_ee: (N, R, 4, 4) float32 m.
        actions: (N, K, R, 10) float32, [p m, rot6d, opening] of T_ee0_ei.
        T_base_object: (N, O, 4, 4) float32 m.
        seen: (N, C, O) float32, share of an object's outline that is seen.
    """

    instruction: str
    cameras: tuple[str, ...]
    arms: tuple[str, ...]
    objects: tuple[str, ...]
    object_roles: NDArray[np.int64]
    surfaces: Float32
    stamps_ns: NDArray[np.int64]
    phases: tuple[str, ...]
    disturbed: NDArray[np.bool_]
    pictures: tuple[bytes, ...]
    depths: tuple[bytes, ...]
    numbers: tuple[bytes, ...]
    K: Float32
    T_base_camera: Float32
    q: Float32
    openings: Float32
    T_base_ee: Float32
    actions: Float32
    T_base_object: Float32
    seen: Float32

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def size_bytes(self) -> int:
        """Memory that the pictures take."""
        return sum(len(png) for files in (self.pictures, self.depths, self.numbers) for png in files)


_NAMES = {"cameras", "arms", "objects", "phases"}
_FILES = {"pictures", "depths", "numbers"}


def episode_bytes(episode: Episode) -> bytes:
    """Return the content of an episode's file."""
    arrays: dict[str, NDArray[Any]] = {"schema": np.array(_SCHEMA), "instruction": np.array(episode.instruction)}
    for entry in fields(Episode):
        value = getattr(episode, entry.name)
        if entry.name in _FILES:
            arrays[entry.name] = np.frombuffer(b"".join(value), np.uint8)
            arrays[f"{entry.name}_ends"] = np.cumsum([len(png) for png in value], dtype=np.int64)
        elif entry.name in _NAMES:
            arrays[entry.name] = np.array(value, dtype=np.str_)
        elif entry.name != "instruction":
            arrays[entry.name] = value
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def read_episode(path: Path) -> Episode:
    """Read an episode's file.

    Raises:
        RecordingError: If it is missing, damaged, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive.items())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RecordingError(f"demonstration {path} can not be read: {error}") from error
    expected = {entry.name for entry in fields(Episode)} | {f"{name}_ends" for name in _FILES}
    problems = [f"'{name}' is missing" for name in sorted(expected - arrays.keys())]
    if str(arrays.get("schema")) != _SCHEMA:
        problems.insert(0, f"its schema is '{arrays.get('schema')}'; expected '{_SCHEMA}'")
    if problems:
        raise RecordingError(join_problems(f"demonstration {path}", problems))
    values: dict[str, Any] = {entry.name: arrays[entry.name] for entry in fields(Episode)}
    values |= {name: tuple(map(str, values[name])) for name in _NAMES}
    values |= {name: _split(values[name], arrays[f"{name}_ends"]) for name in _FILES}
    return Episode(**values | {"instruction": str(values["instruction"])})


def _split(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[bytes, ...]:
    content = joined.tobytes()
    return tuple(content[start:end] for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=False))


# ------------------------------------------------------------------------------------------------- pictures


def pack_picture(rgb: Rgb) -> bytes:
    """Return (H, W, 3) RGB as a PNG file: nothing is lost."""
    return _png(rgb[:, :, ::-1])


def pack_depth(depth_m: Float32) -> bytes:
    """Return depth (H, W) m, 0.0 or NaN for none, as a PNG file of 16 bits; what is too far becomes none."""
    steps = np.round(np.nan_to_num(depth_m) * DEPTH_PER_M)
    return _png(np.where(steps > np.iinfo(np.uint16).max, 0, steps).astype(np.uint16))


def pack_numbers(objects: NDArray[np.uint8]) -> bytes:
    """Return object numbers (H, W) as a PNG file."""
    return _png(objects)


def unpack_picture(png: bytes) -> Rgb:
    """Return what was packed, RGB."""
    return np.ascontiguousarray(_pixels(png, cv2.IMREAD_COLOR)[:, :, ::-1])


def unpack_depth(png: bytes) -> Float32:
    """Return depth (H, W) m, 0.0 for none."""
    return (_pixels(png, cv2.IMREAD_UNCHANGED) / DEPTH_PER_M).astype(np.float32)


def unpack_numbers(png: bytes) -> NDArray[np.uint8]:
    """Return object numbers (H, W)."""
    return _pixels(png, cv2.IMREAD_UNCHANGED)


def _png(pixels: NDArray[Any]) -> bytes:
    is_done, content = cv2.imencode(".png", np.ascontiguousarray(pixels), _PNG)
    if not is_done:
        raise RecordingError(f"a picture of shape {pixels.shape}, {pixels.dtype} can not be packed")
    return bytes(content.tobytes())


def _pixels(png: bytes, flags: int) -> NDArray[Any]:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), flags)
    if pixels is None:
        raise RecordingError(f"a packed picture of {len(png)} bytes is damaged")
    return np.asarray(pixels)
