"""Planned episodes, written as one dataset: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vla3d_ros.errors import ConfigError, RecordingError, join_problems
from vla3d_ros.recording.lerobot.captures import depth_png, pictures
from vla3d_ros.recording.lerobot.features import INDEX_FEATURES, VIDEO
from vla3d_ros.recording.lerobot.layout import DatasetFacts, Layout, WrittenEpisode, write_json, write_json_lines
from vla3d_ros.recording.lerobot.layout_v21 import VERSION as V21
from vla3d_ros.recording.lerobot.layout_v21 import LayoutV21
from vla3d_ros.recording.lerobot.layout_v30 import VERSION as V30
from vla3d_ros.recording.lerobot.layout_v30 import LayoutV30
from vla3d_ros.recording.lerobot.planning import EpisodePlan
from vla3d_ros.recording.lerobot.settings import ExportSettings
from vla3d_ros.recording.lerobot.statistics import PixelStats, Stats, vector_stats
from vla3d_ros.recording.lerobot.tables import frame_table
from vla3d_ros.recording.lerobot.video_file import VideoFile

FORMATS = (V30, V21)

_RGB_LEVELS, _DEPTH_LEVELS = 256, 65536
_RULES = {
    "frames": "timestamp = frame_index / fps; capture.frame_stamp_ns is the instant on the recording's clock",
    "pictures": "the newest capture not after the frame; capture.<camera>.offset_s = capture - frame",
    "state": "measured, interpolated at the frame: poses along the screw, joints and gripper linearly",
    "targets": "commanded for one period after the frame by the newest chunk received by then, between its steps "
    "along the screw; absolute: in the base frame; relative: to the measured end effector at the frame",
    "vectors": "per arm x y z in m, first and second column of the rotation matrix, gripper 0 closed to 1 open",
    "T_base_camera": "4x4 row by row, of the optical frame when the picture was taken; pictures are not rectified",
    "depth": "16-bit PNG in millimetres, 0 where there is no return",
}


@dataclass(slots=True)
class ExportSummary:
    """What was written: the dataset's folder, episodes, frames, tasks in the order of their numbers."""

    root: Path
    episodes: int = 0
    frames: int = 0
    tasks: dict[str, int] = field(default_factory=dict)


def export_dataset(
    plans: Sequence[EpisodePlan],
    root: Path,
    version: str,
    robot: str,
    settings: ExportSettings,
    on_frames: Callable[[int], None] = lambda count: None,
) -> ExportSummary:
    """Write a dataset in one of the `FORMATS`; the rest is as for `write_episodes`.

    Raises:
        ConfigError: If the format is unknown, or episodes do not fit each other.
        RecordingError: If the folder exists or can not be written, or a picture can not be decoded.
    """
    layouts: dict[str, Callable[[Path, DatasetFacts], Layout]] = {V30: LayoutV30, V21: LayoutV21}
    if version not in layouts:
        raise ConfigError(f"format '{version}' is not known; expected one of {FORMATS}")
    return write_episodes(plans, root, layouts[version], robot, settings, on_frames)


def write_episodes(
    plans: Sequence[EpisodePlan],
    root: Path,
    make_layout: Callable[[Path, DatasetFacts], Layout],
    robot: str,
    settings: ExportSettings,
    on_frames: Callable[[int], None] = lambda count: None,
) -> ExportSummary:
    """Write a dataset.

    Args:
        plans: Its episodes.
        root: New folder of the dataset; it is `<root>.partial` until it is whole.
        make_layout: Where things are put, for a folder.
        robot: What robot it is of.
        settings: With which they were planned.
        on_frames: Told how many pictures were encoded since it was told before.

    Raises:
        ConfigError: If episodes do not fit each other.
        RecordingError: If the folder exists or can not be written, or a picture can not be decoded.
    """
    partial = _partial(root)
    _require_fit(plans)
    require_new(root)
    facts = DatasetFacts(robot=robot, fps=settings.fps, features={**plans[0].features, **INDEX_FEATURES})
    layout, summary = make_layout(partial, facts), ExportSummary(root=root)
    try:
        partial.mkdir(parents=True)
        for plan in plans:
            layout.add_episode(_write_episode(plan, layout, facts, summary, on_frames))
        layout.finish(tuple(summary.tasks))
        rules = {"action": "targets.relative" if settings.is_relative else "targets.absolute", "rules": _RULES}
        write_json(rules, partial / "meta" / "vla3d.json")
        told: list[Any] = [{"episode_index": index} | dict(plan.facts) for index, plan in enumerate(plans)]
        write_json_lines(told, partial / "meta" / "vla3d_episodes.jsonl")
        partial.rename(root)
    except OSError as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"dataset {root} can not be written: {error}; what there is lies in {partial}") from error
    return summary


