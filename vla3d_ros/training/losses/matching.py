"""Which probe stands for which object (3DVLA 3.2.3, Eq. 5): one assignment in 3D, on the cost averaged over views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from vla3d_ros.policy.nets.pytorch import Tensor, torch
from vla3d_ros.training.loss_weights import InstanceWeights
from vla3d_ros.training.losses.boxes import generalised_iou, l1_distance
from vla3d_ros.training.losses.focal import focal_cost


class InstanceTargets(NamedTuple):
    """T slots for objects: labels (B, T) int64, points (B, T, 3) m in base, present (B, T) bool.

    seen (B, V, T) bool: which views show an object well enough to have a box and a mask of it; boxes (B, V, T, 4)
    centre and size in [0, 1]; masks (B, V, T, rows, columns) bool at 1/4 of the image's scale.
    """

    labels: Tensor
    points: Tensor
    present: Tensor
    seen: Tensor
    boxes: Tensor
    masks: Tensor

    @property
    def countable(self) -> Tensor:
        """(B, T) bool: objects that some view shows; nobody can be asked for the others."""
        return self.present & self.seen.any(dim=1)


class Match(NamedTuple):
    """M pairs in all of a batch: sample (M,), probe (M,) and target (M,), int64 each."""

    sample: Tensor
    probe: Tensor
    target: Tensor


class ProbeAnswers(NamedTuple):
    """What one decoder layer says: class_logits (B, Q, classes), points (B, Q, 3), boxes (B, V, Q, 4).

    mask_logits (B, V, Q, rows, columns).
    """

    class_logits: Tensor
    points: Tensor
    boxes: Tensor
    mask_logits: Tensor


def matching_cost(answers: ProbeAnswers, targets: InstanceTargets, weights: InstanceWeights) -> Tensor:
    """Return C_global(j, k) = 1 / max(|V_k|, 1) sum_{v in V_k} C_v(j, k), Eq. 5.

    C_v = lambda_cls focal cost + lambda_box L1 + lambda_giou (1 - GIoU) + lambda_3d |p_j - p_k|_1; the first and the
    last are the same in every view.

    Args:
        answers: Of Q probes.
        targets: T objects.
        weights: The lambdas.

    Returns:
        (B, Q, T) float32; 0 for objects that no view shows.
    """
    count = answers.class_logits.shape[1]
    classes = focal_cost(answers.class_logits)
    wanted = targets.labels.unsqueeze(1).expand(-1, count, -1)
    shared = weights.classification * classes.gather(2, wanted)
    offsets = (answers.points.float().unsqueeze(2) - targets.points.unsqueeze(1)).abs().sum(dim=-1)
    shared = shared + weights.point * offsets
    boxes, true_boxes = answers.boxes.float().unsqueeze(3), targets.boxes.unsqueeze(2)
    per_view = weights.box * l1_distance(boxes, true_boxes)
    per_view = per_view + weights.giou * (1.0 - generalised_iou(boxes, true_boxes))
    valid = targets.seen.unsqueeze(2).float()  # (B, V, 1, T)
    summed = ((per_view + shared.unsqueeze(1)) * valid).sum(dim=1)
    return summed / valid.sum(dim=1).clamp(min=1.0)


def match(cost: Tensor, countable: Tensor) -> Match:
    """Assign a probe to every countable object, at the least total cost (Hungarian algorithm).

    Args:
        cost: (B, Q, T).
        countable: (B, T) bool, at most Q per sample.

    Returns:
        The pairs, sample by sample.
    """
    costs: NDArray[np.float64] = cost.detach().double().cpu().numpy()
    wanted = countable.cpu().numpy()
    pairs = []
    for sample, (table, mask) in enumerate(zip(costs, wanted, strict=True)):
        objects = np.flatnonzero(mask)
        probes, columns = linear_sum_assignment(table[:, objects])
        pairs.append(np.stack([np.full_like(probes, sample), probes, objects[columns]]))
    joined = torch.from_numpy(np.concatenate(pairs, axis=1).astype(np.int64)).to(cost.device)
    return Match(*joined)
