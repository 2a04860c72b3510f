"""The coordinate-driven predictor (3DVLA 3.3.2, Eq. 7-10): features of places nobody saw, asked for by coordinate.

E_view is made from the camera's own pose, not from its slot: the same image in another slot gives the same answer. A
completion query belongs to no camera; it carries the views' embeddings in the proportion of its instance's gates.
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras
from vla3d_ros.policy.nets.vla3d.fourier import FourierEmbedding
from vla3d_ros.policy.nets.vla3d.hybrid_attention import FeedForward, HybridAttention
from vla3d_ros.policy.nets.vla3d.probe_layer import two_layers
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d, Rotation

_POSE_NUMBERS = 12


class Placed(NamedTuple):
    """Tokens at places: points (B, n, 3) m in base, view (B, n, D) their E_view, mask (B, n) bool."""

    points: Tensor
    view: Tensor
    mask: Tensor


class ViewEmbedding(nn.Module):
    """E_view: which camera, told by where it stands and looks (the twelve numbers of T_base_camera)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = two_layers(_POSE_NUMBERS, width, width)

    def forward(self, cameras: Cameras) -> Tensor:
        """Return (B, V, D); zero for masked views."""
        pose = cameras.T_base_camera[..., :3, :].flatten(-2)
        embedded: Tensor = self.embed(pose)
        return embedded * cameras.mask.unsqueeze(-1).to(embedded.dtype)


class PredictorBlock(nn.Module):
    """Hybrid attention across (queries on visible context), then among the queries, then feed-forward."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.query_norm, self.context_norm, self.self_norm = (nn.LayerNorm(width) for _ in range(3))
        self.across = HybridAttention(width, heads)
        self.among = HybridAttention(width, heads)
        self.feed_forward = FeedForward(width, ratio)

    def forward(
        self,
        queries: Tensor,
        context: Tensor,
        rotations: tuple[Rotation, Rotation],
        masks: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Map queries (B, T, D), given context (B, N, D); rotations and masks are (of queries, of context)."""
        normed = self.query_norm(queries)
        queries = queries + self.across(normed, self.context_norm(context), *rotations, masks[1])
        normed = self.self_norm(queries)
        queries = queries + self.among(normed, normed, rotations[0], rotations[0], masks[0])
        mapped: Tensor = queries + self.feed_forward(queries)
        return mapped


class CompletionPredictor(nn.Module):
    """Predicts the memory's features at coordinates: hidden tokens' in training, unseen points' at inference."""

    def __init__(self, config: Vla3dConfig) -> None:
        super().__init__()
        width = config.width
        self.target = nn.Parameter(torch.randn(width) * 0.02)  # Z_tgt: one learned token, placed where it is asked
        self.position = FourierEmbedding(3, config.fourier_frequencies, width)
        self.view = ViewEmbedding(width)
        self.blocks = nn.ModuleList(
            PredictorBlock(width, config.heads, config.mlp_ratio) for _ in range(config.completion_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, context: Tensor, visible: Placed, asked: Placed, rope: Rope3d) -> Tensor:
        """Predict.

        Args:
            context: (B, N, D) memory of the visible tokens, X_vis.
            visible: Where those are; masked are tokens without a point and those hidden in training.
            asked: Where to predict; masked queries are attended by none, their own outcome means nothing.
            rope: Of the route.

        Returns:
            (B, T, D).
        """
        context = context + self.position(visible.points) + visible.view  # Eq. 7
        queries = self.target + self.position(asked.points) + asked.view  # Eq. 8
        rotations = (rope(asked.points), rope(visible.points))
        for block in self.blocks:
            queries = block(queries, context, rotations, (asked.mask, visible.mask))
        predicted: Tensor = self.out(self.norm(queries))
        return predicted
