"""Golden baselines: what a replay gave once, without its pictures, small enough for a repository."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros import __version__
from vla3d_ros.errors import RecordingError
from vla3d_ros.replay.chunk_record import ArmSteps, ChunkRecord
from vla3d_ros.replay.fingerprint import Fingerprint
from vla3d_ros.replay.offline import Replay

Float = NDArray[np.float64]

_FORMAT = "vla3d_ros golden replay, version 1"
_COLUMNS = 8  # position, quaternion, opening


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Golden:
    """Chunks with 32-bit numbers and digests of all their bits, by stamp; observations' digests and view counts."""

    fingerprint: Fingerprint
    chunks: Mapping[int, ChunkRecord]
    digests: Mapping[int, str]
    observations: Mapping[int, str]
    views: Mapping[int, int]
    verdicts: Mapping[str, int]


def write_golden(path: Path, replay: Replay, fingerprint: Fingerprint) -> int:
    """Write a baseline.

    Returns:
        Its size in bytes.

    Raises:
        RecordingError: If it can not be written, or the replay has no chunks.
    """
    if not replay.chunks:
        raise RecordingError(f"golden {path}: the replay gave no chunk; there is nothing to keep")
    content = {
        "format": _FORMAT,
        "made_by": f"vla3d_ros {__version__}",
        "policy_name": replay.policy,
        "fingerprint": fingerprint.to_json(),
        "verdicts": replay.verdicts,
        "chunks": [_packed(chunk.record, chunk.observation, chunk.views) for chunk in replay.chunks],
    }
    text = json.dumps(content, separators=(",", ":")) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"golden {path} can not be written: {error}; choose a writable folder") from error
    return len(text)


def read_golden(path: Path) -> Golden:
    """Read a baseline.

    Raises:
        RecordingError: If it is missing or not a golden replay.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        chunks = [_unpacked(packed) for packed in content["chunks"]]
        by_stamp = {int(packed["stamp_ns"]): packed for packed in content["chunks"]}
        return Golden(
            fingerprint=Fingerprint.from_json(content["fingerprint"]),
            chunks={chunk.stamp_ns: chunk for chunk in chunks},
            digests={stamp: packed["digest"] for stamp, packed in by_stamp.items()},
            observations={stamp: packed["observation"] for stamp, packed in by_stamp.items()},
            views={stamp: int(packed["views"]) for stamp, packed in by_stamp.items()},
            verdicts=content["verdicts"],
        )
    except (OSError, ValueError, KeyError, TypeError, zlib.error) as error:
        remedy = f"expected a file made by --record-golden ('{_FORMAT}')"
        raise RecordingError(f"golden {path} can not be read: {error!r}; {remedy}") from error


def _packed(record: ChunkRecord, observation: str, views: int) -> dict[str, Any]:
    arms = {}
    for arm, steps in record.arms.items():
        table = np.column_stack([steps.p_ee0_ee, steps.xyzw, steps.opening_m]).astype("<f4")
        arms[arm] = base64.b64encode(zlib.compress(table.T.tobytes(), 9)).decode()
    return {
        "stamp_ns": record.stamp_ns,
        "dt_ns": record.dt_ns,
        "digest": record.digest,
        "observation": observation,
        "views": views,
        "arms": arms,
    }


def _unpacked(packed: Mapping[str, Any]) -> ChunkRecord:
    arms = {}
    for arm, text in packed["arms"].items():
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f4").astype(np.float64)
        table = numbers.reshape(_COLUMNS, -1).T
        arms[arm] = ArmSteps(p_ee0_ee=table[:, :3].copy(), xyzw=table[:, 3:7].copy(), opening_m=table[:, 7].copy())
    return ChunkRecord(stamp_ns=int(packed["stamp_ns"]), dt_ns=int(packed["dt_ns"]), arms=arms)
