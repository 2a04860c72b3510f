"""The joint loss of the instance module (3DVLA Eq. 6), for every decoder layer with a matching of its own."""

from __future__ import annotations

from collections.abc import Mapping

from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.training.loss_weights import InstanceWeights
from vla3d_ros.training.losses.boxes import generalised_iou, l1_distance
from vla3d_ros.training.losses.focal import focal_loss
from vla3d_ros.training.losses.masks import dice_loss, mask_cross_entropy
from vla3d_ros.training.losses.matching import (
    InstanceTargets,
    Match,
    ProbeAnswers,
    match,
    matching_cost,
)


def layer_answers(aux: Mapping[str, Tensor]) -> list[ProbeAnswers]:
    """Take what every decoder layer says out of a route's `aux`."""
    names = ("layer_class_logits", "layer_points", "layer_boxes", "layer_mask_logits")
    return [ProbeAnswers(*layer) for layer in zip(*(aux[name] for name in names), strict=True)]


def instance_loss(
    layers: list[ProbeAnswers], targets: InstanceTargets, weights: InstanceWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Match every layer and add its losses up; the mean over layers.

    Args:
        layers: What the probes say after each layer.
        targets: What there is.
        weights: The lambdas.

    Returns:
        Scalar, and the last layer's terms by name, not weighted: classification, box, giou, mask, dice, point.
    """
    total, terms = targets.boxes.new_zeros(()), {}
    for answers in layers:
        found = match(matching_cost(answers, targets, weights), targets.countable)
        terms = set_terms(answers, targets, found)
        total = total + torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return total / len(layers), terms


def set_terms(answers: ProbeAnswers, targets: InstanceTargets, found: Match) -> dict[str, Tensor]:
    """Return the six terms of Eq. 6, given who stands for what.

    Classification and 3D distance are per object; boxes and masks per object and view that shows it.

    Args:
        answers: Of one layer.
        targets: What there is.
        found: The pairs.
    """
    objects = targets.countable.sum()
    wanted = torch.zeros_like(answers.class_logits)
    wanted[found.sample, found.probe, targets.labels[found.sample, found.target]] = 1.0
    points = answers.points[found.sample, found.probe].float() - targets.points[found.sample, found.target]
    pair, view = targets.seen[found.sample, :, found.target].nonzero(as_tuple=True)
    sample, probe, target = (index[pair] for index in found)
    shown = torch.ones_like(pair).sum().clamp(min=1)
    boxes, true_boxes = answers.boxes[sample, view, probe].float(), targets.boxes[sample, view, target]
    logits = answers.mask_logits[sample, view, probe].flatten(1)
    masks = targets.masks[sample, view, target].flatten(1)
    return {
        "classification": focal_loss(answers.class_logits, wanted, objects),
        "box": l1_distance(boxes, true_boxes).sum() / shown,
        "giou": (1.0 - generalised_iou(boxes, true_boxes)).sum() / shown,
        "mask": mask_cross_entropy(logits, masks).sum() / shown,
        "dice": dice_loss(logits, masks).sum() / shown,
        "point": points.abs().sum() / objects.clamp(min=1),
    }
