"""2D boxes (3DVLA Eq. 6, L_L1^2D and L_GIoU). A box is centre x, y, width, height in units of the image's size."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, torch

_SMALLEST = 1e-7


def corners(boxes: Tensor) -> Tensor:
    """Turn centre and size (..., 4) into left, top, right, bottom (..., 4)."""
    centre, half = boxes[..., :2], 0.5 * boxes[..., 2:]
    return torch.cat([centre - half, centre + half], dim=-1)


def l1_distance(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the sum of absolute differences of two boxes' four numbers; (..., 4), (..., 4) to (...)."""
    return (boxes - others).abs().sum(dim=-1)


def generalised_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return GIoU = IoU - |hull without union| / |hull| (Rezatofighi et al., arXiv 1902.09630), in (-1, 1].

    Args:
        boxes: (..., 4) centre and size.
        others: (..., 4), broadcast against the first.

    Returns:
        (...).
    """
    a, b = corners(boxes), corners(others)
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0.0)
    intersection = overlap.prod(dim=-1)
    areas = boxes[..., 2:].prod(dim=-1) + others[..., 2:].prod(dim=-1)
    union = (areas - intersection).clamp(min=_SMALLEST)
    extent = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = extent.prod(dim=-1).clamp(min=_SMALLEST)
    return intersection / union - (hull - union) / hull
