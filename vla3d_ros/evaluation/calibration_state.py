"""Which calibration was in force during a trial: file and hash, how well and how long ago it was made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from vla3d_ros.camera.rig import CameraSpec, load_rig
from vla3d_ros.camera.rig_check import RENDERED_SOURCE, RigCheckLimits
from vla3d_ros.errors import ConfigError
from vla3d_ros.evaluation.plain_record import read_record

_DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraCalibration:
    """One camera's intrinsics or extrinsics.

    `age_days` on the day of the trial. Errors are root mean squares over held-out views, None where the method gives
    none; `is_forced`: it was worse than its threshold and taken nevertheless. Without a record, `method` is empty.
    """

    camera: str
    kind: str
    method: str = ""
    made_on: str = ""
    age_days: int | None = None
    error_px: float | None = None
    error_mm: float | None = None
    is_forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationState:
    """What the cameras were told when the graph started, as it stood at a trial.

    Attributes:
        file: Name of the rig file.
        digest: First twelve hex digits of its SHA-256.
        is_exact: The twin renders every camera with the file's numbers.
        is_file_changed: The file has been edited since the cameras read it; they still use what they read.
        allowed_days: Older calibrations are stale.
        cameras: One entry for intrinsics and one for extrinsics of every camera that is not rendered.
    """

    file: str
    digest: str
    is_exact: bool
    is_file_changed: bool
    allowed_days: int
    cameras: tuple[CameraCalibration, ...]

    @property
    def is_stale(self) -> bool:
        """Whether a calibration was too old, or its file no longer what the cameras use."""
        return self.is_file_changed or any((c.age_days or 0) > self.allowed_days for c in self.cameras)

    @property
    def age_days(self) -> int | None:
        """Age of the oldest calibration; None where none is recorded."""
        return max((c.age_days for c in self.cameras if c.age_days is not None), default=None)

    @property
    def error_px(self) -> float | None:
        """The largest residual in pixels; None where none is recorded."""
        return max((c.error_px for c in self.cameras if c.error_px is not None), default=None)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it, a few words each."""
        old = sorted({c.camera for c in self.cameras if (c.age_days or 0) > self.allowed_days})
        bare = sorted({c.camera for c in self.cameras if not c.method})
        forced = sorted({c.camera for c in self.cameras if c.is_forced})
        found = [f"older than {self.allowed_days} days: {', '.join(old)}"] if old else []
        found += [f"no record: {', '.join(bare)}"] if bare else []
        found += [f"worse than its threshold, forced: {', '.join(forced)}"] if forced else []
        return (*found, "the rig file was edited after the cameras read it") if self.is_file_changed else tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps` takes, with what follows from them."""
        return asdict(self) | {"cameras": [asdict(camera) for camera in self.cameras], "is_stale": self.is_stale}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CalibrationState:
        """Read what `to_json` wrote.

        Raises:
            RecordingError: If a field is unknown or missing.
        """
        plain = {key: value for key, value in values.items() if key != "is_stale"}
        cameras = tuple(read_record(CameraCalibration, entry, "calibration") for entry in plain.pop("cameras", ()))
        return read_record(cls, plain | {"cameras": cameras}, "calibration state")


class CalibrationWatch:
    """Reads the rig file when the graph starts, and looks at every trial whether it is still the same."""

    def __init__(
        self, rig_file: Path, today: Callable[[], date], *, allowed_days: int = RigCheckLimits().age_days
    ) -> None:
        """Read the file.

        Args:
            rig_file: `config/cameras/<rig>.yaml`.
            today: Returns the date.
            allowed_days: From which age on a calibration is stale.

        Raises:
            ConfigError: If the file is missing or wrong.
        """
        self._file, self._today = rig_file, today
        rig = load_rig(rig_file)
        self._made = tuple(
            (entry, record_date)
            for spec in rig.cameras
            if spec.source != RENDERED_SOURCE
            for entry, record_date in _entries(spec)
        )
        self._state = CalibrationState(
            file=rig_file.name,
            digest=_digest(rig_file),
            is_exact=all(spec.source == RENDERED_SOURCE for spec in rig.cameras),
            is_file_changed=False,
            allowed_days=allowed_days,
            cameras=(),
        )

    def state(self) -> CalibrationState:
        """Return what is in force now."""
        today = self._today()
        cameras = tuple(
            entry if made_on is None else replace(entry, age_days=(today - made_on).days)
            for entry, made_on in self._made
        )
        return replace(self._state, cameras=cameras, is_file_changed=_is_changed(self._file, self._state.digest))


def _entries(spec: CameraSpec) -> list[tuple[CameraCalibration, date | None]]:
    found: list[tuple[CameraCalibration, date | None]] = []
    for kind in ("intrinsics", "extrinsics"):
        record = spec.calibration.get(kind)
        if record is None:
            found.append((CameraCalibration(camera=spec.name, kind=kind), None))
            continue
        entry = CameraCalibration(
            camera=spec.name,
            kind=kind,
            method=record.method,
            made_on=record.date.isoformat(),
            error_px=record.error_px,
            error_mm=record.error_mm,
            is_forced=record.forced,
        )
        found.append((entry, record.date))
    return found


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGEST_LENGTH]
    except OSError as error:
        raise ConfigError(f"rig file {path} can not be read: {error}") from error


def _is_changed(path: Path, digest: str) -> bool:
    """A file that is gone has changed, too."""
    try:
        return _digest(path) != digest
    except ConfigError:
        return True
