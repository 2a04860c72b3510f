"""Datasets read back with pyarrow and PyAV, by the rules of the format, not by those of the exporter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq


class Dataset:
    """A dataset of either version."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = json.loads((root / "meta" / "info.json").read_text())
        self.is_v30 = self.info["codebase_version"] == "v3.0"
        self.episodes = self._rows("meta/episodes/*/*.parquet") if self.is_v30 else self._lines("episodes.jsonl")
        tasks = self._rows("meta/tasks.parquet") if self.is_v30 else self._lines("tasks.jsonl")
        self.tasks = {row["task_index"]: row["task"] for row in tasks}
        self.facts = self._lines("vla3d_episodes.jsonl")

    def column(self, name: str, episode: int | None = None) -> np.ndarray:
        rows = [row for row in self.frames() if episode in (None, row["episode_index"])]
        return np.array([row[name] for row in rows])

    def frames(self) -> list[dict[str, Any]]:
        return self._rows("data/*/*.parquet")

    def video(self, key: str, episode: int) -> np.ndarray:
        """Decode the frames of one episode, (N, H, W, 3), found by their timestamps."""
        row, fps = self.episodes[episode], self.info["fps"]
        if self.is_v30:
            place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
            start_s = row[f"videos/{key}/from_timestamp"]
        else:
            place, start_s = {"episode_chunk": 0, "episode_index": episode}, 0.0
        path = self.root / self.info["video_path"].format(video_key=key, **place)
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            frames = {float(frame.time): frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)}
        times = np.array(sorted(frames))
        wanted = start_s + np.arange(row["length"]) / fps
        found = [times[np.argmin(np.abs(times - t))] for t in wanted]
        assert np.abs(np.array(found) - wanted).max() < 1e-4
        return np.stack([frames[t] for t in found])

    def stats(self, episode: int | None = None) -> dict[str, Any]:
        """Statistics of an episode or of all."""
        if episode is None:
            return json.loads((self.root / "meta" / "stats.json").read_text())
        if not self.is_v30:
            return self._lines("episodes_stats.jsonl")[episode]["stats"]
        found: dict[str, Any] = {}
        for key, value in self.episodes[episode].items():
            if key.startswith("stats/"):
                _, feature, name = key.split("/")
                found.setdefault(feature, {})[name] = value
        return found

    def _rows(self, pattern: str) -> list[dict[str, Any]]:
        return [row for path in sorted(self.root.glob(pattern)) for row in pq.read_table(path).to_pylist()]

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "meta" / name).read_text().splitlines()]
