"""Depth of tokens as a distribution over bins (policy.md "Token coordinates"): cross-entropy with two neighbours.

The target puts all its weight on the bins before and after the true depth, so that its mean is the true depth: the
head's answer is read as a mean.
"""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, torch


def two_bins(depth_m: Tensor, bins_m: Tensor) -> Tensor:
    """Spread depths over bins: weights with `sum_b w_b d_b = depth`.

    Args:
        depth_m: (...) between the first and the last bin.
        bins_m: (bins,) m, rising.

    Returns:
        (..., bins), at most two of them above 0, sum 1.
    """
    upper = torch.searchsorted(bins_m, depth_m.contiguous()).clamp(1, len(bins_m) - 1)
    low, high = bins_m[upper - 1], bins_m[upper]
    share = ((depth_m - low) / (high - low)).clamp(0.0, 1.0).unsqueeze(-1)
    weights = torch.zeros(*depth_m.shape, len(bins_m), dtype=bins_m.dtype, device=bins_m.device)
    weights.scatter_(-1, upper.unsqueeze(-1), share)
    return weights.scatter(-1, (upper - 1).unsqueeze(-1), 1.0 - share)


def depth_bin_loss(logits: Tensor, depth_m: Tensor, known: Tensor, bins_m: Tensor) -> Tensor:
    """Return the mean of `-sum_b w_b log softmax(logits)_b` over tokens whose depth is known and in reach of the bins.

    Args:
        logits: (B, V, N, bins).
        depth_m: (B, V, N) m.
        known: (B, V, N) bool.
        bins_m: (bins,) m.

    Returns:
        Scalar, float32; 0 if no token counts.
    """
    bins = bins_m.float()
    counts = known & (depth_m >= bins[0]) & (depth_m <= bins[-1])
    weights = two_bins(torch.where(counts, depth_m.float(), bins[0]), bins)
    entropy = -(weights * logits.float().log_softmax(dim=-1)).sum(dim=-1)
    return (entropy * counts.float()).sum() / counts.float().sum().clamp(min=1.0)
