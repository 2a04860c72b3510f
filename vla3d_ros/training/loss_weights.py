"""The lambdas: of a stage, and those inside of the paper's two joint losses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """What a stage minimises; 0 leaves a loss out."""

    flow: float = 1.0  # GEAR-VLA Eq. 2
    instances: float = 0.0  # 3DVLA Eq. 6
    depth: float = 0.0  # of the depth head
    self_supervision: float = 0.0  # 3DVLA Eq. 11


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceWeights:
    """lambda of 3DVLA Eq. 6, those of App. A.3; the matching cost uses the first three and the last."""

    classification: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    point: float = 5.0  # per metre


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSupervisionWeights:
    """lambda of 3DVLA Eq. 11, those of App. A.3."""

    reconstruction: float = 1.0
    cosine: float = 0.1
    variance: float = 10.0
