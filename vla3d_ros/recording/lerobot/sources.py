"""What the frames of an episode are made of: tracks, commands, captures; and every reason why they can not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.adapter.embodiment import Embodiment
from vla3d_ros.recording.lerobot.arm_tracks import ArmTrack, longest_gap, read_tracks
from vla3d_ros.recording.lerobot.captures import Captures, picture_topics, read_captures
from vla3d_ros.recording.lerobot.commanded import Commands, commands_of
from vla3d_ros.recording.lerobot.features import depth_key
from vla3d_ros.recording.lerobot.frame_grid import newest_not_after
from vla3d_ros.recording.lerobot.settings import ExportSettings
from vla3d_ros.replay.recorded_run import RecordedRun

Stamps = NDArray[np.int64]

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sources:
    """Tracks and commands of every arm, in the robot's order; captures by picture column."""

    tracks: Sequence[ArmTrack]
    commands: Sequence[Commands]
    captures: Mapping[str, Captures]

    def span_ns(self, period_ns: int) -> tuple[int, int]:
        """Return first and last instant at which a frame has everything; the last is before the first if none has."""
        known_ns = max(track.span_ns[0] for track in self.tracks)
        first, last = [known_ns], [min(track.span_ns[1] for track in self.tracks)]
        for commands in self.commands:
            first.append(int(commands.receive_ns[0]) - period_ns)  # a frame's action is for one period later
            last.append(int(commands.receive_ns[-1]))
        for captures in self.captures.values():
            usable = captures.stamps_ns[captures.stamps_ns >= known_ns]  # where was a camera that moves, before?
            if not len(usable):
                return known_ns, known_ns - 1
            first.append(int(usable[0]))
            last.append(int(usable[-1]) + period_ns)
        return max(first), min(last)


def read_sources(run: RecordedRun, robot: Embodiment, settings: ExportSettings, problems: list[str]) -> Sources:
    """Read a bag.

    Args:
        run: All of it but the pictures.
        robot: Which arms it is of.
        settings: Which cameras, with depth or without.
        problems: Is given a sentence for every reason not to use what is returned.
    """
    tracks = read_tracks(run, robot, problems)
    cameras = settings.cameras or tuple(run.layout.images)
    problems += _camera_problems(run, robot, cameras)
    present = [camera for camera in cameras if camera in run.layout.images]
    topics = picture_topics(run.layout, run.topics, present, settings.has_depth)
    if settings.has_depth and not any(depth_key(camera) in topics for camera in present):
        problems.append(f"none of the cameras {present} has depth on '<camera>/depth'; leave off --depth")
    layout = run.layout
    calibration = {layout.infos[camera]: "camera_info" for camera in present if camera in layout.infos}
    calibration |= {layout.mounts[camera]: "the mount" for camera in present if camera in layout.mounts}
    captures = read_captures(run.path, topics, calibration, problems)
    problems += _size_problems(run, captures)
    if not run.chunks:
        problems.append("no commands on a topic 'policy/chunk': record what a policy or teleoperation emits, too")
    commands = [commands_of(track, run.chunks.values()) for track in tracks]
    silent = [t.spec.name for t, c in zip(tracks, commands, strict=True) if run.chunks and not len(c.receive_ns)]
    problems += [f"arm '{arm}': no chunk commands it while its pose is known" for arm in silent]
    return Sources(tracks=tracks, commands=commands, captures=captures)


def gap_problems(sources: Sources, frames_ns: Stamps, settings: ExportSettings) -> list[str]:
    """Return a sentence for everything that was missing for too long between the first and the last frame."""
    start_ns, end_ns = int(frames_ns[0]), int(frames_ns[-1])
    found: list[str] = []

    def judge(what: str, gap: tuple[int, int], most_s: float, option: str) -> None:
        length_s, at_s = gap[0] / _NS, (gap[1] - start_ns) / _NS
        if length_s > most_s:
            found.append(
                f"{what} for {length_s:.3f} s, {at_s:.2f} s after the first frame, at most {most_s:g} s is allowed: "
                f"record the episode again, leave it out, or allow more with {option}"
            )

    for one in sources.captures.values():
        ages = frames_ns - one.stamps_ns[newest_not_after(one.stamps_ns, frames_ns)]
        oldest = int(np.argmax(ages))
        gap = (int(ages[oldest]), int(frames_ns[oldest] - ages[oldest]))
        judge(f"'{one.topic}': no picture", gap, settings.max_gap_s, "--max-gap")
    for track, commands in zip(sources.tracks, sources.commands, strict=True):
        for what, gap in track.gaps(start_ns, end_ns).items():
            judge(f"arm '{track.spec.name}': no state of {what}", gap, settings.max_gap_s, "--max-gap")
        silence = longest_gap(commands.receive_ns, start_ns, end_ns)
        judge(f"arm '{track.spec.name}': no chunk", silence, settings.max_silence_s, "--max-silence")
    return found


def _camera_problems(run: RecordedRun, robot: Embodiment, cameras: Sequence[str]) -> list[str]:
    if not cameras:
        return [f"no camera images; it holds topics of types {sorted(set(run.topics.values()))}"]
    present = [camera for camera in cameras if camera in run.layout.images]
    found = [f"no camera '{c}'; available: {sorted(run.layout.images)}" for c in cameras if c not in present]
    for known, what in ((run.models, "camera_info"), (run.mounts, "extrinsics")):
        if without := [camera for camera in present if camera not in known]:
            found.append(f"no {what} of cameras {without}: record it, or choose others with --cameras")
    frames = [robot.arms[0].base_frame, *(arm.ee_frame for arm in robot.arms)]
    mounted = {camera: run.mounts[camera].parent_frame for camera in present if camera in run.mounts}
    return found + [
        f"camera '{camera}' is mounted on '{frame}'; expected one of {frames}"
        for camera, frame in mounted.items()
        if frame not in frames
    ]


def _size_problems(run: RecordedRun, captures: Mapping[str, Captures]) -> list[str]:
    found = []
    for one in captures.values():
        size = f"{one.width_px}x{one.height_px}"
        model = run.models.get(one.camera)
        if model is not None and (model.height_px, model.width_px) != (one.height_px, one.width_px):
            found.append(f"'{one.topic}' is {size}, its camera_info {model.width_px}x{model.height_px}")
        if one.height_px % 2 or one.width_px % 2:
            found.append(f"'{one.topic}' is {size}; h264 needs even sizes")
    return found
