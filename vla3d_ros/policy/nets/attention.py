"""Attention with masks that really hide, and the pre-norm transformer block around it."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch

_HIDDEN = -3.0e4  # exp() of it is exactly 0 beside any real score, and it still fits half precision


def attention_bias(visible: Tensor) -> Tensor:
    """Turn what may be seen into what is added to attention scores.

    A hidden key gets a weight of exactly zero as long as one key is visible; if none is, weights are finite.

    Args:
        visible: (B, N) bool over keys, or (B, M, N) bool per query.

    Returns:
        (B, 1, 1, N) or (B, 1, M, N) float32: 0 where visible.
    """
    bias = torch.where(visible, 0.0, _HIDDEN)
    return bias[:, None, None, :] if visible.ndim == 2 else bias[:, None]


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Reshape (B, N, D) to (B, heads, N, D / heads)."""
    batch, count, width = tokens.shape
    return tokens.reshape(batch, count, heads, width // heads).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
    """Scaled dot-product attention, softmax(q k^T / sqrt(d) + bias) v, in `heads` heads.

    Args:
        query: (B, M, D).
        key: (B, N, D).
        value: (B, N, D).
        heads: Number of heads; divides D.
        bias: From `attention_bias`, or None.

    Returns:
        (B, M, D).
    """
    bias = None if bias is None else bias.to(query.dtype)
    mixed = functional.scaled_dot_product_attention(
        split_heads(query, heads), split_heads(key, heads), split_heads(value, heads), attn_mask=bias
    )
    return mixed.transpose(1, 2).reshape(query.shape)


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Mix tokens (B, N, D) among themselves."""
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        mixed: Tensor = self.out(attend(query, key, value, self.heads, bias))
        return mixed


class CrossAttention(nn.Module):
    """Multi-head attention from queries to a memory, in a shared space of `width`; output in the queries' width."""

    def __init__(self, query_width: int, memory_width: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(query_width, width)
        self.key_value = nn.Linear(memory_width, 2 * width)
        self.out = nn.Linear(width, query_width)

    def forward(self, queries: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return what queries (B, M, Dq) find in memory (B, N, Dm): (B, M, Dq)."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        found: Tensor = self.out(attend(self.query(queries), key, value, self.heads, bias))
        return found


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width if out is None else out)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., width) to (..., out)."""
        mapped: Tensor = self.down(functional.gelu(self.up(tokens)))
        return mapped


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and MLP, each with a residual."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, round(width * mlp_ratio))

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Update tokens (B, N, D)."""
        tokens = tokens + self.attention(self.attention_norm(tokens), bias)
        updated: Tensor = tokens + self.mlp(self.mlp_norm(tokens))
        return updated
