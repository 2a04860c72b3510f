"""Where the numbers of a camera in a rig file come from: the optional `calibration:` section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

KINDS = ("intrinsics", "extrinsics")

_TEXTS = ("method", "board", "robot")
_NUMBERS = ("error_px", "error_mm", "sigma_mm", "sigma_deg")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRecord:
    """How one part of a camera's calibration was made.

    Errors are those of held-out views (root mean square); sigmas are standard deviations in the least certain
    direction; None where the method gives no such figure.
    """

    date: date
    method: str
    board: str
    views: int
    robot: str | None = None
    error_px: float | None = None
    error_mm: float | None = None
    sigma_mm: float | None = None
    sigma_deg: float | None = None
    forced: bool = False

    def to_yaml(self) -> dict[str, Any]:
        """Return plain values, without what is not known."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        if not self.forced:
            del values["forced"]
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def read_records(section: Any, where: str) -> tuple[dict[str, CalibrationRecord], list[str]]:
    """Read the `calibration:` section of one camera.

    Args:
        section: What the YAML parser returned; None if the camera has no such section.
        where: Prefix for messages.

    Returns:
        Records by kind ("intrinsics", "extrinsics"), and a sentence per problem.
    """
    if section is None:
        return {}, []
    if not isinstance(section, Mapping) or set(section) - set(KINDS):
        return {}, [f"{where}: 'calibration' is {section!r}; expected a mapping with keys among {list(KINDS)}"]
    records, problems = {}, []
    for kind, values in section.items():
        try:
            records[kind] = _record(values)
        except (TypeError, ValueError) as error:
            problems.append(f"{where}: 'calibration.{kind}' is {values!r}: {error}; run `vla3d calibrate` again")
    return records, problems


def _record(values: Any) -> CalibrationRecord:
    if not isinstance(values, Mapping):
        raise TypeError("expected a mapping")
    record = CalibrationRecord(**values)
    if type(record.date) is not date:
        raise ValueError("expected 'date' as YYYY-MM-DD")
    if isinstance(record.views, bool) or not isinstance(record.views, int):
        raise ValueError("expected 'views' as a whole number")
    for key in _TEXTS:
        if not isinstance(getattr(record, key), str) and not (key == "robot" and record.robot is None):
            raise ValueError(f"expected '{key}' as a text")
    for key in _NUMBERS:
        value = getattr(record, key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"expected '{key}' as a number")
    return record
