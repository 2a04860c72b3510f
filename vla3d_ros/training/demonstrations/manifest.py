"""The list of what is in a folder of demonstrations: what it was made of, and every episode that was tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vla3d_ros.errors import RecordingError, join_problems
from vla3d_ros.training.demonstrations.make_episode import EpisodeEntry

MANIFEST = "manifest.json"
_SCHEMA = "vla3d-demonstrations/1"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DemonstrationManifest:
    """Of a folder.

    Attributes:
        settings: As in the settings file.
        settings_digest: Over the settings but the number of episodes.
        inputs: Digest of every other file that had a say, by name.
        versions: Of this package and of libraries.
        episodes: By rising number.
    """

    settings: Mapping[str, Any]
    settings_digest: str
    inputs: Mapping[str, str]
    versions: Mapping[str, str]
    episodes: tuple[EpisodeEntry, ...]

    @property
    def kept(self) -> tuple[EpisodeEntry, ...]:
        """Episodes with samples."""
        return tuple(entry for entry in self.episodes if entry.file)

    def content(self) -> str:
        """Return the file's text: the same for the same demonstrations."""
        return json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n"


def write_manifest(folder: Path, manifest: DemonstrationManifest) -> None:
    """Write the manifest in one piece."""
    path = folder / MANIFEST
    unfinished = path.with_suffix(".part")
    unfinished.write_text(manifest.content(), encoding="utf-8")
    unfinished.replace(path)


def read_manifest(folder: Path) -> DemonstrationManifest:
    """Read a folder's manifest.

    Raises:
        RecordingError: If there is none, or it is something else.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RecordingError(f"no demonstrations in {folder}: there is no {MANIFEST}; make some first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != _SCHEMA:
            raise ValueError(f"expected schema '{_SCHEMA}'")
        known = {entry.name for entry in fields(EpisodeEntry)}
        episodes = tuple(
            EpisodeEntry(**{key: value for key, value in entry.items() if key in known})
            for entry in content.pop("episodes")
        )
        return DemonstrationManifest(**content, episodes=episodes)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{path} is not a manifest of demonstrations: {error}") from error


def manifest_sha256(folder: Path) -> str:
    """Return the digest of a folder's manifest: it covers every episode by its own."""
    read_manifest(folder)
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def check_files(folder: Path, manifest: DemonstrationManifest) -> None:
    """Compare every episode's file with the manifest.

    Raises:
        RecordingError: Names every file that is missing or different.
    """
    problems = []
    for entry in manifest.kept:
        path = folder / entry.file
        if not path.is_file():
            problems.append(f"{entry.file} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
            problems.append(f"{entry.file} is not what was made")
    if problems:
        raise RecordingError(join_problems(f"demonstrations in {folder}", problems))
