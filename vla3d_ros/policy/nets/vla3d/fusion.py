"""Multi-view spatial fusion (3DVLA 3.1, Eq. 1): tokens of all views, placed in the base frame, see one another."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch
from vla3d_ros.policy.nets.vla3d.hybrid_attention import SelfBlock
from vla3d_ros.policy.nets.vla3d.rope3d import Rotation


class CoordinateEmbedding(nn.Module):
    """Eq. 1: `E_3D = LayerNorm(W2 GELU(W1 P + b1) + b2)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.second = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, points: Tensor) -> Tensor:
        """Turn points (..., 3) m in base into (..., D)."""
        hidden = functional.gelu(self.first(points))
        embedded: Tensor = self.norm(self.second(hidden))
        return embedded


class SpatialFusion(nn.Module):
    """Memory M = TransformerEncoder(M_flat + E_3D). No voxels.

    A token without a point gets a learned "somewhere" in place of E_3D and is rotated by nothing: it keeps its meaning
    and claims no place.
    """

    def __init__(self, width: int, heads: int, layers: int, ratio: float, *, turns: bool) -> None:
        super().__init__()
        self.turns = turns  # whether queries and keys are rotated (RoPE3D)
        self.coordinates = CoordinateEmbedding(width)
        self.somewhere = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(SelfBlock(width, heads, ratio) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, points: Tensor, placed: Tensor, mask: Tensor, rotation: Rotation) -> Tensor:
        """Fuse.

        Args:
            tokens: (B, N, D) of all views, flattened.
            points: (B, N, 3) m in base, zeros where not placed.
            placed: (B, N) bool, tokens whose point is known.
            mask: (B, N) bool, tokens that exist.
            rotation: Of the points.

        Returns:
            Memory (B, N, D).
        """
        memory = tokens + torch.where(placed.unsqueeze(-1), self.coordinates(points), self.somewhere)
        for block in self.blocks:
            memory = block(memory, rotation if self.turns else None, mask)
        normed: Tensor = self.norm(memory)
        return normed
