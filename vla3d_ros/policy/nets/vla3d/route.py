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
    In training mode `aux` holds what the losses compare; in evaluation mode it is empty. A stage of training that has
    no use for them may switch `completes` and `routes` off; what was not built can not be switched on.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        if config.vla3d is None:
            raise ConfigError(f"route 'vla3d' needs a section 'vla3d'; the config's route is '{config.route}'")
        route = config.vla3d
        self.rope = Rope3d(route.width // route.heads, base=route.rope_base, scale_per_m=route.rope_scale)
        self.memory = MemoryEncoder(config, route)
        self.instances = InstanceModule(config, route)
        self.completes, self.routes = route.completes, route.routes
        self.completion_slots = route.completion_points
        self.occlusion = OcclusionModule(config, route) if route.completes else None
        self.ee_encoding = EndEffectorEncoding(route, len(config.arms))
        self.local_context = LocalContext(route) if route.routes else None
        self.gate = UncertaintyGate(route) if route.routes else None
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
        completion = self._complete(memory, scene, inputs)
        tokens = self._aggregate(scene, completion, inputs)
        completed = self._empty_slots(scene) if completion is None else completion.mask
        mask = torch.cat([scene.instances.mask, completed], dim=1)
        tokens = torch.where(mask.unsqueeze(-1), self.project(self.norm(tokens)), 0.0)
        aux = self._aux(memory, scene, completion) if self.training else {}
        return RouteOutput(features.tokens, tokens, mask, self._display(scene, completion), aux)

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

        Raises:
            ConfigError: If the configuration has no completion.
        """
        if self.occlusion is None:
            raise ConfigError("'vla3d.completes' is false: there is no predictor that could be asked for hidden tokens")
        return self.occlusion.reconstruct(self.remember(features, inputs, hidden), index, self.rope)

    def _complete(self, memory: Memory, scene: InstanceScene, inputs: ContextInputs) -> Completion | None:
        """Find and predict what nobody saw, where that is wanted."""
        if self.occlusion is None or not self.completes:
            return None
        coordinates, cells = self.memory.coordinates, self.occlusion.cells
        surface = coordinates.surface(memory.places, memory.grid, cells, inputs.depth_m, memory.cameras)
        completion: Completion = self.occlusion(memory, scene, self.instances, surface, self.rope)
        return completion

    def _empty_slots(self, scene: InstanceScene) -> Tensor:
        """(B, P) bool, all false."""
        mask = scene.instances.mask
        return mask.new_zeros(mask.shape[0], self.completion_slots)

    def _aggregate(self, scene: InstanceScene, completion: Completion | None, inputs: ContextInputs) -> Tensor:
        """Eq. 15 and 16 for the instances, Eq. 14 added to both kinds of token: (B, I + P, D)."""
        instances = scene.instances
        known = instances.state
        if completion is not None and self.routes and self.local_context is not None and self.gate is not None:
            context = self.local_context(
                known, instances.points, completion.features, completion.points, completion.mask
            )
            known = self.gate(known, context, instances.uncertainty)
        if completion is None:
            empty = known.new_zeros(known.shape[0], self.completion_slots, known.shape[2])
            features, places = empty, empty[..., :3].float()
        else:
            features, places = completion.features, completion.points
        tokens = torch.cat([known + self.kinds[0], features + self.kinds[1]], dim=1)
        points = torch.cat([instances.points, places], dim=1)
        assert inputs.T_base_ee is not None  # the graph's inputs follow the configuration
        known_arms = inputs.arm_mask & inputs.state_mask  # without its state nobody knows where an arm is
        encoded: Tensor = self.ee_encoding(points, inputs.T_base_ee[..., :3, 3], known_arms)
        return tokens + encoded

    def _aux(self, memory: Memory, scene: InstanceScene, completion: Completion | None) -> dict[str, Tensor]:
        aux = self.instances.supervision(scene, memory.cameras)
        aux["memory"] = memory.tokens
        aux["token_points"], aux["token_placed"] = memory.places.points, memory.places.placed
        if memory.places.depth_logits is not None:
            aux["depth_logits"] = memory.places.depth_logits
        if completion is None:
            return aux
        aux["completion_features"] = completion.features
        aux["completion_instance"] = completion.instance
        aux["candidate_points"] = completion.unseen.candidates.points
        aux["candidate_mask"] = completion.unseen.candidates.mask
        aux["observed_points"] = completion.unseen.observed.points
        aux["observed_mask"] = completion.unseen.observed.mask
        return aux

    def _display(self, scene: InstanceScene, completion: Completion | None) -> dict[str, Tensor]:
        """Return the outputs for people; empty slots are zero, so that engines can be compared."""
        instances = scene.instances
        mask = self._empty_slots(scene) if completion is None else completion.mask
        points = mask.unsqueeze(-1).expand(-1, -1, 3).float() if completion is None else completion.points
        return {
            "instance_points": torch.where(instances.mask.unsqueeze(-1), instances.points, 0.0),
            "instance_scores": torch.where(instances.mask, instances.scores, 0.0),
            "instance_mask": instances.mask,
            "completion_points": points,
            "completion_mask": mask,
        }
