"""VIPA-VLA: spatial features fused by cross-attention; action queries condition an expert that is fed the state."""

from __future__ import annotations

from vla3d_ros.policy.nets.attention import CrossAttention, attention_bias
from vla3d_ros.policy.nets.bridge import Bridge, Mixed, Reading, masked_mean, seen_by_expert
from vla3d_ros.policy.nets.config import PolicyConfig, VipaConfig
from vla3d_ros.policy.nets.features import ContextInputs, RouteOutput, VisualFeatures
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.spatial_encoder import SpatialEncoder
from vla3d_ros.policy.nets.trunk import Prefix


class VipaFusion(nn.Module):
    """V_f = LN(dropout(V_sem + alpha F_spa)), F_spa = CrossAttn(V_sem, V_spa) (3.2.2); alpha is learned."""

    def __init__(self, config: VipaConfig, width: int) -> None:
        super().__init__()
        self.cross = CrossAttention(width, config.spatial.width, config.fusion_width, config.fusion_heads)
        self.alpha = nn.Parameter(torch.tensor(config.alpha))
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, semantic: Tensor, spatial: Tensor, bias: Tensor) -> Tensor:
        """Fuse semantic tokens (B, N, C) with spatial tokens (B, Ns, Cs)."""
        fused: Tensor = self.norm(self.dropout(semantic + self.alpha * self.cross(semantic, spatial, bias)))
        return fused


class VipaRoute(nn.Module):
    """Semantic tokens of all views query spatial tokens of all views."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        vipa = _section(config)
        self.spatial_encoder = SpatialEncoder(vipa.spatial, config.image_size)
        self.fusion = VipaFusion(vipa, config.width)

    def forward(self, features: VisualFeatures, inputs: ContextInputs) -> RouteOutput:
        """Replace the visual tokens by fused ones."""
        spatial = self.spatial_encoder(inputs.images, inputs.view_mask)
        seen = inputs.view_mask[:, :, None].expand(-1, -1, spatial.shape[2]).flatten(1, 2)
        fused = self.fusion(features.tokens.flatten(1, 2), spatial.flatten(1, 2), attention_bias(seen))
        fused = fused.reshape(features.tokens.shape)
        return RouteOutput(
            visual_tokens=torch.where(features.token_mask[..., None], fused, 0.0),
            extra_tokens=fused.new_zeros(fused.shape[0], 0, fused.shape[-1]),
            extra_mask=features.token_mask.new_zeros(fused.shape[0], 0),
            display={},
            aux={},
        )


class VipaBridge(Bridge):
    """h_cond = VLM(v, l, Q_a); the expert's input is concat(noisy actions, state) (3.3).

    The state does not pass through the context transformer. It travels as the graph's `condition` and is concatenated
    to every noisy step: [a ; s] W = a W_a + s W_s, of which a W_a is the expert's own embedding.
    """

    has_states_in_context = False

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        vipa = _section(config)
        self.action_queries = nn.Parameter(0.02 * torch.randn(1, vipa.action_queries, config.width))
        self.state_input = nn.Linear(config.expert.width, config.expert.width, bias=False)

    def queries(self, batch: int) -> list[Tensor]:
        """Return the action queries Q_a."""
        return [self.action_queries.expand(batch, -1, -1)]

    def read(self, mixed: Mixed, prefix: Prefix, route: RouteOutput | None) -> Reading:
        """Hand over the action queries' hidden states, and the robot's state as the summary."""
        hidden = mixed.queries[0]
        summary = masked_mean(prefix.states, prefix.state_mask)
        return Reading(hidden, seen_by_expert(hidden, prefix), summary, aux={})

    def steer(self, tokens: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Concatenate the state to every noisy step; only the flow time modulates."""
        return tokens + self.state_input(condition)[:, None], torch.zeros_like(condition)


def _section(config: PolicyConfig) -> VipaConfig:
    assert config.vipa is not None
    return config.vipa
