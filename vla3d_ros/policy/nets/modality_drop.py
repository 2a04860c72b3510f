"""Attention-level modality dropping for training (GEAR-VLA App. A).

Action-prediction queries and the action expert lose sight of wrist views, of robot states, of both, or of nothing. We
hide keys before the softmax (weights renormalise) where the paper zeroes weights after it: the same masks then serve a
camera that is really lost.
"""

from __future__ import annotations

from typing import NamedTuple

from vla3d_ros.policy.nets.config import PolicyConfig
from vla3d_ros.policy.nets.pytorch import Tensor, torch


class ModalityDrop(NamedTuple):
    """What is hidden: views (B, V) bool and states (B, A) bool, True where dropped."""

    views: Tensor
    states: Tensor


def sample_modality_drop(config: PolicyConfig, batch: int, generator: torch.Generator) -> ModalityDrop:
    """Draw what each sample of a batch loses.

    Args:
        config: Says which views are wrist views, and the probabilities.
        batch: Samples B.
        generator: Source of randomness, on the CPU.
    """
    drop = config.drop
    draw = torch.rand(batch, generator=generator)
    loses_both = draw < drop.both
    loses_wrist = loses_both | ((draw >= drop.both) & (draw < drop.both + drop.wrist))
    loses_state = loses_both | ((draw >= drop.both + drop.wrist) & (draw < drop.both + drop.wrist + drop.state))
    is_wrist = torch.tensor([name in config.wrist_views for name in config.views])
    return ModalityDrop(
        views=loses_wrist[:, None] & is_wrist[None],
        states=loses_state[:, None].expand(batch, len(config.arms)),
    )
