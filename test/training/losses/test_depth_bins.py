"""The depth head's target: two neighbouring bins whose mean is the depth."""

import numpy as np
import torch

from vla3d_ros.policy.nets.vla3d.depth import expected_depth, log_spaced_bins_m
from vla3d_ros.training.losses.depth_bins import depth_bin_loss, two_bins

BINS_M = log_spaced_bins_m(0.1, 4.0, 12).double()


def test_the_mean_of_the_two_bins_is_the_depth_and_nothing_else_has_weight():
    depth_m = torch.tensor(np.random.default_rng(0).uniform(0.1, 4.0, 200))
    depth_m = torch.cat([depth_m, BINS_M])
    weights = two_bins(depth_m, BINS_M)
    torch.testing.assert_close((weights * BINS_M).sum(dim=-1), depth_m)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones_like(depth_m))
    assert ((weights > 1e-12).sum(dim=-1) <= 2).all()


def test_loss_is_the_cross_entropy_over_known_tokens_in_reach():
    rng = np.random.default_rng(1)
    logits, depth_m = rng.standard_normal((2, 3, 4, 12)), rng.uniform(0.05, 5.0, (2, 3, 4))
    known = rng.random((2, 3, 4)) < 0.6
    bins = BINS_M.numpy()
    total, count = 0.0, 0
    for i in zip(*np.nonzero(known & (depth_m >= bins[0]) & (depth_m <= bins[-1])), strict=True):
        log_p = logits[i] - np.log(np.exp(logits[i]).sum())
        low = int(np.searchsorted(bins, depth_m[i], side="right")) - 1
        share = (depth_m[i] - bins[low]) / (bins[low + 1] - bins[low])
        total -= (1 - share) * log_p[low] + share * log_p[low + 1]
        count += 1
    loss = depth_bin_loss(*(torch.tensor(value) for value in (logits, depth_m, known)), BINS_M)
    assert 0 < count < known.sum()
    np.testing.assert_allclose(float(loss), total / count, rtol=1e-5)


def test_minimising_it_makes_the_expected_depth_the_true_one():
    depth_m = torch.tensor([[[0.31, 0.8, 2.2]]])
    logits = torch.zeros(1, 1, 3, 12, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(300):
        optimiser.zero_grad()
        depth_bin_loss(logits, depth_m, depth_m > 0, BINS_M).backward()
        optimiser.step()
    torch.testing.assert_close(expected_depth(logits, BINS_M), depth_m, rtol=0.02, atol=0.0)


def test_no_known_depth_costs_nothing():
    nothing = torch.zeros(1, 1, 2, dtype=torch.bool)
    assert depth_bin_loss(torch.zeros(1, 1, 2, 12), torch.ones(1, 1, 2), nothing, BINS_M) == 0
