"""What of the context reaches the action expert. The trunk's bridge hands over everything; query routes narrow it."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.features import RouteOutput
from vla3d_ros.policy.nets.pytorch import Tensor, nn, torch
from vla3d_ros.policy.nets.trunk import Prefix


class Mixed(NamedTuple):
    """The context transformer's answer: final states of the prefix (B, P, C) and of each query group (B, M, C).

    layers: states of the prefix after every block, each (B, P, C).
    """

    prefix: Tensor
    queries: list[Tensor]
    layers: list[Tensor]


class Reading(NamedTuple):
    """What the expert reads: tokens (B, N, C) with mask (B, N) bool, and a summary (B, C) that conditions it."""

    tokens: Tensor
    mask: Tensor
    summary: Tensor
    aux: dict[str, Tensor]


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over visible tokens: (B, N, C), (B, N) to (B, C); zero where none is visible."""
    weight = mask[..., None].to(tokens.dtype)
    return (tokens * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)


def seen_by_expert(queries: Tensor, prefix: Prefix) -> Tensor:
    """Mask (B, M) of query tokens (B, M, C): all of them, as soon as they had anything to look at."""
    return prefix.mask.any(dim=1, keepdim=True).expand(-1, queries.shape[1])


class Bridge(nn.Module):
    """The trunk's: the expert reads all tokens, a route's extra tokens among them."""

    has_states_in_context = True

    def queries(self, batch: int) -> list[Tensor]:
        """Return groups of query tokens (B, M, C) that follow the prefix through the context transformer."""
        return []

    def read(self, mixed: Mixed, prefix: Prefix, route: RouteOutput | None) -> Reading:
        """Choose what the expert reads."""
        mask = prefix.mask if prefix.dropped is None else prefix.mask & ~prefix.dropped
        asked = mixed.prefix[:, -prefix.asked :], mask[:, -prefix.asked :]
        tokens = mixed.prefix
        if route is not None and route.extra_tokens.shape[1]:
            tokens = torch.cat([tokens, route.extra_tokens], dim=1)
            mask = torch.cat([mask, route.extra_mask], dim=1)
        return Reading(tokens=tokens, mask=mask, summary=masked_mean(*asked), aux={})

    def steer(self, tokens: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Let the condition (B, D) reach the expert: its tokens (B, K, D), and what modulates it (B, D)."""
        return tokens, condition
