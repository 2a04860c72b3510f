"""Asymmetric multi-view masking (3DVLA 3.3.1): half of all tokens are hidden, but not the same share of every view.

A view may lose nearly everything while another shows it, so that what is missing must be inferred across views and not
from neighbours in the same picture. The paper gives the share and no more; the skew is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla3d_ros.policy.nets.pytorch import Tensor, torch


class Hidden(NamedTuple):
    """What is withheld: tokens (B, V, N) bool; chosen (B, T) int64 into V * N, those to predict; asked (B, T) bool."""

    tokens: Tensor
    chosen: Tensor
    asked: Tensor


def draw_hidden(
    token_mask: Tensor, rng: np.random.Generator, *, share: float = 0.5, skew: float = 0.5, most: int | None = None
) -> Hidden:
    """Draw which tokens each sample loses.

    Every token gets a number in [0, 1), every view one in [-skew, skew) which is added to those of its tokens; the
    highest are hidden.

    Args:
        token_mask: (B, V, N) bool, tokens that exist.
        rng: Source of randomness.
        share: Of the existing tokens of a sample, rounded down.
        skew: 0 treats all views alike.
        most: Ask for at most so many of them.

    Returns:
        The hidden tokens; `asked` is false in slots that a sample does not fill.
    """
    exists: NDArray[np.bool_] = token_mask.cpu().numpy()
    batch, views, tokens = exists.shape
    rank = rng.random((batch, views, tokens)) + rng.uniform(-skew, skew, (batch, views, 1))
    rank = np.where(exists, rank, -np.inf).reshape(batch, -1)
    order = np.argsort(-rank, axis=1, kind="stable")
    count = np.floor(share * exists.reshape(batch, -1).sum(axis=1)).astype(np.int64)
    place = np.argsort(order, axis=1, kind="stable")
    hidden = (place < count[:, None]).reshape(exists.shape)
    slots = max(int(share * views * tokens), 1)
    chosen = _spread(order[:, :slots], count, min(slots, most or slots), rng)
    arrays = (hidden, *chosen)
    return Hidden(*(torch.from_numpy(np.ascontiguousarray(array)).to(token_mask.device) for array in arrays))


def _spread(
    order: NDArray[np.int64], count: NDArray[np.int64], slots: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose `slots` of the first `count` in each row, by chance."""
    filled = np.arange(order.shape[1]) < count[:, None]
    drawn = np.argsort(np.where(filled, rng.random(order.shape), np.inf), axis=1, kind="stable")[:, :slots]
    return np.take_along_axis(order, drawn, axis=1), np.take_along_axis(filled, drawn, axis=1)
