"""One decoder layer of the instance probes (3DVLA 3.2): look at every view, weigh the views, move a little."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, functional, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras, Projection, project
from vla3d_ros.policy.nets.vla3d.deformable_attention import DeformableAttention
from vla3d_ros.policy.nets.vla3d.fourier import FourierEmbedding
from vla3d_ros.policy.nets.vla3d.hybrid_attention import SelfBlock
from vla3d_ros.policy.nets.vla3d.pyramid import Pyramid
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d

_NO_GATE = 1.0e-6  # keeps 0 / 0 out of the normalisation; the sum is float32


class Probes(NamedTuple):
    """Q probes: state c (B, Q, D), points p (B, Q, 3) m in base (float32), view gates (B, V, Q) float32."""

    state: Tensor
    points: Tensor
    gates: Tensor


def two_layers(width: int, out_width: int, hidden: int | None = None) -> nn.Sequential:
    """Return Linear, GELU, Linear."""
    between = hidden or width
    return nn.Sequential(nn.Linear(width, between), nn.GELU(), nn.Linear(between, out_width))


def normalised_gates(logits: Tensor, temperature: Tensor, visible: Tensor) -> Tensor:
    """Weigh the views: `g = sigmoid(logit / tau_view)`, zero where unseen, divided by the sum over views.

    Args:
        logits: (B, V, Q).
        temperature: () tau_view, above 0.
        visible: (B, V, Q) bool.

    Returns:
        (B, V, Q) float32; sums to one over the views, or to zero if no view sees the probe.
    """
    gates = torch.sigmoid(logits.float() / temperature.float()) * visible.float()
    return gates / gates.sum(dim=1, keepdim=True).clamp(min=_NO_GATE)


def refine(points: Tensor, logits: Tensor, reach_m: float) -> Tensor:
    """Move points by at most `reach_m` per axis, Eq. 4: `p + alpha tanh(MLP(c))`; (B, Q, 3) m float32."""
    return points + reach_m * torch.tanh(logits.float())


class ProbeLayer(nn.Module):
    """Self-attention of the probes, then Eq. 2, Eq. 3, the gate and Eq. 4.

    The paper gives no self-attention; without it two probes can not agree who takes which object.
    """

    def __init__(self, config: Vla3dConfig) -> None:
        super().__init__()
        width = config.width
        self.reach_m = config.refinement_m
        self.block = SelfBlock(width, config.heads, config.mlp_ratio)
        self.norm = nn.LayerNorm(width)
        self.sampling = DeformableAttention(
            width, heads=config.sampling_heads, scales=config.sampling_scales, points=config.sampling_points
        )
        self.gate = two_layers(width, 1, width // 4)
        self.sharpness = nn.Parameter(torch.tensor(config.view_temperature).expm1().log())  # tau = softplus of it
        self.refinement = nn.Sequential(nn.LayerNorm(width), *two_layers(width, 3))

    def forward(
        self, probes: Probes, pixel_embedding: FourierEmbedding, rope: Rope3d, cameras: Cameras, pyramid: Pyramid
    ) -> Probes:
        """Update states and points."""
        everyone = torch.ones(probes.state.shape[:2], dtype=torch.bool, device=probes.state.device)
        state = self.block(probes.state, rope(probes.points), everyone)
        projection = project(probes.points, cameras)
        seen = self._look(state, projection, pixel_embedding, pyramid)
        gates = normalised_gates(self.gate(seen).squeeze(-1), functional.softplus(self.sharpness), projection.visible)
        state = state + (gates.unsqueeze(-1).to(seen.dtype) * seen).sum(dim=1)
        return Probes(state, refine(probes.points, self.refinement(state), self.reach_m), gates)

    def _look(
        self, state: Tensor, projection: Projection, pixel_embedding: FourierEmbedding, pyramid: Pyramid
    ) -> Tensor:
        pixels = projection.pixels
        query = self.norm(state).unsqueeze(1) + pixel_embedding(pixels)
        looked: Tensor = self.sampling(query, pixels, pyramid)
        return looked
