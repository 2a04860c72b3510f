"""The object-centric instance module (3DVLA 3.2): pyramid, probes, what they say, and the best of them."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.cameras import Cameras, project
from vla3d_ros.policy.nets.vla3d.instance_heads import InstanceHeads
from vla3d_ros.policy.nets.vla3d.memory import Memory
from vla3d_ros.policy.nets.vla3d.probe_layer import Probes
from vla3d_ros.policy.nets.vla3d.probes import ProbeDecoder
from vla3d_ros.policy.nets.vla3d.pyramid import Pyramid, PyramidDecoder
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d
from vla3d_ros.policy.nets.vla3d.selection import Instances, select_instances


class InstanceScene(NamedTuple):
    """Instances, the probes of every layer they were chosen from, and the maps their masks are read from."""

    instances: Instances
    layers: list[Probes]
    pyramid: Pyramid


class InstanceModule(nn.Module):
    """From memory to at most 16 instances."""

    def __init__(self, config: PolicyConfig, route: Vla3dConfig) -> None:
        super().__init__()
        self.slots, self.least_score = route.instances, route.score_threshold
        self.pyramid = PyramidDecoder(
            route.width, route.mask_width, patch_px=config.encoder.patch, scales=route.sampling_scales
        )
        self.decoder = ProbeDecoder(route)
        self.heads = InstanceHeads(route)

    def forward(self, memory: Memory, rope: Rope3d) -> InstanceScene:
        """Find instances."""
        pyramid = self.pyramid(memory.tokens, memory.grid)
        layers = self.decoder(memory.cameras, pyramid, rope)
        logits = self.heads.class_logits(layers[-1].state)
        chosen = select_instances(layers[-1], logits, slots=self.slots, least_score=self.least_score)
        return InstanceScene(chosen, layers, pyramid)

    def mask_logits(self, state: Tensor, points: Tensor, pyramid: Pyramid, cameras: Cameras) -> Tensor:
        """Return the masks of states (B, n, D) at points (B, n, 3): logits (B, V, n, rows, columns) at 1/4 scale."""
        pixels = project(points, cameras).pixels
        view_state = self.heads.view_state(state, self.decoder.pixel_embedding(pixels))
        return self.heads.mask_logits(view_state, pyramid.mask_map)

    def supervision(self, scene: InstanceScene, cameras: Cameras) -> dict[str, Tensor]:
        """Return what the losses of Eq. 5-6 compare, for every layer and all probes.

        Args:
            scene: Of `forward`.
            cameras: The views.

        Returns:
            layer_class_logits (L, B, Q, classes), layer_points (L, B, Q, 3) m, layer_pixels (L, B, V, Q, 2),
            layer_visible (L, B, V, Q) bool, layer_gates (L, B, V, Q), layer_boxes (L, B, V, Q, 4) as centre and size in
            [0, 1], layer_mask_logits (L, B, V, Q, rows, columns), instance_probe (B, I) int64.
        """
        said = [self._say(probes, scene.pyramid, cameras) for probes in scene.layers]
        stacked = {f"layer_{name}": torch.stack([layer[name] for layer in said]) for name in said[0]}
        return {**stacked, "instance_probe": scene.instances.probe}

    def _say(self, probes: Probes, pyramid: Pyramid, cameras: Cameras) -> dict[str, Tensor]:
        projection = project(probes.points, cameras)
        view_state = self.heads.view_state(probes.state, self.decoder.pixel_embedding(projection.pixels))
        return {
            "class_logits": self.heads.class_logits(probes.state),
            "points": probes.points,
            "pixels": projection.pixels,
            "visible": projection.visible,
            "gates": probes.gates,
            "boxes": self.heads.boxes(view_state, projection.pixels),
            "mask_logits": self.heads.mask_logits(view_state, pyramid.mask_map),
        }
