"""Instructions to tokens: hashed words through a small transformer, or an external encoder's embeddings."""

from __future__ import annotations

from vla3d_ros.policy.nets.attention import Mlp, TransformerBlock, attention_bias
from vla3d_ros.policy.nets.config import TextConfig
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch


class InstructionEncoder(nn.Module):
    """L text tokens to L context tokens; padding stays exactly zero."""

    def __init__(self, config: TextConfig, out_width: int) -> None:
        super().__init__()
        self.embed: nn.Module
        if config.kind == "hashed":
            self.embed = nn.Embedding(config.buckets, config.width)
        else:
            self.embed = nn.Linear(config.embedding_width, config.width)
        self.position = nn.Parameter(0.02 * torch.randn(1, config.length, config.width))
        self.blocks = nn.ModuleList([TransformerBlock(config.width, config.heads, 2.0) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(config.width)
        self.out = Mlp(config.width, config.width, out_width)

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        """Encode an instruction.

        Args:
            text: (B, L) int64 word buckets, or (B, L, Dt) float32 embeddings.
            mask: (B, L) bool, True where there is a word.

        Returns:
            (B, L, C), zero where masked.
        """
        tokens = self.embed(text) + self.position
        bias = attention_bias(mask)
        for block in self.blocks:
            tokens = block(tokens, bias)
        return torch.where(mask[..., None], self.out(self.norm(tokens)), 0.0)
