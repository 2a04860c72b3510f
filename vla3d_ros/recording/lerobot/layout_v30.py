"""LeRobot v3.0: many episodes in a file, an index in Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vla3d_ros.recording.lerobot.layout import (
    FILES_PER_CHUNK,
    DatasetFacts,
    WrittenEpisode,
    common_info,
    plain_stats,
    write_json,
)
from vla3d_ros.recording.lerobot.statistics import aggregate
from vla3d_ros.recording.lerobot.tables import Place, RollingTable, import_parquet, task_table, write_table
from vla3d_ros.recording.lerobot.video_file import VideoFile

VERSION = "v3.0"

_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_DATA_PATH = f"data/{_FILE}.parquet"
_VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
_EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
_MB = 1_000_000


class LayoutV30:
    """Writes v3.0 into a folder."""

    def __init__(
        self,
        root: Path,
        facts: DatasetFacts,
        *,
        data_mb: int = 100,
        video_mb: int = 200,
        files_per_chunk: int = FILES_PER_CHUNK,
    ) -> None:
        """Prepare.

        Args:
            root: Folder of the dataset.
            facts: What is the same in every episode.
            data_mb: A table that would get larger ends before.
            video_mb: A video that is larger gets no further episode.
            files_per_chunk: Most files in one folder.
        """
        self._root, self._facts = root, facts
        self._limits_mb, self._files_per_chunk = (data_mb, video_mb), files_per_chunk
        self._data = RollingTable(root, _DATA_PATH, data_mb, files_per_chunk)
        self._places = {key: Place(files_per_chunk) for key in facts.videos}
        self._videos: dict[str, VideoFile] = {}
        self._rows: list[dict[str, Any]] = []
        self._episodes: list[WrittenEpisode] = []
        self._frames = 0

    def video(self, key: str, episode_index: int) -> VideoFile:
        """Return the open file of a camera, or a new one if it is large enough."""
        opened = self._videos.get(key)
        if opened is not None and opened.size_bytes > self._limits_mb[1] * _MB:
            opened.close()
            self._places[key].advance()
            opened = None
        if opened is None:
            height_px, width_px, _ = self._facts.features[key].shape
            place = self._places[key]
            name = _VIDEO_PATH.format(video_key=key, chunk_index=place.chunk, file_index=place.file)
            opened = self._videos[key] = VideoFile(self._root / name, self._facts.fps, height_px, width_px)
        return opened

    def add_frames(self, table: Any, episode_index: int) -> None:
        """Store an episode's table behind those before it."""
        chunk, file = self._data.write(table)
        self._rows.append({"data/chunk_index": chunk, "data/file_index": file})

    def add_episode(self, episode: WrittenEpisode) -> None:
        """Enter an episode whose frames are stored."""
        row = {"episode_index": episode.index, "tasks": list(episode.tasks), "length": episode.length}
        row |= self._rows[episode.index]
        row |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + episode.length}
        self._frames += episode.length
        for key, video in self._videos.items():
            place, end_s = self._places[key], video.frames / self._facts.fps
            row |= {
                f"videos/{key}/chunk_index": place.chunk,
                f"videos/{key}/file_index": place.file,
                f"videos/{key}/from_timestamp": (video.frames - episode.length) / self._facts.fps,
                f"videos/{key}/to_timestamp": end_s,
            }
        row |= {key: episode.facts[key] for key in ("outcome", "success", "source")}
        for feature, figures in plain_stats(episode.stats, has_quantiles=True).items():
            row |= {f"stats/{feature}/{name}": value for name, value in figures.items()}
        self._rows[episode.index] = row
        self._episodes.append(episode)

    def finish(self, tasks: tuple[str, ...]) -> None:
        """Close the files and write the index."""
        self._data.close()
        for video in self._videos.values():
            video.close()
        self._write_rows()
        write_table(task_table(tasks), self._root / "meta" / "tasks.parquet")
        together = plain_stats(aggregate([episode.stats for episode in self._episodes]), has_quantiles=True)
        write_json(together, self._root / "meta" / "stats.json")
        info = common_info(self._facts, VERSION, len(self._episodes), self._frames, len(tasks))
        info |= {
            "data_files_size_in_mb": self._limits_mb[0],
            "video_files_size_in_mb": self._limits_mb[1],
            "data_path": _DATA_PATH,
            "video_path": _VIDEO_PATH,
        }
        write_json(info, self._root / "meta" / "info.json")

    def _write_rows(self) -> None:
        pa, _ = import_parquet()
        rows = RollingTable(self._root, _EPISODES_PATH, self._limits_mb[0], self._files_per_chunk)
        for row in self._rows:
            chunk, file = rows.place_of(pa.Table.from_pylist([row]))
            row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
            rows.write(pa.Table.from_pylist([row]))
        rows.close()
