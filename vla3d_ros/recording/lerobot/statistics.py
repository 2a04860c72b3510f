"""Statistics as LeRobot wants them: per episode and feature, and over all episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Stats = dict[str, NDArray[Any]]

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}

_STRIDE_PX = 4


def vector_stats(values: NDArray[Any]) -> Stats:
    """Return min, max, mean, std (of the population), count and quantiles of a column.

    Args:
        values: (N,) or (N, D).

    Returns:
        Arrays (D,), count (1,).
    """
    rows = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    stats: Stats = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        "count": np.array([len(rows)], dtype=np.int64),
    }
    return stats | {name: np.quantile(rows, share, axis=0) for name, share in QUANTILES.items()}


class PixelStats:
    """Counts levels of every frame's pictures, every fourth pixel of every fourth row; exact on those."""

    def __init__(self, channels: int, levels: int, scale: float) -> None:
        """Start with nothing.

        Args:
            channels: Colours.
            levels: Possible values of a pixel.
            scale: What the figures are divided by, 255 for shares of full brightness.
        """
        self._counts = np.zeros((channels, levels), dtype=np.int64)
        self._scale = scale
        self._frames = 0

    def add(self, pixels: NDArray[Any], count: int) -> None:
        """Take a picture (H, W) or (H, W, C) that is shown in `count` frames."""
        channels, levels = self._counts.shape
        seen = pixels[::_STRIDE_PX, ::_STRIDE_PX].reshape(-1, channels)
        for channel in range(channels):
            self._counts[channel] += count * np.bincount(seen[:, channel], minlength=levels)
        self._frames += count

    def stats(self) -> Stats:
        """Return the figures, (C, 1, 1) each; count is of frames."""
        values = np.arange(self._counts.shape[1]) / self._scale
        total = self._counts.sum(axis=1)
        mean = self._counts @ values / total
        variance = np.array([c @ (values - m) ** 2 for c, m in zip(self._counts, mean, strict=True)]) / total
        present = [values[np.flatnonzero(counts)] for counts in self._counts]
        stats: Stats = {
            "min": np.array([p[0] for p in present]),
            "max": np.array([p[-1] for p in present]),
            "mean": mean,
            "std": np.sqrt(variance),
        }
        for name, share in QUANTILES.items():
            stats[name] = np.array([_quantile(counts, values, share) for counts in self._counts])
        shaped = {name: figures.reshape(-1, 1, 1) for name, figures in stats.items()}
        return shaped | {"count": np.array([self._frames], dtype=np.int64)}


def aggregate(episodes: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Return the statistics of all episodes together; quantiles are the mean of the episodes', as lerobot does it."""
    return {name: _together([stats[name] for stats in episodes]) for name in episodes[0]}


def _together(parts: Sequence[Stats]) -> Stats:
    counts = np.array([float(part["count"][0]) for part in parts])
    shares = counts / counts.sum()

    def weighted(figures: Sequence[NDArray[Any]]) -> Float:
        result: Float = np.tensordot(shares, np.stack(figures), axes=1)
        return result

    mean = weighted([part["mean"] for part in parts])
    variance = weighted([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    stats: Stats = {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([int(counts.sum())], dtype=np.int64),
    }
    return stats | {name: weighted([part[name] for part in parts]) for name in QUANTILES}


def _quantile(counts: NDArray[np.int64], values: Float, share: float) -> float:
    """The quantile of counted values, linear between neighbours like NumPy's."""
    reached = np.cumsum(counts)
    position = share * (int(reached[-1]) - 1)
    lower, upper = (int(np.searchsorted(reached, at, side="right")) for at in (np.floor(position), np.ceil(position)))
    return float(values[lower] + (values[upper] - values[lower]) * (position - np.floor(position)))
