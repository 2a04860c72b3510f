"""Asymmetric multi-view masking: half of what exists, unevenly over the views, and only of what exists is asked."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vla3d_ros.training.masking import draw_hidden  # noqa: E402

BATCH, VIEWS, TOKENS = 16, 3, 36


def drawn(mask=None, seed=0, **options):
    mask = torch.ones(BATCH, VIEWS, TOKENS, dtype=torch.bool) if mask is None else mask
    return draw_hidden(mask, np.random.default_rng(seed), **options)


def test_half_of_the_tokens_of_every_sample_are_hidden():
    assert drawn().tokens.sum(dim=(1, 2)).tolist() == [VIEWS * TOKENS // 2] * BATCH


def test_views_lose_unequal_shares_and_without_skew_about_equal_ones():
    spread = {skew: drawn(skew=skew).tokens.float().mean(dim=2).std(dim=1).mean() for skew in (0.0, 0.5)}
    assert spread[0.5] > 3 * spread[0.0]


def test_all_hidden_tokens_are_asked_for_and_nothing_else():
    hidden = drawn()
    flat = hidden.tokens.flatten(1)
    assert hidden.asked.all()
    for row, chosen in zip(flat, hidden.chosen, strict=True):
        assert sorted(chosen.tolist()) == row.nonzero().flatten().tolist()


def test_tokens_that_do_not_exist_are_neither_hidden_nor_asked_for():
    mask = torch.ones(BATCH, VIEWS, TOKENS, dtype=torch.bool)
    mask[:, 1] = False
    mask[3] = False
    hidden = drawn(mask)
    assert not (hidden.tokens & ~mask).any()
    assert hidden.tokens[0].sum() == TOKENS
    assert not hidden.asked[3].any()
    assert mask.flatten(1).gather(1, hidden.chosen)[hidden.asked].all()


def test_at_most_so_many_are_asked_for_and_they_differ_from_draw_to_draw():
    one, other = (drawn(seed=seed, most=10) for seed in (0, 1))
    assert one.chosen.shape == (BATCH, 10)
    assert one.tokens.flatten(1).gather(1, one.chosen).all()
    assert not torch.equal(one.chosen, other.chosen)
