"""The figures of a run, one line of JSON per step or validation; cut back to the checkpoint when a run is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line.

    Attributes:
        step: Steps taken when it was written.
        stage: Name of the stage.
        kind: `training` (figures of one step) or `validation`.
        figures: By name.
    """

    step: int
    stage: str
    kind: str
    figures: Mapping[str, float]


class Journal:
    """Appends to a file; a line is either whole or, after a crash, the last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, entry: Entry) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def entries(self) -> Iterator[Entry]:
        """Yield the whole lines in order."""
        if not self._path.is_file():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield Entry(**json.loads(line))

    def cut_after(self, step: int) -> None:
        """Forget everything later than a step: it will happen again."""
        kept = [json.dumps(asdict(entry)) + "\n" for entry in self.entries() if entry.step <= step]
        draft = self._path.with_suffix(".draft")
        draft.write_text("".join(kept), encoding="utf-8")
        draft.replace(self._path)
