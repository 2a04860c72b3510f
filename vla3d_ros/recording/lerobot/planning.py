"""What an episode will look like in a dataset: every number of every frame, and which picture each frame shows.

Nothing is written before all episodes are planned; one that can not be exported is refused with all its reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.errors import RecordingError, join_problems
from vla3d_ros.recording.lerobot import features as names
from vla3d_ros.recording.lerobot.features import Feature
from vla3d_ros.recording.lerobot.frame_columns import camera_columns, vector_columns
from vla3d_ros.recording.lerobot.frame_grid import frame_stamps, newest_not_after, quietest_start
from vla3d_ros.recording.lerobot.settings import ExportSettings
from vla3d_ros.recording.lerobot.sources import Sources, gap_problems, read_sources
from vla3d_ros.recording.session_file import Session
from vla3d_ros.replay.recorded_run import RecordedRun

Stamps = NDArray[np.int64]

_NS = 1_000_000_000
_FEWEST_FRAMES = 2


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EpisodePlan:
    """One episode on its grid of N frames.

    Attributes:
        path: The bag.
        frames_ns: (N,) instants.
        columns: Number columns, (N, ...) in the dtype of their feature.
        shown: By picture column: topic, and which of its messages each frame shows, (N,).
        tasks: (N) instruction in force at each frame.
        features: Every column but the indices.
        facts: For the episode's metadata.
        cut_s: What was left off before and behind, because something was not known there.
        repeats: By camera: frames that show the same capture as the frame before.
    """

    path: Path
    frames_ns: Stamps
    columns: Mapping[str, NDArray[Any]]
    shown: Mapping[str, tuple[str, NDArray[np.int64]]]
    tasks: tuple[str, ...]
    features: Mapping[str, Feature]
    facts: Mapping[str, Any]
    cut_s: tuple[float, float]
    repeats: Mapping[str, int] = field(default_factory=dict)


def plan_episode(run: RecordedRun, session: Session | None, robot: Embodiment, settings: ExportSettings) -> EpisodePlan:
    """Resample one recording.

    Args:
        run: The recording.
        session: Its session file, if it has one.
        robot: Which arms it is of.
        settings: How.

    Raises:
        RecordingError: If it can not become an episode; names every reason and what to do.
    """
    problems: list[str] = []
    sources = read_sources(run, robot, settings, problems)
    _refuse(run, problems)
    frames_ns = _grid(sources, settings)
    if len(frames_ns) < _FEWEST_FRAMES:
        problems.append("pictures, robot states and chunks never come together for two frames; is it one clock?")
    _refuse(run, problems)
    problems += gap_problems(sources, frames_ns, settings)
    tasks = _tasks(run, session, frames_ns, settings.task)
    if "" in tasks:
        problems.append("no instruction was recorded: say what was done with --task")
    _refuse(run, problems)
    return _plan(run, session, sources, frames_ns, tasks, settings)


def _refuse(run: RecordedRun, problems: Sequence[str]) -> None:
    if problems:
        raise RecordingError(join_problems(f"bag {run.path} can not become an episode", problems))


def _grid(sources: Sources, settings: ExportSettings) -> Stamps:
    start_ns, end_ns = sources.span_ns(_NS // settings.fps)
    if end_ns <= start_ns:
        return np.zeros(0, dtype=np.int64)
    stamps = [captures.stamps_ns for captures in sources.captures.values()]
    return frame_stamps(quietest_start(stamps, start_ns, end_ns, settings.fps), end_ns, settings.fps)


def _tasks(run: RecordedRun, session: Session | None, frames_ns: Stamps, override: str) -> tuple[str, ...]:
    """The instruction at every frame: the last one that is not empty, before the first one that of the session."""
    told = [(0, session.instruction.strip() if session else "")]
    told += [(stamp_ns, text) for stamp_ns, text in run.instructions if text]
    if override:
        told = [(0, override)]
    elif not told[0][1] and len(told) > 1:
        told[0] = (0, told[1][1])
    at = np.searchsorted(np.array([stamp_ns for stamp_ns, _ in told]), frames_ns, side="right") - 1
    return tuple(told[int(index)][1] for index in at)


def _plan(
    run: RecordedRun,
    session: Session | None,
    sources: Sources,
    frames_ns: Stamps,
    tasks: tuple[str, ...],
    settings: ExportSettings,
) -> EpisodePlan:
    shown = {key: (c.topic, newest_not_after(c.stamps_ns, frames_ns)) for key, c in sources.captures.items()}
    columns = vector_columns(sources.tracks, sources.commands, frames_ns, settings.fps, settings.is_relative)
    table = names.vector_features([track.spec for track in sources.tracks])
    for key, captures in sources.captures.items():
        camera, taken_ns = captures.camera, captures.stamps_ns[shown[key][1]]
        is_depth = key == names.depth_key(camera)
        columns[names.offset_key(camera, is_depth=is_depth)] = ((taken_ns - frames_ns) / _NS).astype(np.float32)
        if not is_depth:
            depth = names.depth_key(camera) in sources.captures
            table |= names.camera_features(camera, captures.height_px, captures.width_px, has_depth=depth)
            columns |= camera_columns(run.models[camera], run.mounts[camera], sources.tracks, taken_ns)
    videos = [(key, index) for key, (_, index) in shown.items() if table[key].dtype == names.VIDEO]
    end_ns = run.start_ns + run.duration_ns
    return EpisodePlan(
        path=run.path,
        frames_ns=frames_ns,
        columns=columns,
        shown=shown,
        tasks=tasks,
        features=table,
        facts=_facts(run, session, sources, frames_ns),
        cut_s=(max(0.0, (frames_ns[0] - run.start_ns) / _NS), max(0.0, (end_ns - frames_ns[-1]) / _NS)),
        repeats={sources.captures[key].camera: int(np.count_nonzero(np.diff(index) == 0)) for key, index in videos},
    )


def _facts(run: RecordedRun, session: Session | None, sources: Sources, frames_ns: Stamps) -> dict[str, Any]:
    cameras = sorted({captures.camera for captures in sources.captures.values()})
    return {
        "source": run.path.name,
        "outcome": session.outcome if session else "unjudged",
        "success": session is not None and session.outcome == "success",
        "operator": session.operator if session else "",
        "note": session.note if session else "",
        "first_frame_ns": int(frames_ns[0]),
        "unanchored_chunks": {t.spec.name: c.unanchored for t, c in zip(sources.tracks, sources.commands, strict=True)},
        "cameras": {
            camera: {
                "width_px": run.models[camera].width_px,
                "height_px": run.models[camera].height_px,
                "K": run.models[camera].K.tolist(),
                "distortion_plumb_bob": run.models[camera].distortion.tolist(),
                "parent_frame": run.mounts[camera].parent_frame,
                "optical_frame": run.mounts[camera].optical_frame,
                "T_parent_camera": run.mounts[camera].T_parent_camera.matrix.tolist(),
            }
            for camera in cameras
        },
    }
