"""3DThinkVLA (arXiv 2606.04436): geometry from light adapters, reasoning from one anchor token, both in the queries.

Only the abstract is public; the parts are as it names them, their sizes are fields of the configuration.
"""

from __future__ import annotations

from vla3d_ros.policy.nets.attention import CrossAttention, Mlp, attention_bias
from vla3d_ros.policy.nets.bridge import Bridge, Mixed, Reading, masked_mean, seen_by_expert
from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.features import RouteOutput
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.trunk import Prefix


class Think3dBridge(Bridge):
    """Adapters read intermediate visual states; the anchor stands between task and action instruction.

    Order of tokens: views, task instruction, state | anchor | action instruction (learned), action queries. Each group
    sees those before it, so the anchor condenses what is seen and asked before any action token reads it.

    For losses: `aux["geometry"]` (B, layers, V*N, G), aligned with a 3D foundation model's features in training, and
    `aux["anchor"]` (B, C), aligned with a teacher's anchor. Neither teacher exists at deployment.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        think = config.think3d
        assert think is not None
        width, geometry = config.width, think.geometry_width
        self.taps = think.adapter_layers
        self.instruction_tokens = think.action_instruction_tokens
        self.adapters = nn.ModuleList([Mlp(width, think.adapter_width, geometry) for _ in self.taps])
        self.anchor = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.action = nn.Parameter(0.02 * torch.randn(1, self.instruction_tokens + think.action_queries, width))
        self.geometry_norm = nn.LayerNorm(geometry)
        self.geometry = CrossAttention(width, geometry, width, config.context.heads)
        self.reasoning = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def queries(self, batch: int) -> list[Tensor]:
        """Return the anchor, then action instruction and action queries."""
        return [self.anchor.expand(batch, -1, -1), self.action.expand(batch, -1, -1)]

    def read(self, mixed: Mixed, prefix: Prefix, route: RouteOutput | None) -> Reading:
        """Inject geometry and reasoning into the action queries: LN(q + CrossAttn(q, geometry) + W anchor)."""
        taps = zip(self.taps, self.adapters, strict=True)
        levels = [adapter(mixed.layers[layer][:, : prefix.visual]) for layer, adapter in taps]
        mask = prefix.mask if prefix.dropped is None else prefix.mask & ~prefix.dropped
        bias = attention_bias(mask[:, : prefix.visual].repeat(1, len(levels)))
        anchor = mixed.queries[0]
        hidden = mixed.queries[1][:, self.instruction_tokens :]
        found = self.geometry(hidden, self.geometry_norm(torch.cat(levels, dim=1)), bias)
        hidden = self.norm(hidden + found + self.reasoning(anchor))
        read = seen_by_expert(hidden, prefix)
        aux = {"geometry": torch.stack(levels, dim=1), "anchor": anchor[:, 0]}
        return Reading(hidden, read, masked_mean(hidden, read), aux=aux)
