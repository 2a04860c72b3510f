"""Route `vla3d`: 3DVLA (arXiv 2605.29416), fusion, instances, completion and aggregation in a row."""

from __future__ import annotations

from vla3d_ros.errors import ConfigError
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.features import ContextInputs, RouteOutput, VisualFeatures
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.vla3d.aggregation import EndEffectorEncoding, LocalContext, UncertaintyGate
from vla3d_ros.policy.nets.vla3d.instances import InstanceModule, InstanceScene
from vla3d_ros.policy.nets.vla3d.memory import Memory, MemoryEncoder
from vla3d_ros.policy.nets.vla3d.occlusion import Completion, OcclusionModule
from vla3d_ros.policy.nets.vla3d.rope3d import Rope3d


class Vla3dRoute(nn.Module):
    """The spatial route of 3DVLA, beside a trunk it does not change.

    The trunk's visual tokens pass through untouched; instance and completion tokens stand beside them in fixed slots.
    In training mode `aux` holds what the losses compare; in evaluation mode it is empty.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        if config.vla3d is None:
            raise ConfigError(f"route 'vla3d' needs a section 'vla3d'; the config's route is '{config.route}'")
        route = config.vla3d
        self.rope = Rope3d(route.width // route.heads, base=route.rope_base, scale_per_m=route.rope_scale)
        self.memory = MemoryEncoder(config, route)
        self.instances = InstanceModule(config, route)
        self.occlusion = OcclusionModule(config, route)
        self.ee_encoding = EndEffectorEncoding(route, len(config.arms))
        self.local_context = LocalContext(route)
        self.gate = UncertaintyGate(route)
        self.kinds = nn.Parameter(torch.randn(2, route.width) * 0.02)  # told apart: instance, completion point
        self.norm = nn.LayerNorm(route.width)
        self.project = nn.Linear(route.width, config.width)

    def forward(self, features: VisualFeatures, inputs: ContextInputs) -> RouteOutput:
        """Add what is known in 3D.

        Args:
            features: The trunk's visual tokens.
            inputs: K, T_base_camera, T_base_ee, masks, and depth_m where the configuration measures depth.

        Returns:
            The trunk's own visual tokens; I instance and P completion tokens; both for display.
        """
        memory = self.memory(features, inputs, self.rope)
        scene = self.instances(memory, self.rope)
        surface = self.memory.coordinates.surface(
            memory.places, memory.grid, self.occlusion.cells, inputs.depth_m, memory.cameras
        )
        completion = self.occlusion(memory, scene, self.instances, surface, self.rope)
        tokens = self._aggregate(scene, completion, inputs)
        mask = torch.cat([scene.instances.mask, completion.mask], dim=1)
        tokens = torch.where(mask.unsqueeze(-1), self.project(self.norm(tokens)), 0.0)
        aux = self._aux(memory, scene, completion) if self.training else {}
        return RouteOutput(features.tokens, tokens, mask, _display(scene, completion), aux)

    def remember(self, features: VisualFeatures, inputs: ContextInputs, hidden: Tensor | None = None) -> Memory:
        """Encode the memory alone: what an EMA teacher is asked for its targets (Eq. 11-13).

        Args:
            features: The trunk's visual tokens.
            inputs: As for `forward`.
            hidden: (B, V, N) bool, tokens withheld, or None.

        Returns:
            The memory; `tokens.flatten(1, 2)` at the hidden tokens' index are the targets.
        """
        remembered: Memory = self.memory(features, inputs, self.rope, hidden)
        return remembered

    def reconstruct(
        self, features: VisualFeatures, inputs: ContextInputs, hidden: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Hide tokens and predict them from the rest: what the student is asked (Eq. 11-13).

        Args:
            features: The trunk's visual tokens.
            inputs: As for `forward`.
            hidden: (B, V, N) bool, tokens withheld from memory and context.
            index: (B, T) int64 into the V * N tokens, those of the hidden that are to be predicted.

        Returns:
            Predictions (B, T, D) in the memory's space, and (B, T) bool: whether the token's place is known.
        """
        return self.occlusion.reconstruct(self.remember(features, inputs, hidden), index, self.rope)

    def _aggregate(self, scene: InstanceScene, completion: Completion, inputs: ContextInputs) -> Tensor:
        """Eq. 15 and 16 for the instances, Eq. 14 added to both kinds of token: (B, I + P, D)."""
        instances = scene.instances
        context = self.local_context(
            instances.state, instances.points, completion.features, completion.points, completion.mask
        )
        routed = self.gate(instances.state, context, instances.uncertainty)
        tokens = torch.cat([routed + self.kinds[0], completion.features + self.kinds[1]], dim=1)
        points = torch.cat([instances.points, completion.points], dim=1)
        assert inputs.T_base_ee is not None  # the graph's inputs follow the configuration
        known_arms = inputs.arm_mask & inputs.state_mask  # without its state nobody knows where an arm is
        encoded: Tensor = self.ee_encoding(points, inputs.T_base_ee[..., :3, 3], known_arms)
        return tokens + encoded

    def _aux(self, memory: Memory, scene: InstanceScene, completion: Completion) -> dict[str, Tensor]:
        aux = self.instances.supervision(scene, memory.cameras)
        aux["memory"] = memory.tokens
        aux["token_points"], aux["token_placed"] = memory.places.points, memory.places.placed
        if memory.places.depth_logits is not None:
            aux["depth_logits"] = memory.places.depth_logits
        aux["completion_features"] = completion.features
        aux["completion_instance"] = completion.instance
        aux["candidate_points"] = completion.unseen.candidates.points
        aux["candidate_mask"] = completion.unseen.candidates.mask
        aux["observed_points"] = completion.unseen.observed.points
        aux["observed_mask"] = completion.unseen.observed.mask
        return aux


def _display(scene: InstanceScene, completion: Completion) -> dict[str, Tensor]:
    """Return the outputs for people; empty slots are zero, so that engines can be compared."""
    instances = scene.instances
    return {
        "instance_points": torch.where(instances.mask.unsqueeze(-1), instances.points, 0.0),
        "instance_scores": torch.where(instances.mask, instances.scores, 0.0),
        "instance_mask": instances.mask,
        "completion_points": completion.points,
        "completion_mask": completion.mask,
    }
