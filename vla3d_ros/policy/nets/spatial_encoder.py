"""A small multi-view spatial encoder, at the seam where the papers put a pretrained 3D foundation model.

GEAR-VLA uses VGGT there, VIPA-VLA uses Cut3R; both are far larger and come with weights of their own. Ours has the same
seam (RGB views in, one feature per patch and view out) and VGGT's pattern: attention within each view and across all
views in turn. To use a pretrained one, replace this module; nothing else changes.
"""

from __future__ import annotations

from vla3d_ros.policy.nets.attention import TransformerBlock, attention_bias
from vla3d_ros.policy.nets.image_encoder import normalised_pixels
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import SpatialEncoderConfig


class SpatialEncoder(nn.Module):
    """RGB views to spatial features."""

    def __init__(self, config: SpatialEncoderConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        tokens = (image_size[0] // config.patch) * (image_size[1] // config.patch)
        self.patch = nn.Conv2d(3, config.width, config.patch, stride=config.patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, config.width))
        self.blocks = nn.ModuleList(
            [TransformerBlock(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth)]
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, images: Tensor, view_mask: Tensor) -> Tensor:
        """Encode views (B, V, H, W, 3) uint8 to (B, V, N, Cs), zero for views that view_mask (B, V) hides."""
        batch, views = view_mask.shape
        tokens: Tensor = self.patch(normalised_pixels(images.flatten(0, 1), self.position.dtype))
        tokens = tokens.flatten(2).transpose(1, 2) + self.position
        count = tokens.shape[1]
        bias = attention_bias(view_mask[:, :, None].expand(-1, -1, count).flatten(1, 2))
        for index, block in enumerate(self.blocks):
            if index % 2:
                across: Tensor = block(tokens.reshape(batch, views * count, -1), bias)
                tokens = across.reshape(batch * views, count, -1)
            else:
                tokens = block(tokens)
        tokens = self.norm(tokens).reshape(batch, views, count, -1)
        return torch.where(view_mask[:, :, None, None], tokens, 0.0)
