"""Eq. 11-13 of 3DVLA against NumPy float64, and what they are there for: no collapse."""

import numpy as np
import torch

from vla3d_ros.training.loss_weights import SelfSupervisionWeights
from vla3d_ros.training.losses.self_supervision import (
    SelfSupervision,
    self_supervision_loss,
    self_supervision_terms,
)


def drawn(seed, batch=2, tokens=7, width=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, tokens, width)), 2 * rng.standard_normal((batch, tokens, width))


def test_the_three_terms_are_those_of_the_equations():
    z, y = drawn(0)
    asked = np.random.default_rng(1).random(z.shape[:2]) < 0.6
    gap = np.abs(z[asked] - y[asked])
    recon = np.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean()
    cosine = 1 - np.mean(
        [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(z[asked], y[asked], strict=True)]
    )
    variance = np.maximum(y[asked].std(axis=0) - z[asked].std(axis=0), 0).mean()
    terms = self_supervision_terms(torch.tensor(z), torch.tensor(y), torch.tensor(asked))
    np.testing.assert_allclose([float(term) for term in terms], [recon, cosine, variance], rtol=1e-5)


def test_the_weights_are_those_of_the_paper():
    terms = SelfSupervision(*(torch.tensor(value) for value in (2.0, 3.0, 5.0)))
    assert float(self_supervision_loss(terms, SelfSupervisionWeights())) == np.float32(1.0 * 2 + 0.1 * 3 + 10 * 5)


def test_tokens_that_were_not_asked_for_do_not_matter_and_the_teacher_gets_no_gradient():
    z, y = (torch.tensor(value, requires_grad=True) for value in drawn(2))
    asked = torch.zeros(2, 7, dtype=torch.bool)
    asked[:, :3] = True
    self_supervision_loss(self_supervision_terms(z, y, asked), SelfSupervisionWeights()).backward()
    assert not z.grad[:, 3:].any()
    assert z.grad[:, :3].abs().min() > 0
    assert y.grad is None


def test_answering_the_mean_everywhere_is_punished_by_the_variance_term_alone():
    y = torch.tensor(drawn(3)[1])
    asked = torch.ones(2, 7, dtype=torch.bool)
    mean = y.mean(dim=(0, 1), keepdim=True).expand_as(y)
    collapsed, honest = (self_supervision_terms(z, y, asked).variance for z in (mean, y))
    assert collapsed > 0.5 * float(y.std())
    assert honest == 0


def test_a_collapsed_prediction_has_a_finite_gradient():
    z = torch.zeros(1, 5, 4, requires_grad=True)
    y = torch.tensor(drawn(4, 1, 5, 4)[1])
    terms = self_supervision_terms(z, y, torch.ones(1, 5, dtype=torch.bool))
    self_supervision_loss(terms, SelfSupervisionWeights()).backward()
    assert z.grad.isfinite().all()


def test_asking_for_nothing_costs_nothing_but_keeps_a_gradient():
    z = torch.ones(1, 2, 3, requires_grad=True)
    terms = self_supervision_terms(z, torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.bool))
    loss = self_supervision_loss(terms, SelfSupervisionWeights())
    loss.backward()
    assert loss == 0
    assert not z.grad.any()