def require_new(root: Path) -> None:
    """Refuse a folder that exists, or what is left of an export that broke off.

    Raises:
        RecordingError: Names what is in the way.
    """
    if existing := [str(path) for path in (root, _partial(root)) if path.exists()]:
        raise RecordingError(f"{', '.join(existing)} exists already; choose another folder or move it away")


def _partial(root: Path) -> Path:
    return root.with_name(f"{root.name}.partial")


def _require_fit(plans: Sequence[EpisodePlan]) -> None:
    if not plans:
        raise ConfigError("no episode to export; record one, or include others with --include-failures")
    first = plans[0]
    problems = []
    for plan in plans[1:]:
        names = sorted({*first.features, *plan.features})
        if odd := [name for name in names if first.features.get(name) != plan.features.get(name)]:
            problems.append(f"{plan.path} differs from {first.path} in {odd}; choose cameras that all have, --cameras")
    if problems:
        raise ConfigError(join_problems("episodes do not fit into one dataset", problems))


def _write_episode(
    plan: EpisodePlan,
    layout: Layout,
    facts: DatasetFacts,
    summary: ExportSummary,
    on_frames: Callable[[int], None],
) -> WrittenEpisode:
    index, length = summary.episodes, len(plan.frames_ns)
    videos = {key: layout.video(key, index) for key in facts.videos}
    depths, stats = _write_pictures(plan, videos, on_frames)
    for task in plan.tasks:
        summary.tasks.setdefault(task, len(summary.tasks))
    frame_index = np.arange(length, dtype=np.int64)
    columns: dict[str, Any] = dict(plan.columns) | {
        "timestamp": (frame_index / facts.fps).astype(np.float32),
        "frame_index": frame_index,
        "episode_index": np.full(length, index, dtype=np.int64),
        "index": frame_index + summary.frames,
        "task_index": np.array([summary.tasks[task] for task in plan.tasks], dtype=np.int64),
    }
    stats |= {name: vector_stats(values) for name, values in columns.items()}
    layout.add_frames(frame_table(columns | depths, facts.features), index)
    summary.episodes, summary.frames = index + 1, summary.frames + length
    tasks = tuple(dict.fromkeys(plan.tasks))
    return WrittenEpisode(index=index, length=length, tasks=tasks, stats=stats, facts=plan.facts)


def _write_pictures(
    plan: EpisodePlan, videos: Mapping[str, VideoFile], on_frames: Callable[[int], None]
) -> tuple[dict[str, list[bytes]], dict[str, Stats]]:
    depths: dict[str, list[bytes]] = {key: [] for key in plan.shown if plan.features[key].dtype != VIDEO}
    seen = {
        key: PixelStats(1, _DEPTH_LEVELS, 1.0) if key in depths else PixelStats(3, _RGB_LEVELS, 255.0)
        for key in plan.shown
    }
    for picture in pictures(plan.path, plan.shown):
        if picture.key in depths:
            depths[picture.key] += [depth_png(picture.pixels)] * picture.count
        else:
            videos[picture.key].write(picture.pixels, picture.count)
        seen[picture.key].add(picture.pixels, picture.count)
        on_frames(picture.count)
    return depths, {key: pixels.stats() for key, pixels in seen.items()}
