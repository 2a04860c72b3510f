"""What a probe says (3DVLA 3.2.1): how sure it is, and its box and mask in a view, conditioned on PE(u_jv)."""

from __future__ import annotations

import math

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.probe_layer import two_layers

_BORDER = 1.0e-3  # of the image's size: how close to its border a box's centre starts from


class InstanceHeads(nn.Module):
    """Class logits from the state alone; boxes and masks from state and pixel."""

    def __init__(self, config: Vla3dConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, config.classes)
        self.box = two_layers(width, 4)
        self.mask = two_layers(width, config.mask_width)
        nn.init.constant_(self.logits.bias, math.log(config.score_prior / (1.0 - config.score_prior)))

    def class_logits(self, state: Tensor) -> Tensor:
        """Return l_j of states (B, Q, D): (B, Q, classes)."""
        logits: Tensor = self.logits(self.norm(state))
        return logits

    def view_state(self, state: Tensor, pixel_embedding: Tensor) -> Tensor:
        """Return states (B, V, Q, D) that know their view: LayerNorm(c_j) + PE(u_jv)."""
        conditioned: Tensor = self.norm(state).unsqueeze(1) + pixel_embedding
        return conditioned

    def boxes(self, view_state: Tensor, pixels: Tensor) -> Tensor:
        """Return boxes (B, V, Q, 4): centre x, y, width, height in [0, 1] of the image, float32.

        Args:
            view_state: (B, V, Q, D) of `view_state`.
            pixels: (B, V, Q, 2) in [0, 1], where the centre is looked for.
        """
        inner = pixels.clamp(_BORDER, 1.0 - _BORDER)
        raw = self.box(view_state).float()
        centre = torch.sigmoid(raw[..., :2] + torch.log(inner / (1.0 - inner)))
        return torch.cat([centre, torch.sigmoid(raw[..., 2:])], dim=-1)

    def mask_logits(self, view_state: Tensor, mask_map: Tensor) -> Tensor:
        """Return logits (B, V, Q, rows, columns) float32: dot products with the 1/4-scale map, over sqrt(Dm).

        Args:
            view_state: (B, V, Q, D) of `view_state`.
            mask_map: (B, V, Dm, rows, columns).
        """
        embedded = self.mask(view_state)
        batch, views, queries, width = embedded.shape
        products = embedded @ mask_map.flatten(3)
        logits = products.float() / math.sqrt(width)
        shaped: Tensor = logits.reshape(batch, views, queries, *mask_map.shape[3:])
        return shaped
