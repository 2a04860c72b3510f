"""A recording of the live graph as training samples: as the twin's loop gives them, but nobody knows the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from vla3d_ros.datatypes import ActionChunk, ArmChunk
from vla3d_ros.errors import RecordingError
from vla3d_ros.replay.chunk_record import ChunkRecord
from vla3d_ros.replay.observation_stream import ObservationStream
from vla3d_ros.replay.recorded_run import RecordedRun
from vla3d_ros.replay.replay_setup import ReplaySetup
from vla3d_ros.training.demonstrations.config import PictureSettings
from vla3d_ros.training.demonstrations.episode_file import Episode
from vla3d_ros.training.demonstrations.recorder import EpisodeRecorder


def episode_from_bag(
    run: RecordedRun, setup: ReplaySetup, pictures: PictureSettings, cameras: Sequence[str], *, stride: int = 1
) -> Episode:
    """Return an episode's samples: every observation that the recorded policy answered, and its answer as the label.

    Args:
        run: The recording.
        setup: Robot and calibration.
        pictures: As in a settings file for demonstrations; widths of renderings do not matter.
        cameras: Those to keep, in order.
        stride: Keep one of so many answered observations.

    Raises:
        RecordingError: If there is no answered observation, or there are several instructions.
    """
    told = sorted({fed.instruction for fed in run.fed if fed.is_answered})
    if len(told) != 1:
        raise RecordingError(f"bag {run.path} has answers to the instructions {told}; expected exactly one")
    arms = [arm.name for arm in setup.embodiment.arms]
    recorder = EpisodeRecorder(pictures, cameras, arms)
    stream = ObservationStream(run, setup, cameras)
    answered = 0
    for observation in stream():
        if observation.stamp_ns not in run.chunks:
            continue
        if answered % stride == 0:
            chunk = chunk_of_record(run.chunks[observation.stamp_ns].record, setup.strokes_m)
            recorder.add(replace(observation, instruction=told[0]), chunk)
        answered += 1
    if not len(recorder):
        raise RecordingError(
            f"bag {run.path} holds {len(run.chunks)} chunks, but none answers an observation that can be rebuilt of "
            f"cameras {list(cameras)}: {stream.counters}"
        )
    return recorder.episode(told[0])


def chunk_of_record(record: ChunkRecord, strokes_m: Mapping[str, float]) -> ActionChunk:
    """Return the chunk that was put on the wire.

    Args:
        record: As it was recorded.
        strokes_m: Opening of each fully open gripper, by arm.
    """
    arms = []
    for name, steps in record.arms.items():
        Ts_ee0_ee = np.tile(np.eye(4), (len(steps.p_ee0_ee), 1, 1))
        Ts_ee0_ee[:, :3, :3] = Rotation.from_quat(steps.xyzw).as_matrix()
        Ts_ee0_ee[:, :3, 3] = steps.p_ee0_ee
        opening = np.clip(steps.opening_m / strokes_m[name], 0.0, 1.0)
        arms.append(ArmChunk(arm=name, Ts_ee0_ee=Ts_ee0_ee, gripper_opening=opening))
    return ActionChunk(stamp_ns=record.stamp_ns, dt_ns=record.dt_ns, arms=tuple(arms))
