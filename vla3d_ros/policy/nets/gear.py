"""GEAR-VLA (arXiv 2606.08530): a zero-initialised 3D connector, and latent action tokens as the only bridge."""

from __future__ import annotations

from vla3d_ros.policy.nets.bridge import Bridge, Mixed, Reading, masked_mean, seen_by_expert
from vla3d_ros.policy.nets.config import GearConfig, PolicyConfig
from vla3d_ros.policy.nets.features import ContextInputs, RouteOutput, VisualFeatures
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.spatial_encoder import SpatialEncoder
from vla3d_ros.policy.nets.trunk import Prefix


class GearRoute(nn.Module):
    """Z_vis = [H_2D ; H_3D] W + b with W at start = [W_pretrained ; 0] (3.2).

    The product with the stacked W is the sum of two: H_2D W_pretrained + b, which the trunk's projector has already
    computed, and H_3D W_3D, whose W_3D starts at zero. At initialisation the output equals the 2D-only projector's.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        gear = _section(config)
        self.spatial_encoder = SpatialEncoder(gear.spatial, config.image_size)
        self.connector = nn.Linear(gear.spatial.width, config.width, bias=False)
        nn.init.zeros_(self.connector.weight)

    def forward(self, features: VisualFeatures, inputs: ContextInputs) -> RouteOutput:
        """Add the spatial features' share to the visual tokens."""
        spatial = self.spatial_encoder(inputs.images, inputs.view_mask)
        tokens = features.tokens + self.connector(spatial)
        return RouteOutput(
            visual_tokens=torch.where(features.token_mask[..., None], tokens, 0.0),
            extra_tokens=tokens.new_zeros(tokens.shape[0], 0, tokens.shape[-1]),
            extra_mask=features.token_mask.new_zeros(tokens.shape[0], 0),
            display={},
            aux={},
        )


class GearBridge(Bridge):
    """The expert attends to nothing but keys and values of the latent action tokens (3.1).

    Four codes per transition at 5 Hz over one second, predicted side by side instead of one after another. The flow's
    loss does not reach the context (gradient decoupling, Eq. 2) when the configuration says so; what trains the tokens
    is `aux["latent_logits"]` (B, tokens, groups, entries) against the latent action IDs of a tokenizer.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        gear = _section(config)
        self.codebook = (gear.codebook_groups, gear.codebook_entries)
        self.stops_gradient = gear.stops_gradient
        self.latent = nn.Parameter(0.02 * torch.randn(1, gear.latent_tokens, config.width))
        self.codes = nn.Linear(config.width, gear.codebook_groups * gear.codebook_entries)

    def queries(self, batch: int) -> list[Tensor]:
        """Return the latent action tokens."""
        return [self.latent.expand(batch, -1, -1)]

    def read(self, mixed: Mixed, prefix: Prefix, route: RouteOutput | None) -> Reading:
        """Hand over the latent action tokens only."""
        latent = mixed.queries[0]
        logits = self.codes(latent).unflatten(-1, self.codebook)
        if self.stops_gradient:
            latent = latent.detach()
        mask = seen_by_expert(latent, prefix)
        return Reading(latent, mask, masked_mean(latent, mask), aux={"latent_logits": logits})


def _section(config: PolicyConfig) -> GearConfig:
    assert config.gear is not None
    return config.gear
