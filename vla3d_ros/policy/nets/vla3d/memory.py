"""The first half of the route: tokens get places and see one another across views."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.features import ContextInputs, VisualFeatures
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras, known_cameras
from vla3d_ros.policy.nets.vla3d.coordinates import TokenCoordinates, TokenPoints
from vla3d_ros.policy.nets.vla3d.fusion import SpatialFusion
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d


class Memory(NamedTuple):
    """Fused memory: tokens (B, V, N, D), grid (rows, columns), mask (B, V, N) bool; where tokens and cameras are."""

    tokens: Tensor
    grid: tuple[int, int]
    mask: Tensor
    places: TokenPoints
    cameras: Cameras


class MemoryEncoder(nn.Module):
    """Token coordinates, then spatial fusion (3DVLA 3.1)."""

    def __init__(self, config: PolicyConfig, route: Vla3dConfig) -> None:
        super().__init__()
        self.size_px, self.closest_m = config.image_size, route.projection_eps_m
        self.project = nn.Linear(config.width, route.width)
        self.coordinates = TokenCoordinates(config.width, route)
        self.fusion = SpatialFusion(
            route.width, route.heads, route.fusion_layers, route.mlp_ratio, turns=route.fusion_rope
        )

    def forward(
        self, features: VisualFeatures, inputs: ContextInputs, rope: Rope3d, hidden: Tensor | None = None
    ) -> Memory:
        """Remember what the views show.

        Args:
            features: Of the trunk.
            inputs: K, T_base_camera and (where used) depth_m.
            rope: Of the route.
            hidden: (B, V, N) bool, tokens withheld from everything (training's asymmetric masking), or None.

        Returns:
            The memory; hidden tokens are absent from its mask, their places are kept.
        """
        assert inputs.K is not None and inputs.T_base_camera is not None  # the graph's inputs follow the configuration
        cameras = known_cameras(inputs.K, inputs.T_base_camera, inputs.view_mask, self.size_px, self.closest_m)
        mask = features.token_mask & cameras.mask.unsqueeze(-1)
        tokens = torch.where(mask.unsqueeze(-1), features.tokens, 0.0)
        places = self.coordinates(tokens, features.grid, inputs.depth_m, cameras)
        places = places._replace(placed=places.placed & mask)
        shown = mask if hidden is None else mask & ~hidden
        tokens = self.project(torch.where(shown.unsqueeze(-1), tokens, 0.0))
        batch, views, count, width = tokens.shape
        points = places.points.flatten(1, 2)
        fused = self.fusion(
            tokens.flatten(1, 2), points, (places.placed & shown).flatten(1, 2), shown.flatten(1, 2), rope(points)
        )
        return Memory(fused.reshape(batch, views, count, width), features.grid, shown, places, cameras)
