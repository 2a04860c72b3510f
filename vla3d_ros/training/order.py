"""Which samples make up which pass, and its chance: functions of seed and step, so a resumed run needs no state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ORDER, _PASS, _VALIDATION = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SampleOrder:
    """Goes through all samples in a new order each epoch; the last pass of an epoch runs into the next.

    Attributes:
        indices: (n,) int64, the training samples.
        batch: Samples of one pass.
        seed: Of the orders.
    """

    indices: NDArray[np.int64]
    batch: int
    seed: int

    def pass_indices(self, number: int) -> NDArray[np.int64]:
        """Return the samples (batch,) of a pass, counted from 0 over the whole run."""
        drawn = np.arange(number * self.batch, (number + 1) * self.batch)
        epochs, places = np.divmod(drawn, len(self.indices))
        orders = {epoch: self._order(epoch) for epoch in np.unique(epochs).tolist()}
        return np.array([orders[epoch][place] for epoch, place in zip(epochs.tolist(), places, strict=True)])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.indices)


def pass_generator(seed: int, number: int) -> np.random.Generator:
    """Return the randomness of a pass: flow times, noise, masks, dropped modalities."""
    return np.random.default_rng((seed, _PASS, number))


def validation_generator(seed: int) -> np.random.Generator:
    """Return the noise of validation, the same every time it is looked at."""
    return np.random.default_rng((seed, _VALIDATION))
