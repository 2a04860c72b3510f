"""Flow-matching action expert: a diffusion transformer (DiT) with adaptive layer norm over the chunk's steps.

Blocks follow adaLN-Zero (Peebles & Xie, arXiv 2212.09748, 3.2): LN(h) (1 + scale) + shift, gated residuals, all from
the flow time and the condition. Cross-attention reads keys and values that were computed once per observation.
"""

from __future__ import annotations

import math

from vla3d_ros.policy.nets.attention import Mlp, SelfAttention, attend, attention_bias
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch

_TIME_SCALE = 1000.0
_LONGEST_PERIOD = 10000.0


def time_embedding(tau: Tensor, width: int) -> Tensor:
    """Return [cos(1000 tau f_i), sin(1000 tau f_i)], f_i = 10000^(-i / (width / 2)); tau (...,) to (..., width)."""
    half = width // 2
    frequencies = torch.exp(
        torch.arange(half, device=tau.device, dtype=tau.dtype) * (-math.log(_LONGEST_PERIOD) / half)
    )
    phase = _TIME_SCALE * tau[..., None] * frequencies
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Adaptive layer norm: LN(tokens) (1 + scale) + shift, the norm without weights of its own."""
    normed = functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
    return normed * (1.0 + scale) + shift


class ExpertBlock(nn.Module):
    """Self-attention among the chunk's steps, cross-attention to the context, MLP."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.self_attention = SelfAttention(width, heads)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query = nn.Linear(width, width)
        self.cross_out = nn.Linear(width, width)
        self.mlp = Mlp(width, round(width * mlp_ratio))

    def forward(self, tokens: Tensor, drive: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Update the chunk's tokens.

        Args:
            tokens: (B, K, D).
            drive: What modulates: (B, 2, D) for steps in flow and steps that are given, and (B, K, 1) bool which are.
            memory: Key (B, N, D), value (B, N, D) and bias of the context.
        """
        levels, is_given = drive
        both: Tensor = self.modulation(levels)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = torch.where(is_given, both[:, 1:], both[:, :1]).chunk(
            6, -1
        )
        tokens = tokens + gate_a * self.self_attention(modulate(tokens, shift_a, scale_a))
        key, value, bias = memory
        query = self.cross_query(self.cross_norm(tokens))
        tokens = tokens + self.cross_out(attend(query, key, value, self.heads, bias))
        updated: Tensor = tokens + gate_m * self.mlp(modulate(tokens, shift_m, scale_m))
        return updated


class ActionExpert(nn.Module):
    """Velocity of a noisy chunk. A masked arm slot is neither seen nor moved."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        expert = config.expert
        self.depth, self.width, self.arms = expert.depth, expert.width, len(config.arms)
        self.embed = nn.Linear(config.action_width + self.arms, expert.width)
        self.position = nn.Parameter(0.02 * torch.randn(1, config.chunk, expert.width))
        self.time = Mlp(expert.width, expert.width)
        self.condition_norm = nn.LayerNorm(config.width)
        self.condition = nn.Linear(config.width, expert.width)
        self.context_norm = nn.LayerNorm(config.width)
        self.context = nn.Linear(config.width, 2 * expert.depth * expert.width)
        self.blocks = nn.ModuleList(
            [ExpertBlock(expert.width, expert.heads, expert.mlp_ratio) for _ in range(expert.depth)]
        )
        self.out_modulation = nn.Linear(expert.width, 2 * expert.width)
        self.out = nn.Linear(expert.width, config.action_width)
        for layer in (self.out_modulation, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def remember(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute every layer's keys and values of the context once.

        Args:
            tokens: (B, N, C).

        Returns:
            Keys and values, each (B, layers, N, D).
        """
        batch, count, _ = tokens.shape
        both: Tensor = self.context(self.context_norm(tokens))
        both = both.reshape(batch, count, 2, self.depth, self.width).permute(2, 0, 3, 1, 4)
        return both[0], both[1]

    def conditioning(self, summary: Tensor) -> Tensor:
        """Map a summary of the context (B, C) to the condition (B, D)."""
        mapped: Tensor = self.condition(self.condition_norm(summary))
        return mapped

    def enter(self, x: Tensor, arm_mask: Tensor) -> Tensor:
        """Embed a noisy chunk (B, K, A*10) as tokens (B, K, D); masked arms (B, A) enter as zeros."""
        visible = self._per_number(arm_mask)
        present = arm_mask[:, None, :].to(x.dtype).expand(-1, x.shape[1], -1)
        entered: Tensor = self.embed(torch.cat([torch.where(visible, x, 0.0), present], dim=-1))
        return entered + self.position

    def forward(
        self,
        tokens: Tensor,
        times: tuple[Tensor, Tensor],
        modulation: Tensor,
        memory: tuple[Tensor, Tensor, Tensor],
        arm_mask: Tensor,
    ) -> Tensor:
        """Return the velocity (B, K, A*10), zero for masked arms.

        Args:
            tokens: (B, K, D), from `enter`.
            times: Flow time tau (B,), and (B, K) bool: steps that are given, whose flow time is 1.
            modulation: (B, D), what modulates besides the time.
            memory: context_k, context_v (B, layers, N, D) and context_mask (B, N).
            arm_mask: (B, A) bool.
        """
        tau, given = times
        levels = torch.stack([tau, torch.ones_like(tau)], dim=-1)
        levels = functional.silu(self.time(time_embedding(levels, self.width)) + modulation[:, None])
        keys, values, mask = memory
        bias = attention_bias(mask)
        is_given = given[..., None]
        for layer, block in enumerate(self.blocks):
            tokens = block(tokens, (levels, is_given), (keys[:, layer], values[:, layer], bias))
        both: Tensor = self.out_modulation(levels)
        shift, scale = torch.where(is_given, both[:, 1:], both[:, :1]).chunk(2, dim=-1)
        velocity: Tensor = self.out(modulate(tokens, shift, scale))
        return torch.where(self._per_number(arm_mask), velocity, 0.0)

    def _per_number(self, arm_mask: Tensor) -> Tensor:
        """(B, A) to (B, 1, A*10)."""
        width = self.out.out_features // self.arms
        return arm_mask[:, None, :, None].expand(-1, -1, -1, width).flatten(2)
