"""The small "VLM": one transformer over visual, prompt, text and state tokens, and over a route's query tokens.

Groups of queries see what stands before them and themselves, never what comes after (GEAR-VLA's latent action tokens,
VIPA-VLA's action queries, 3DThinkVLA's anchor): so a route's queries do not change what the trunk computes.
"""

from __future__ import annotations

from vla3d_ros.policy.nets.attention import TransformerBlock, attention_bias
from vla3d_ros.policy.nets.config import ContextConfig
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch


def visibility(mask: Tensor, groups: list[int], dropped: Tensor | None) -> Tensor:
    """Say which token may attend to which.

    Args:
        mask: (B, P) bool over the prefix: what is there at all.
        groups: Tokens of each query group behind the prefix.
        dropped: (B, P) bool: what the queries (not the prefix) shall not see, or None.

    Returns:
        (B, P) bool over keys when there are no queries, else (B, P + Q, P + Q).
    """
    if not groups:
        return mask
    batch, prefix = mask.shape
    sizes = [prefix, *groups]
    number = torch.cat([torch.full((size,), index, device=mask.device) for index, size in enumerate(sizes)])
    allowed = (number[:, None] >= number[None, :])[None]
    keys = torch.cat([mask, mask.new_ones(batch, sum(groups))], dim=1)
    visible = allowed & keys[:, None, :]
    if dropped is None:
        return visible
    hidden = torch.cat([dropped, dropped.new_zeros(batch, sum(groups))], dim=1)
    return visible & ~(hidden[:, None, :] & (number > 0)[None, :, None])


class ContextTransformer(nn.Module):
    """Pre-norm transformer that also hands out its intermediate states."""

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [TransformerBlock(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth)]
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor, visible: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Mix tokens.

        Args:
            tokens: (B, N, C).
            visible: (B, N) or (B, N, N) bool, from `visibility`.

        Returns:
            Normed final states (B, N, C), and the states after every block.
        """
        bias = attention_bias(visible)
        states = []
        for block in self.blocks:
            tokens = block(tokens, bias)
            states.append(tokens)
        return self.norm(tokens), states
