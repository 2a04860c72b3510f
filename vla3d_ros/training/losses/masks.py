"""2D masks (3DVLA Eq. 6, CE_mask and DICE_mask), of matched probes at 1/4 of the image's scale."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, functional, torch

_SMOOTH = 1.0


def mask_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over cells.

    Args:
        logits: (n, P) of n masks.
        target: (n, P), 1 inside.

    Returns:
        (n,) float32.
    """
    return functional.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none").mean(dim=-1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return `1 - (2 sum(p m) + 1) / (sum p + sum m + 1)` (Milletari et al., arXiv 1606.04797).

    Args:
        logits: (n, P).
        target: (n, P), 1 inside.

    Returns:
        (n,) float32.
    """
    p, m = torch.sigmoid(logits.float()), target.float()
    return 1.0 - (2.0 * (p * m).sum(dim=-1) + _SMOOTH) / (p.sum(dim=-1) + m.sum(dim=-1) + _SMOOTH)
