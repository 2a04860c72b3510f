"""Hybrid attention (3DVLA Eq. 9-10): `softmax(RoPE3D(X_q W_Q) RoPE3D(X_kv W_K)^T / sqrt(d_k)) (X_kv W_V)`."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch
from vla3d_ros.policy.nets.vla3d.rope3d import Rotation, rotate

_NOT_SEEN = -3.0e4  # finite in float16; exp underflows to zero


def attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a mask (B, N) of what may be attended into a bias (B, 1, 1, N)."""
    return torch.where(mask, 0.0, _NOT_SEEN).to(dtype)[:, None, None, :]


class HybridAttention(nn.Module):
    """Attention with RoPE3D on queries and keys, plain values, and an output projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        queries: Tensor,
        context: Tensor,
        query_rotation: Rotation | None,
        context_rotation: Rotation | None,
        context_mask: Tensor,
    ) -> Tensor:
        """Attend.

        Args:
            queries: (B, Q, D).
            context: (B, N, D).
            query_rotation: Of the Q queries' points; None leaves them as they are.
            context_rotation: Of the N context points, or None.
            context_mask: (B, N) bool; nothing is attended where it is false.

        Returns:
            (B, Q, D); zero before the output projection if all context is masked.
        """
        query = rotate(self._split(self.query(queries)), query_rotation)
        key_wide, value_wide = self.key_value(context).chunk(2, dim=-1)
        key = rotate(self._split(key_wide), context_rotation)
        bias = attention_bias(context_mask, query.dtype)
        mixed = functional.scaled_dot_product_attention(query, key, self._split(value_wide), attn_mask=bias)
        joined = mixed.transpose(1, 2).flatten(2)
        any_context = context_mask.any(dim=1)[:, None, None].to(joined.dtype)
        projected: Tensor = self.out(joined * any_context)
        return projected

    def _split(self, wide: Tensor) -> Tensor:
        batch, count, width = wide.shape
        return wide.reshape(batch, count, self.heads, width // self.heads).transpose(1, 2)


class FeedForward(nn.Module):
    """Two layers with GELU between, after a LayerNorm."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, int(ratio * width))
        self.down = nn.Linear(int(ratio * width), width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., D) to (..., D); the caller adds the residual."""
        mapped: Tensor = self.down(functional.gelu(self.up(self.norm(tokens))))
        return mapped


class SelfBlock(nn.Module):
    """Pre-norm self-attention with RoPE3D, then a feed-forward, both residual."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = HybridAttention(width, heads)
        self.feed_forward = FeedForward(width, ratio)

    def forward(self, tokens: Tensor, rotation: Rotation | None, mask: Tensor) -> Tensor:
        """Map tokens (B, N, D) whose points have this rotation; mask (B, N) says which may be attended."""
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, rotation, rotation, mask)
        mapped: Tensor = tokens + self.feed_forward(tokens)
        return mapped
