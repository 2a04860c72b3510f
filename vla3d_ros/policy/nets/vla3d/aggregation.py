"""Spatially-conditioned geometry aggregation (3DVLA 3.4, Eq. 14-16)."""

from __future__ import annotations

import math

from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.fourier import frequency_features
from vla3d_ros.policy.nets.vla3d.probe_layer import two_layers

_NOT_SEEN = -3.0e4
_FAR_M = 1.0e3


class EndEffectorEncoding(nn.Module):
    """Eq. 14: where a thing is as seen from the end effector, in the base frame's axes: `dp = p_obj - p_ee`.

    With two arms the encoding is taken relative to each of them, by a projection of its own per slot, and added up over
    the arms that are there. With one arm this is Eq. 14 as printed; an absent arm adds exactly nothing.
    """

    def __init__(self, config: Vla3dConfig, arms: int) -> None:
        super().__init__()
        self.frequencies = config.ee_frequencies
        features = 3 * (1 + 2 * config.ee_frequencies)
        self.arms = nn.ModuleList(two_layers(features, config.width, config.width) for _ in range(arms))

    def forward(self, points: Tensor, ee_points: Tensor, arm_mask: Tensor) -> Tensor:
        """Encode.

        Args:
            points: (B, n, 3) m in base.
            ee_points: (B, A, 3) m in base; anything where the arm is absent.
            arm_mask: (B, A) bool.

        Returns:
            (B, n, D).
        """
        ee_points = torch.where(arm_mask.unsqueeze(-1), ee_points.float(), 0.0)
        offsets = points.float().unsqueeze(1) - ee_points.unsqueeze(2)
        features = frequency_features(offsets, self.frequencies)
        encoded = [
            arm(features[:, slot]) * arm_mask[:, slot, None, None].to(features.dtype)
            for slot, arm in enumerate(self.arms)
        ]
        return torch.stack(encoded).sum(dim=0)


def nearest_mask(points: Tensor, completion_points: Tensor, mask: Tensor, neighbours: int) -> Tensor:
    """Say which completion points are among the K nearest of each instance.

    Args:
        points: (B, I, 3) m.
        completion_points: (B, P, 3) m.
        mask: (B, P) bool, points that exist.
        neighbours: K.

    Returns:
        (B, I, P) bool; fewer than K where fewer exist.
    """
    square = (points.unsqueeze(2) - completion_points.unsqueeze(1)).square().sum(dim=-1)
    square = torch.where(mask.unsqueeze(1), square, _FAR_M**2)
    farthest = square.topk(neighbours, dim=-1, largest=False, sorted=True).values[..., -1:]
    return (square <= farthest) & mask.unsqueeze(1)


class LocalContext(nn.Module):
    """Eq. 15: `h_i = sum_j softmax_j(q_i k_j / sqrt(d) + MLP_bias(p_j - p_i)) v_j W_out` over the K nearest points."""

    def __init__(self, config: Vla3dConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.neighbours = config.heads, config.neighbours
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.bias = two_layers(3, config.heads, config.bias_width)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, state: Tensor, points: Tensor, features: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Gather.

        Args:
            state: c (B, I, D).
            points: p_i (B, I, 3) m.
            features: (B, P, D) of the completion points.
            places: p_j (B, P, 3) m.
            mask: (B, P) bool.

        Returns:
            h (B, I, D); zero where there is no completion point.
        """
        near = nearest_mask(points, places, mask, self.neighbours)
        offsets = places.unsqueeze(1) - points.unsqueeze(2)
        bias = self.bias(offsets).permute(0, 3, 1, 2) + torch.where(near, 0.0, _NOT_SEEN).unsqueeze(1)
        query, key, value = (
            self._split(wide) for wide in (self.query(state), self.key(features), self.value(features))
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias.to(query.dtype)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        gathered: Tensor = self.out(mixed * near.any(dim=-1, keepdim=True).to(mixed.dtype))
        return gathered

    def _split(self, wide: Tensor) -> Tensor:
        batch, count, width = wide.shape
        return wide.reshape(batch, count, self.heads, width // self.heads).transpose(1, 2)


class UncertaintyGate(nn.Module):
    """Eq. 16: `g_i = sigmoid(tau MLP([c_i | h_i | u_i]))`, then `c^_i = c_i + g_i * LayerNorm(h_i)`.

    The MLP's last layer starts with zero weights and bias -3: at first every gate is sigmoid(-3 tau).
    """

    def __init__(self, config: Vla3dConfig) -> None:
        super().__init__()
        width = config.width
        self.temperature = config.gate_temperature
        self.first = nn.Linear(2 * width + 1, width)
        self.last = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, config.gate_bias)

    def gate(self, state: Tensor, context: Tensor, uncertainty: Tensor) -> Tensor:
        """Return g (B, I, D) of c (B, I, D), h (B, I, D) and u (B, I)."""
        joined = torch.cat([state, context, uncertainty.unsqueeze(-1).to(state.dtype)], dim=-1)
        return torch.sigmoid(self.temperature * self.last(functional.gelu(self.first(joined))))

    def forward(self, state: Tensor, context: Tensor, uncertainty: Tensor) -> Tensor:
        """Return c^ (B, I, D)."""
        routed: Tensor = state + self.gate(state, context, uncertainty) * self.norm(context)
        return routed
