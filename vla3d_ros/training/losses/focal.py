"""Focal loss of probes' class logits (3DVLA Eq. 6, L_cls; Lin et al., arXiv 1708.02002)."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, functional, torch

ALPHA = 0.25
GAMMA = 2.0


def focal_terms(logits: Tensor, target: Tensor) -> Tensor:
    """Return `-alpha_t (1 - p_t)^gamma log p_t` of every logit.

    Args:
        logits: (...) of sigmoids.
        target: (...) of zeros and ones.

    Returns:
        (...) float32.
    """
    logits, target = logits.float(), target.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = torch.sigmoid(logits)
    p_t = p * target + (1.0 - p) * (1.0 - target)
    alpha_t = ALPHA * target + (1.0 - ALPHA) * (1.0 - target)
    return alpha_t * (1.0 - p_t).pow(GAMMA) * entropy


def focal_loss(logits: Tensor, target: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of all terms per object: `sum / max(objects, 1)`.

    Args:
        logits: (B, Q, classes).
        target: (B, Q, classes), 1 for the class of the object a probe is matched with.
        targets: Scalar, objects in the batch.
    """
    return focal_terms(logits, target).sum() / targets.float().clamp(min=1.0)


def focal_cost(logits: Tensor) -> Tensor:
    """Return what calling a probe an object of a class costs: the term if it is one less the term if it is not.

    Args:
        logits: (...).

    Returns:
        (...) float32; the smaller, the surer.
    """
    return focal_terms(logits, torch.ones_like(logits)) - focal_terms(logits, torch.zeros_like(logits))
