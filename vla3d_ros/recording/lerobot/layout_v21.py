"""LeRobot v2.1: a file for every episode and camera, an index in JSON; openpi and GR00T train from it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from vla3d_ros.recording.lerobot import features as names
from vla3d_ros.recording.lerobot.layout import (
    FILES_PER_CHUNK,
    DatasetFacts,
    WrittenEpisode,
    common_info,
    plain_stats,
    write_json,
    write_json_lines,
)
from vla3d_ros.recording.lerobot.tables import write_table
from vla3d_ros.recording.lerobot.video_file import VideoFile

VERSION = "v2.1"

_DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


class LayoutV21:
    """Writes v2.1 into a folder."""

    def __init__(self, root: Path, facts: DatasetFacts) -> None:
        """Prepare; root is the folder of the dataset."""
        self._root, self._facts = root, facts
        self._open: list[VideoFile] = []
        self._episodes: list[WrittenEpisode] = []

    def video(self, key: str, episode_index: int) -> VideoFile:
        """Return a new file."""
        height_px, width_px, _ = self._facts.features[key].shape
        chunk = episode_index // FILES_PER_CHUNK
        name = _VIDEO_PATH.format(episode_chunk=chunk, video_key=key, episode_index=episode_index)
        self._open.append(VideoFile(self._root / name, self._facts.fps, height_px, width_px))
        return self._open[-1]

    def add_frames(self, table: Any, episode_index: int) -> None:
        """Store an episode's table in a file of its own."""
        chunk = episode_index // FILES_PER_CHUNK
        write_table(table, self._root / _DATA_PATH.format(episode_chunk=chunk, episode_index=episode_index))

    def add_episode(self, episode: WrittenEpisode) -> None:
        """Close the episode's videos and enter it."""
        for video in self._open:
            video.close()
        self._open = []
        self._episodes.append(episode)

    def finish(self, tasks: tuple[str, ...]) -> None:
        """Write the index."""
        meta, episodes = self._root / "meta", self._episodes
        told = ("outcome", "success", "source")
        entries: list[Any] = [
            {"episode_index": e.index, "tasks": list(e.tasks), "length": e.length} | {key: e.facts[key] for key in told}
            for e in episodes
        ]
        write_json_lines(entries, meta / "episodes.jsonl")
        stats = [{"episode_index": e.index, "stats": plain_stats(e.stats, has_quantiles=False)} for e in episodes]
        write_json_lines(stats, meta / "episodes_stats.jsonl")
        write_json_lines([{"task_index": i, "task": task} for i, task in enumerate(tasks)], meta / "tasks.jsonl")
        frames = sum(episode.length for episode in episodes)
        info = common_info(self._facts, VERSION, len(episodes), frames, len(tasks))
        info |= {
            "total_videos": len(episodes) * len(self._facts.videos),
            "total_chunks": -(-len(episodes) // FILES_PER_CHUNK),
            "data_path": _DATA_PATH,
            "video_path": _VIDEO_PATH,
        }
        write_json(info, meta / "info.json")
        write_json(self._modality(), meta / "modality.json")

    def _modality(self) -> dict[str, Any]:
        """Which part of a vector is what, for GR00T."""
        features = self._facts.features
        return {
            "state": _parts(features[names.STATE].names or ()),
            "action": _parts(features[names.ACTION].names or ()),
            "video": {key.rpartition(".")[2]: {"original_key": key} for key in self._facts.videos},
            "annotation": {"human.task_description": {"original_key": "task_index"}},
        }


def _parts(elements: tuple[str, ...]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, group in groupby(enumerate(elements), key=lambda entry: _part(entry[1])):
        indices = [index for index, _ in group]
        found[name] = {"start": indices[0], "end": indices[-1] + 1}
    return found


def _part(element: str) -> str:
    """The group of an element `<arm>.<name>`: position, rotation, gripper, joints."""
    arm, _, name = element.partition(".")
    groups = {"gripper": "gripper"} | dict.fromkeys("xyz", "position")
    groups |= dict.fromkeys(("r11", "r21", "r31", "r12", "r22", "r32"), "rotation")
    return f"{arm}_{groups.get(name, 'joints')}"
