"""The self-supervised predictor at work (3DVLA 3.3): unseen points of instances, and hidden tokens in training."""

from __future__ import annotations

import math
from typing import NamedTuple

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.route_configs import Vla3dConfig
from vla3d_ros.policy.nets.vla3d.completion import CompletionPredictor, Placed
from vla3d_ros.policy.nets.vla3d.coordinates import Surface
from vla3d_ros.policy.nets.vla3d.instances import InstanceModule, InstanceScene
from vla3d_ros.policy.nets.vla3d.memory import Memory
from vla3d_ros.policy.nets.vla3d.pyramid import MASK_STRIDE, halvings, scaled_grid
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d
from vla3d_ros.policy.nets.vla3d.selection import take_slots
from vla3d_ros.policy.nets.vla3d.unseen_points import UnseenPointFinder, UnseenPoints


class Completion(NamedTuple):
    """P completion points: features (B, P, D), points (B, P, 3) m in base, mask (B, P) bool, instance (B, O) int64.

    unseen: how the points came about. Points stand instance by instance, in the order of `instance`.
    """

    features: Tensor
    points: Tensor
    mask: Tensor
    instance: Tensor
    unseen: UnseenPoints


class OcclusionModule(nn.Module):
    """Chooses occluded instances, finds their unseen points and predicts features there."""

    def __init__(self, config: PolicyConfig, route: Vla3dConfig) -> None:
        super().__init__()
        self.occluded, self.per_instance = route.occluded_instances, route.points_per_instance
        self.mask_logit = math.log(route.mask_threshold / (1.0 - route.mask_threshold))
        self.cells = scaled_grid(config.grid, halvings(config.encoder.patch, MASK_STRIDE))
        self.finder = UnseenPointFinder(route, self.cells)
        self.predictor = CompletionPredictor(route)

    def forward(
        self, memory: Memory, scene: InstanceScene, module: InstanceModule, surface: Surface, rope: Rope3d
    ) -> Completion:
        """Complete the instances the policy is least sure of (the paper does not say how it picks the occluded)."""
        instances = scene.instances
        doubt = torch.where(instances.mask, instances.uncertainty, -1.0)
        ranked, slot = doubt.topk(self.occluded, dim=1, sorted=True)
        state, points = take_slots(instances.state, slot), take_slots(instances.points, slot)
        gates = take_slots(instances.gates.transpose(1, 2), slot)  # (B, O, V)
        inside = module.mask_logits(state, points, scene.pyramid, memory.cameras).flatten(3) > self.mask_logit
        unseen = self.finder(inside, ranked >= 0.0, surface, memory.cameras)
        views = self.predictor.view(memory.cameras)
        query_view = (gates.to(views.dtype) @ views).repeat_interleave(self.per_instance, dim=1)
        asked = Placed(unseen.points.flatten(1, 2), query_view, unseen.mask.flatten(1, 2))
        features = self.predictor(memory.tokens.flatten(1, 2), self._visible(memory, views), asked, rope)
        return Completion(features, asked.points, asked.mask, slot, unseen)

    def reconstruct(self, memory: Memory, index: Tensor, rope: Rope3d) -> tuple[Tensor, Tensor]:
        """Predict hidden tokens (training, Eq. 11-13).

        Args:
            memory: Encoded with those tokens hidden.
            index: (B, T) int64 into the V * N tokens, the ones to predict.
            rope: Of the route.

        Returns:
            Predictions (B, T, D) and (B, T) bool, true where the token has a place to be asked for.
        """
        views = self.predictor.view(memory.cameras)
        visible = self._visible(memory, views)
        placed = memory.places.placed.flatten(1, 2).gather(1, index)
        asked = Placed(take_slots(visible.points, index), take_slots(visible.view, index), placed)
        return self.predictor(memory.tokens.flatten(1, 2), visible, asked, rope), placed

    def _visible(self, memory: Memory, views: Tensor) -> Placed:
        count = memory.tokens.shape[2]
        each = views.unsqueeze(2).expand(-1, -1, count, -1).flatten(1, 2)
        mask = (memory.places.placed & memory.mask).flatten(1, 2)
        return Placed(memory.places.points.flatten(1, 2), each, mask)
