"""Corrections and letters."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla3d_ros.evaluation.statistics.multiplicity import benjamini_hochberg, compact_letters, holm

P = [0.01, 0.04, 0.03, 0.005]


def test_corrections_have_the_known_values():
    assert holm(P) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(P) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_a_correction_never_makes_a_p_value_smaller_and_keeps_their_order(p_values):
    p = np.array(p_values)
    for corrected in (holm(p), benjamini_hochberg(p)):
        assert (corrected >= p - 1e-12).all() and (corrected <= 1.0).all()
        assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_letters_have_the_known_values():
    p_values = {("A", "B"): 0.01, ("A", "C"): 0.001, ("B", "C"): 0.3}
    assert compact_letters(["A", "B", "C"], p_values) == {"A": "a", "B": "b", "C": "b"}


@given(st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.booleans(), min_size=15, max_size=15))))
def test_two_share_a_letter_exactly_when_they_are_not_separated(drawn):
    count, separated = drawn
    names = [f"policy{index}" for index in range(count)]
    p_values = {
        pair: 0.001 if is_apart else 0.5 for pair, is_apart in zip(combinations(names, 2), separated, strict=False)
    }
    letters = compact_letters(names, p_values)
    assert all(letters[name] for name in names)
    for (first, second), p_value in p_values.items():
        assert bool(set(letters[first]) & set(letters[second])) == (p_value >= 0.05)
