"""What both formats of a dataset have in common, and what an episode hands to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vla3d_ros.errors import RecordingError
from vla3d_ros.recording.lerobot.features import VIDEO, Feature
from vla3d_ros.recording.lerobot.statistics import Stats
from vla3d_ros.recording.lerobot.video_file import VideoFile

FILES_PER_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """What is the same in every episode."""

    robot: str
    fps: int
    features: Mapping[str, Feature]

    @property
    def videos(self) -> dict[str, Feature]:
        """The features that are videos."""
        return {name: feature for name, feature in self.features.items() if feature.dtype == VIDEO}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WrittenEpisode:
    """An episode whose frames are written, for the index of the dataset.

    Attributes:
        index: From 0 on.
        length: Frames.
        tasks: Sentences, each once.
        stats: By feature.
        facts: Source, outcome, calibration.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    stats: Mapping[str, Stats]
    facts: Mapping[str, Any]


class Layout(Protocol):
    """Where a format puts things. Per episode: `video` for every camera, `add_frames`, `add_episode`."""

    def video(self, key: str, episode_index: int) -> VideoFile:
        """Return the file that takes the next episode's frames of a camera."""

    def add_frames(self, table: Any, episode_index: int) -> None:
        """Store an episode's table of numbers."""

    def add_episode(self, episode: WrittenEpisode) -> None:
        """Enter an episode whose frames are stored."""

    def finish(self, tasks: tuple[str, ...]) -> None:
        """Write the index; tasks in the order of their numbers."""


def common_info(facts: DatasetFacts, version: str, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
    """Return what info.json says in both formats."""
    return {
        "codebase_version": version,
        "robot_type": facts.robot,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": FILES_PER_CHUNK,
        "fps": facts.fps,
        "splits": {"train": f"0:{episodes}"},
        "features": {name: feature.to_mapping(facts.fps) for name, feature in facts.features.items()},
    }


def plain_stats(stats: Mapping[str, Stats], *, has_quantiles: bool) -> dict[str, dict[str, Any]]:
    """Return statistics as lists, for JSON; the older format knows no quantiles."""
    return {
        name: {key: value.tolist() for key, value in figures.items() if has_quantiles or not key.startswith("q")}
        for name, figures in stats.items()
    }


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file; its folder is made.

    Raises:
        RecordingError: If it can not be written.
    """
    _write_text(json.dumps(content, indent=4, ensure_ascii=False), path)


def write_json_lines(entries: list[Any], path: Path) -> None:
    """Write one JSON value a line; the folder is made.

    Raises:
        RecordingError: If it can not be written.
    """
    _write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), path)


def _write_text(text: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{path} can not be written: {error}") from error
