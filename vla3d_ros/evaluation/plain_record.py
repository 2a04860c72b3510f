"""Records as plain values, and back: what is unknown or missing is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from vla3d_ros.errors import RecordingError

Record = TypeVar("Record")


def read_record(kind: type[Record], values: Mapping[str, Any], what: str) -> Record:
    """Build a dataclass from plain values.

    Args:
        kind: The dataclass.
        values: Its fields by name.
        what: What it is called in messages.

    Raises:
        RecordingError: If a field is unknown or missing.
    """
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise RecordingError(f"{what} has unknown fields {unknown}; expected {sorted(known)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise RecordingError(f"{what} of fields {sorted(values)} is incomplete: {error}") from error
