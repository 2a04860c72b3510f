"""The policy network: trunk, spatial route, bridge and action expert, cut where the two exported graphs are cut."""

from __future__ import annotations

import dataclasses

from vla3d_ros.policy.nets.action_expert import ActionExpert
from vla3d_ros.policy.nets.bridge import Bridge, Mixed
from vla3d_ros.policy.nets.config import ROUTES, PolicyConfig
from vla3d_ros.policy.nets.context_transformer import visibility
from vla3d_ros.policy.nets.features import Context, ContextInputs, RouteOutput, StepInputs
from vla3d_ros.policy.nets.flow import guidance_weight, guided_velocity
from vla3d_ros.policy.nets.gear import GearBridge, GearRoute
from vla3d_ros.policy.nets.modality_drop import ModalityDrop
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.think3d import Think3dBridge
from vla3d_ros.policy.nets.trunk import Prefix, Trunk
from vla3d_ros.policy.nets.vipa import VipaBridge, VipaRoute


class PolicyNet(nn.Module):
    """Context once per observation, then Euler steps of the flow."""

    def __init__(self, config: PolicyConfig, *, trunk: Trunk | None = None, expert: ActionExpert | None = None) -> None:
        """Build from a configuration.

        Args:
            config: Every size.
            trunk: Share this trunk instead of building one.
            expert: Share this expert instead of building one.
        """
        super().__init__()
        self.config = config
        self.trunk = Trunk(config) if trunk is None else trunk
        self.expert = ActionExpert(config) if expert is None else expert
        self.route = _build_route(config)
        self.bridge = _build_bridge(config)

    def without_route(self) -> PolicyNet:
        """Return the plain trunk policy that shares this one's trunk and expert: the route switched off."""
        off: dict[str, None] = dict.fromkeys(ROUTES[1:])
        config = dataclasses.replace(self.config, route="trunk", **off)  # type: ignore[arg-type]
        return PolicyNet(config, trunk=self.trunk, expert=self.expert).train(self.training)

    def context(self, inputs: ContextInputs, drop: ModalityDrop | None = None) -> Context:
        """Turn an observation into what the expert reads.

        Args:
            inputs: The observation.
            drop: What training hides from queries and expert.
        """
        features = self.trunk.see(inputs)
        routed: RouteOutput | None = None if self.route is None else self.route(features, inputs)
        visual = features.tokens if routed is None else routed.visual_tokens
        prefix = self.trunk.prefix(
            visual, features.token_mask, inputs, drop, has_states=self.bridge.has_states_in_context
        )
        reading = self.bridge.read(self._mix(prefix), prefix, routed)
        keys, values = self.expert.remember(reading.tokens)
        return Context(
            context_k=keys,
            context_v=values,
            context_mask=reading.mask,
            condition=self.expert.conditioning(reading.summary),
            display={} if routed is None else routed.display,
            aux=reading.aux if routed is None else {**routed.aux, **reading.aux},
        )

    def _mix(self, prefix: Prefix) -> Mixed:
        queries = self.bridge.queries(prefix.tokens.shape[0])
        sizes = [group.shape[1] for group in queries]
        visible = visibility(prefix.mask, sizes, prefix.dropped)
        count = prefix.tokens.shape[1]
        final, layers = self.trunk.transformer(torch.cat([prefix.tokens, *queries], dim=1), visible)
        parts = final.split([count, *sizes], dim=1)
        return Mixed(prefix=parts[0], queries=list(parts[1:]), layers=[layer[:, :count] for layer in layers])

    def velocity(
        self, x: Tensor, tau: Tensor, context: Context, arm_mask: Tensor, prefix_mask: Tensor | None = None
    ) -> Tensor:
        """Return v(x, tau, context), (B, K, A*10); zero for masked arms.

        Args:
            x: Noisy chunk (B, K, A*10), normalised.
            tau: Flow time (B,), 0 noise ... 1 data.
            context: From `context`.
            arm_mask: (B, A) bool.
            prefix_mask: (B, K) bool, steps that are given: their flow time is 1. None for none.
        """
        given = torch.zeros_like(x[..., 0], dtype=torch.bool) if prefix_mask is None else prefix_mask
        tokens, modulation = self.bridge.steer(self.expert.enter(x, arm_mask), context.condition)
        memory = context.context_k, context.context_v, context.context_mask
        velocity: Tensor = self.expert(tokens, (tau, given), modulation, memory, arm_mask)
        return velocity

    def step(self, flow: StepInputs) -> Tensor:
        """Take one Euler step x + dt v', guided where weights are above 0, and fixed where `prefix_mask` says so.

        Returns:
            x at tau + dt, (B, K, A*10).
        """
        given = flow.prefix_mask[..., None]
        x = torch.where(given, flow.previous, flow.x)
        context = Context(flow.context_k, flow.context_v, flow.context_mask, flow.condition, {}, {})
        velocity = self.velocity(x, flow.tau, context, flow.arm_mask, flow.prefix_mask)
        gain = guidance_weight(flow.tau, flow.beta, self.config.expert.guidance_eps)
        velocity = guided_velocity(x, velocity, flow.tau, flow.previous, flow.weights, gain)
        return torch.where(given, flow.previous, x + flow.dt[:, None, None] * velocity)


def _build_route(config: PolicyConfig) -> nn.Module | None:
    if config.route == "vla3d":
        from vla3d_ros.policy.nets.vla3d import Vla3dRoute

        return Vla3dRoute(config)
    routes = {"gear": GearRoute, "vipa": VipaRoute}
    return routes[config.route](config) if config.route in routes else None


def _build_bridge(config: PolicyConfig) -> Bridge:
    bridges = {"gear": GearBridge, "vipa": VipaBridge, "think3d": Think3dBridge}
    return bridges[config.route](config) if config.route in bridges else Bridge()
