"""Semantic image encoders: a small vision transformer and a convolutional one, behind one call."""

from __future__ import annotations

import itertools

from vla3d_ros.policy.nets.attention import TransformerBlock
from vla3d_ros.policy.nets.config import EncoderConfig
from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch


def normalised_pixels(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn uint8 RGB (..., H, W, 3) into channels first (..., 3, H, W) in [-1, 1]."""
    return (images.to(dtype) / 127.5 - 1.0).movedim(-1, -3)


class ImageEncoder(nn.Module):
    """One image to a grid of tokens; every image for itself."""

    def __init__(self, config: EncoderConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.grid = (image_size[0] // config.patch, image_size[1] // config.patch)
        self.patches = _PatchEmbedding(config) if config.kind == "vit" else _ConvolutionalStages(config)
        self.position = nn.Parameter(0.02 * torch.randn(1, self.grid[0] * self.grid[1], config.width))
        blocks = config.depth if config.kind == "vit" else 0
        self.blocks = nn.ModuleList(
            [TransformerBlock(config.width, config.heads, config.mlp_ratio) for _ in range(blocks)]
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, H, W, 3) uint8 to tokens (B, rows * columns, width), row by row."""
        feature_map: Tensor = self.patches(normalised_pixels(images, self.position.dtype))
        tokens = feature_map.flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed


class _PatchEmbedding(nn.Module):
    """One linear map per patch, as a convolution with stride."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, config.width, config.patch, stride=config.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        embedded: Tensor = self.patch(pixels)
        return embedded


class _ConvolutionalStages(nn.Module):
    """A stride-4 stem, then stages of `depth` residual blocks that halve the map until one token is `patch` px."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        halvings = config.patch.bit_length() - 3  # 8, 16, 32 px after a stem of 4
        widths = [max(8, config.width >> (halvings - stage)) for stage in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=4)]
        for before, width in itertools.pairwise(widths):
            layers.append(nn.Conv2d(before, width, 2, stride=2))
            layers += [_ResidualBlock(width) for _ in range(config.depth)]
        layers.append(nn.Conv2d(widths[-1], config.width, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        feature_map: Tensor = self.layers(pixels)
        return feature_map


class _ResidualBlock(nn.Module):
    """Norm, 3x3 convolution, GELU, 3x3 convolution, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, feature_map: Tensor) -> Tensor:
        change: Tensor = self.second(functional.gelu(self.first(self.norm(feature_map))))
        return feature_map + change
