"""Statistics against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from vla3d_ros.recording.lerobot.statistics import QUANTILES, PixelStats, aggregate, vector_stats


def test_figures_of_a_column_are_numpys():
    values = np.random.default_rng(1).normal(size=(57, 4)).astype(np.float32)
    stats = vector_stats(values)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(stats["mean"], exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["std"], exact.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(stats["min"], exact.min(axis=0))
    np.testing.assert_array_equal(stats["max"], exact.max(axis=0))
    np.testing.assert_allclose(stats["q10"], np.quantile(exact, 0.1, axis=0), rtol=1e-12)
    assert stats["count"].tolist() == [57]
    assert vector_stats(np.arange(5))["mean"].shape == (1,)


@pytest.mark.parametrize("share", QUANTILES)
def test_figures_of_pictures_are_numpys_on_every_fourth_pixel(share):
    pictures = np.random.default_rng(2).integers(0, 256, (6, 32, 48, 3), dtype=np.uint8)
    pixels = PixelStats(3, 256, 255.0)
    shown = []
    for number, picture in enumerate(pictures):
        pixels.add(picture, 1 + number % 2)
        shown += [picture[::4, ::4]] * (1 + number % 2)
    seen, stats = np.stack(shown).reshape(-1, 3) / 255.0, pixels.stats()
    for name, expected in {
        "mean": seen.mean(axis=0),
        "std": seen.std(axis=0),
        "min": seen.min(axis=0),
        "max": seen.max(axis=0),
        share: np.quantile(seen, QUANTILES[share], axis=0),
    }.items():
        assert stats[name].shape == (3, 1, 1)
        np.testing.assert_allclose(stats[name].ravel(), expected, rtol=1e-9)
    assert stats["count"].tolist() == [9]


def test_episodes_together_are_as_if_they_were_one():
    rng = np.random.default_rng(3)
    parts = [rng.normal(loc=k, size=(n, 3)) for k, n in enumerate((10, 40, 5))]
    together, whole = aggregate([{"x": vector_stats(part)} for part in parts])["x"], np.concatenate(parts)
    np.testing.assert_allclose(together["mean"], whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(together["std"], whole.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(together["min"], whole.min(axis=0))
    assert together["count"].tolist() == [55]
