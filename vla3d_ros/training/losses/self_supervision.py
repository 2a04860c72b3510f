"""Masked self-supervision with anti-collapse terms (3DVLA Eq. 11-13).

`L_ss = 1.0 L_recon + 0.1 L_cos + 10 L_var`: Smooth-L1 for magnitude, cosine for direction, and a penalty where the
predictions' channels vary less than the teacher's.
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, functional, torch
from vla3d_ros.training.loss_weights import SelfSupervisionWeights

_STD_EPS = 1e-6  # under the root: the slope of a standard deviation at 0 is infinite


class SelfSupervision(NamedTuple):
    """The three terms, scalars, before they are weighted."""

    reconstruction: Tensor
    cosine: Tensor
    variance: Tensor


def self_supervision_terms(predicted: Tensor, target: Tensor, asked: Tensor) -> SelfSupervision:
    """Compare predictions of hidden tokens with what the teacher sees there.

    Args:
        predicted: z (B, T, D).
        target: y (B, T, D); no gradient goes there.
        asked: (B, T) bool, tokens that count.

    Returns:
        Smooth-L1 (its corner at 1); Eq. 12; Eq. 13 with `std = sqrt(variance + 1e-6)`. All 0 if no token counts.
    """
    z, y = predicted[asked].float(), target.detach()[asked].float()
    if not len(z):
        nothing = predicted.float().sum() * 0.0
        return SelfSupervision(nothing, nothing, nothing)
    return SelfSupervision(
        reconstruction=functional.smooth_l1_loss(z, y),
        cosine=1.0 - functional.cosine_similarity(z, y, dim=-1).mean(),
        variance=(_std(y) - _std(z)).clamp(min=0.0).mean(),
    )


def self_supervision_loss(terms: SelfSupervision, weights: SelfSupervisionWeights) -> Tensor:
    """Return the weighted sum, Eq. 11."""
    return (
        weights.reconstruction * terms.reconstruction
        + weights.cosine * terms.cosine
        + weights.variance * terms.variance
    )


def _std(values: Tensor) -> Tensor:
    """Standard deviation of each channel over tokens, (n, D) to (D,)."""
    return torch.sqrt(values.var(dim=0, correction=0) + _STD_EPS)
