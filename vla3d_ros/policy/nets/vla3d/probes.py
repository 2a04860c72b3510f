"""The instance probes (3DVLA 3.2.1): learned states at learned places, decoded layer by layer."""

from __future__ import annotations

from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras
from vla3d_ros.policy.nets.vla3d.fourier import FourierEmbedding
from vla3d_ros.policy.nets.vla3d.probe_layer import ProbeLayer, Probes
from vla3d_ros.policy.nets.vla3d.pyramid import Pyramid
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d

_R3 = 1.2207440846057596  # root of x^4 = x + 1: the fractions of n / R3^axis fill a box evenly


def spread_points(count: int, lower_m: tuple[float, ...], upper_m: tuple[float, ...]) -> Tensor:
    """Return (count, 3) points that fill a box evenly, the same every time (R3 sequence)."""
    steps = torch.tensor([_R3**-1, _R3**-2, _R3**-3], dtype=torch.float64)
    fractions = (0.5 + torch.arange(1, count + 1, dtype=torch.float64)[:, None] * steps) % 1.0
    lower = torch.tensor(lower_m, dtype=torch.float64)
    points: Tensor = (lower + fractions * (torch.tensor(upper_m, dtype=torch.float64) - lower)).float()
    return points


class ProbeDecoder(nn.Module):
    """Q probes through all decoder layers."""

    def __init__(self, config: Vla3dConfig) -> None:
        super().__init__()
        self.states = nn.Parameter(torch.randn(config.probes, config.width) * 0.02)
        self.points = nn.Parameter(spread_points(config.probes, config.probe_lower_m, config.probe_upper_m))
        self.pixel_embedding = FourierEmbedding(2, config.pixel_frequencies, config.width)
        self.layers = nn.ModuleList(ProbeLayer(config) for _ in range(config.decoder_layers))

    def forward(self, cameras: Cameras, pyramid: Pyramid, rope: Rope3d) -> list[Probes]:
        """Decode; returns the probes after every layer, the last one last."""
        batch, views = cameras.mask.shape
        state = self.states.expand(batch, -1, -1)
        points = self.points.float().expand(batch, -1, -1)
        probes = Probes(state, points, points.new_zeros(batch, views, points.shape[1]))
        decoded = []
        for layer in self.layers:
            probes = layer(probes, self.pixel_embedding, rope, cameras, pyramid)
            decoded.append(probes)
        return decoded
