"""Start images: the score falls with what moved, not with the light; a moved camera is told apart."""

from __future__ import annotations

import numpy as np
import pytest

from vla3d_ros.errors import ConfigError, ShapeError
from vla3d_ros.evaluation.start_image import match_start, overlay


def scene(x: int = 200, shift: int = 0) -> np.ndarray:
    """A table with a pattern, a box at column x, everything shifted."""
    rgb = np.full((240, 320, 3), 150, dtype=np.uint8)
    rgb[:60] = 60
    rgb[60:64, ::8] = 240
    rgb[120:150, 40:80] = (40, 90, 200)
    rgb[150:185, x : x + 35] = (220, 40, 40)
    return np.roll(rgb, shift, axis=1)


def test_the_same_scene_scores_one_and_the_camera_is_still():
    match = match_start(scene(), scene())
    assert match.score == pytest.approx(1.0) and match.is_camera_still and match.is_alike


def test_the_score_falls_the_farther_an_object_is_away():
    scores = [match_start(scene(), scene(200 + dx)).score for dx in (0, 4, 12, 40)]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4
    assert not match_start(scene(), scene(240)).is_alike
    assert match_start(scene(), scene(240)).is_camera_still


def test_a_little_less_light_is_still_alike():
    darker = np.round(scene() * 0.9).astype(np.uint8)
    assert match_start(scene(), darker).score > 0.95


def test_a_moved_camera_is_noticed():
    match = match_start(scene(), scene(shift=9))
    assert match.shift_px == pytest.approx(9, abs=1.5) and not match.is_camera_still and not match.is_alike


def test_the_overlay_is_the_mean_at_one_half():
    reference, live = scene(), scene(240)
    blended = overlay(reference, live)
    assert np.abs(blended.astype(int) * 2 - (reference.astype(int) + live)).max() <= 1
    assert (overlay(reference, live, 1.0) == reference).all() and (overlay(reference, live, 0.0) == live).all()
    with pytest.raises(ConfigError, match="0 to 1"):
        overlay(reference, live, 1.5)
    with pytest.raises(ShapeError, match="expected two of one"):
        overlay(reference, live[:100])
