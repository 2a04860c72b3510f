"""`session.yaml` in every bag's folder: who recorded what, with what, how it went, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vla3d_ros.errors import RecordingError

SESSION_FILE = "session.yaml"
OUTCOMES = ("recording", "unjudged", "success", "failure", "discarded", "interrupted")


@dataclass(slots=True, kw_only=True)
class Session:
    """One episode's story.

    Attributes:
        episode: Name of the bag.
        outcome: One of `OUTCOMES`; "recording" while it is open, "interrupted" if the recorder was killed.
        instruction: What was to be done.
        operator: Who did it.
        note: What the operator remarked.
        started_ns: ROS clock at the start.
        continues: The episode that this one continues after the clock was set back; "" if none.
        problems_at_start: What the health gate found; empty if all was well, or if it did not look.
        is_forced: Whether it was started in spite of them.
        events: What happened on the way: `at_s` since the start, and a sentence.
        result: Messages, drops, seconds and bytes, when it is over.
        calibration: Intrinsics and extrinsics by camera, as they were on the wire at the start.
        provenance: Software, checkout, deployment, and the content of the files in force.
    """

    episode: str
    outcome: str = "recording"
    instruction: str = ""
    operator: str = ""
    note: str = ""
    started_ns: int = 0
    continues: str = ""
    problems_at_start: list[str] = field(default_factory=list)
    is_forced: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def add_event(self, stamp_ns: int, sentence: str) -> None:
        """Remember what happened."""
        self.events.append({"at_s": round((stamp_ns - self.started_ns) * 1e-9, 3), "what": sentence})

    def write(self, folder: Path) -> None:
        """Write it into a bag's folder, whole or not at all.

        Raises:
            RecordingError: If it can not be written.
        """
        text = yaml.dump(asdict(self), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
        fresh = folder / f".{SESSION_FILE}.new"
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(folder / SESSION_FILE)
        except OSError as error:
            raise RecordingError(f"{folder / SESSION_FILE} can not be written: {error}") from error


def read_session(folder: Path) -> Session | None:
    """Read the session of a bag; None if it has none, as bags of other recorders.

    Raises:
        RecordingError: If it is damaged.
    """
    path = folder / SESSION_FILE
    if not path.is_file():
        return None
    known = {entry.name for entry in fields(Session)}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Session(**{key: value for key, value in content.items() if key in known})
    except (OSError, yaml.YAMLError, TypeError, AttributeError) as error:
        raise RecordingError(f"{path} can not be read: {error}; remove it to go on without") from error


class _PlainDumper(yaml.SafeDumper):
    """Without anchors: people read these files."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
