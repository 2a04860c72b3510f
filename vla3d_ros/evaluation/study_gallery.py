"""Start and end images of failed trials, and of some that succeeded, drawn at random and not picked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla3d_ros.errors import RecordingError
from vla3d_ros.evaluation.figures import jpeg_data_uri
from vla3d_ros.evaluation.study_results import PooledTrial, StudyResults
from vla3d_ros.recording.episode_reader import read_episode
from vla3d_ros.recording.episode_trace import EpisodeTrace

_MOST_FAILURES = 8
_MOST_SUCCESSES = 4
_MOST_CAMERAS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryEntry:
    """One trial with images as data URIs by camera, or a note why there are none; `link` leads to its bag."""

    trial: PooledTrial
    images: tuple[tuple[str, str, str], ...]
    note: str
    link: str


def gallery(results: StudyResults, out: Path) -> list[GalleryEntry]:
    """Choose trials with a recording and read their images: the first failures in order, successes at random.

    Args:
        results: The pooled trials.
        out: Folder of the report, to which links are relative.
    """
    recorded = [trial for trial in results.trials if trial.record.bag]
    failed = [trial for trial in recorded if not trial.record.is_success][:_MOST_FAILURES]
    succeeded = [trial for trial in recorded if trial.record.is_success]
    drawn = np.random.default_rng(0).permutation(len(succeeded))[:_MOST_SUCCESSES]
    return [_entry(trial, out) for trial in (*failed, *(succeeded[index] for index in sorted(drawn)))]


def bag_link(trial: PooledTrial, out: Path) -> str:
    """Return where a trial's bag is, relative to the report's folder; empty if it was not recorded."""
    if not trial.record.bag:
        return ""
    return os.path.relpath((trial.data.folder / trial.record.bag).resolve(), out.resolve())


def _entry(trial: PooledTrial, out: Path) -> GalleryEntry:
    assert trial.record.bag is not None
    link = bag_link(trial, out)
    try:
        trace = read_episode(trial.data.folder / trial.record.bag)
    except RecordingError as error:
        return GalleryEntry(trial=trial, images=(), note=str(error), link=link)
    note = "" if trace.cameras else "The recording holds no images."
    return GalleryEntry(trial=trial, images=_images(trace), note=note, link=link)


def _images(trace: EpisodeTrace) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (camera.camera, jpeg_data_uri(camera.first.rgb), jpeg_data_uri(camera.last.rgb))
        for camera in trace.cameras[:_MOST_CAMERAS]
    )
