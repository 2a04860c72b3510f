"""The demonstrations of a run: samples, and which of their episodes are kept out of training."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.errors import TrainingError
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.tokenizer import HashedWords
from vla3d_ros.training.recipe import DataConfig
from vla3d_ros.training.samples import Batch, Normalisation, SampleLayout, SampleSource, collate


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingData:
    """What a run learns from.

    Attributes:
        source: Samples, raw.
        numbers: The same samples; their pictures and truth need not be there.
        training: (n,) int64, their numbers that train.
        held_out: (m,) int64, those that validate: of other episodes.
        sha256: Of the demonstrations' manifest.
        joints: Of the arm in each slot, 0 where there is none.
        description: In words, for the model card.
    """

    source: SampleSource
    numbers: SampleSource
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    sha256: str
    joints: tuple[int, ...]
    description: str


def split_episodes(episodes: NDArray[np.int64], every: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep every so many-th episode out of training, whole: neighbouring samples are too much alike.

    Args:
        episodes: (n,) episode of each sample.
        every: The last of each so many episodes, in rising order, is kept out.

    Returns:
        Numbers of the samples that train, and of those that do not.

    Raises:
        TrainingError: If there are too few episodes to keep one out.
    """
    numbers = np.unique(episodes)
    kept_out = numbers[every - 1 :: every]
    if not len(kept_out):
        raise TrainingError(
            f"{len(numbers)} episodes; one in {every} is kept out of training, so at least {every} are needed: "
            "make more demonstrations, or lower 'held_out_every'"
        )
    is_out = np.isin(episodes, kept_out)
    return np.flatnonzero(~is_out), np.flatnonzero(is_out)


def sample_layout(network: PolicyConfig, data: DataConfig) -> SampleLayout:
    """Return how recordings fill the network's views and slots."""
    return SampleLayout(
        cameras=tuple(data.cameras.get(view) for view in network.views),
        arms=tuple(data.arms.get(slot) for slot in network.arms),
        max_joints=network.max_joints,
        instances=data.instances,
        surface_points=data.surface_points,
    )


class Batches:
    """Turns sample numbers into normalised batches with words, one ahead of the one in use, in a thread of its own.

    All reading happens in that thread: pictures are unpacked while the network computes.
    """

    def __init__(self, data: TrainingData, network: PolicyConfig, normalisation: Normalisation) -> None:
        self._source = data.source
        self._words = HashedWords(network.text.buckets, network.text.length)
        self._normalisation = normalisation
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")

    def ahead(self, indices: NDArray[np.int64]) -> Future[Batch]:
        """Start on a batch of samples, in this order."""
        return self._thread.submit(self._collate, indices)

    def __call__(self, indices: NDArray[np.int64]) -> Batch:
        """Return a batch of samples, in this order."""
        return self.ahead(indices).result()

    def _collate(self, indices: NDArray[np.int64]) -> Batch:
        return collate([self._source[int(index)] for index in indices], self._words, self._normalisation)
