"""Keeping the best: at most 16 instances out of 300 probes, in fixed slots with a mask."""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.policy.nets.vla3d.probe_layer import Probes

_UNSEEN = 64.0  # in logits: puts every probe that no view sees behind all others


class Instances(NamedTuple):
    """I slots, best first: state (B, I, D), points (B, I, 3) m, logits (B, I), gates (B, V, I), mask (B, I) bool.

    probe (B, I) int64 says which one fills a slot.
    """

    state: Tensor
    points: Tensor
    logits: Tensor
    gates: Tensor
    mask: Tensor
    probe: Tensor

    @property
    def scores(self) -> Tensor:
        """(B, I) float32 in [0, 1]."""
        return torch.sigmoid(self.logits)

    @property
    def uncertainty(self) -> Tensor:
        """u_i = 1 - sigmoid(l_i) (3DVLA 3.4.2), (B, I) float32."""
        return 1.0 - torch.sigmoid(self.logits)


def take_slots(values: Tensor, index: Tensor) -> Tensor:
    """Read slots (B, n) of values (B, Q, C): (B, n, C)."""
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def select_instances(probes: Probes, class_logits: Tensor, *, slots: int, least_score: float) -> Instances:
    """Keep the probes with the highest logits, those that some view sees first.

    Args:
        probes: After the last layer.
        class_logits: (B, Q, classes); a probe's logit is its best class's.
        slots: How many are kept.
        least_score: In [0, 1].

    Returns:
        The instances; a slot is masked if its score is below `least_score` or no view sees it.
    """
    logits = class_logits.float().amax(dim=-1)
    seen = probes.gates.sum(dim=1) > 0.5
    index = torch.where(seen, logits, logits - _UNSEEN).topk(slots, dim=1, sorted=True).indices
    kept = logits.gather(1, index)
    mask = (torch.sigmoid(kept) >= least_score) & seen.gather(1, index)
    gates = take_slots(probes.gates.transpose(1, 2), index).transpose(1, 2)
    return Instances(take_slots(probes.state, index), take_slots(probes.points, index), kept, gates, mask, index)
