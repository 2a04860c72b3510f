"""Matching and set losses of 3DVLA Eq. 5 and 6, against NumPy float64 and brute force over permutations."""

import float64_losses as reference
import numpy as np
import pytest
import torch

from vla3d_ros.training.loss_weights import InstanceWeights
from vla3d_ros.training.losses.boxes import generalised_iou
from vla3d_ros.training.losses.instances import instance_loss, set_terms
from vla3d_ros.training.losses.matching import InstanceTargets, ProbeAnswers, match, matching_cost

BATCH, VIEWS, PROBES, SLOTS, CELLS = 3, 2, 5, 4, 6


def boxes(rng, *shape):
    size = rng.uniform(0.05, 0.4, (*shape, 2))
    return np.concatenate([rng.uniform(0.2, 0.8, (*shape, 2)), size], axis=-1)


def drawn_answers(seed, classes=3):
    rng = np.random.default_rng(seed)
    return {
        "class_logits": rng.standard_normal((BATCH, PROBES, classes)),
        "points": rng.uniform(-0.5, 0.5, (BATCH, PROBES, 3)),
        "boxes": boxes(rng, BATCH, VIEWS, PROBES),
        "mask_logits": rng.standard_normal((BATCH, VIEWS, PROBES, CELLS, CELLS)),
    }


def drawn_targets(seed, classes=3):
    """Four objects in the first scene, one of them unseen; three in the second; none in the third."""
    rng = np.random.default_rng(seed)
    present = np.arange(SLOTS) < np.array([[4], [3], [0]])
    seen = (rng.random((BATCH, VIEWS, SLOTS)) < 0.7) & present[:, None]
    seen[0, :, 1] = False
    seen[:2, 0, 0] = True
    return {
        "labels": rng.integers(0, classes, (BATCH, SLOTS)),
        "points": rng.uniform(-0.5, 0.5, (BATCH, SLOTS, 3)),
        "present": present,
        "seen": seen,
        "boxes": boxes(rng, BATCH, VIEWS, SLOTS),
        "masks": rng.random((BATCH, VIEWS, SLOTS, CELLS, CELLS)) < 0.3,
    }


def tensors(kind, arrays):
    return kind(**{name: torch.tensor(array) for name, array in arrays.items()})


def scene(seed):
    answers, targets = drawn_answers(seed), drawn_targets(seed + 100)
    return answers, targets, tensors(ProbeAnswers, answers), tensors(InstanceTargets, targets)


@pytest.mark.parametrize("seed", range(3))
def test_cost_is_the_mean_over_the_views_that_show_an_object(seed):
    answers, targets, said, true = scene(seed)
    expected = np.array(
        [
            [[reference.cost(answers, targets, b, j, k) for k in range(SLOTS)] for j in range(PROBES)]
            for b in range(BATCH)
        ]
    )
    cost = matching_cost(said, true, InstanceWeights())
    np.testing.assert_allclose(cost, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_matching_is_the_cheapest_of_all_permutations(seed):
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((1, PROBES, SLOTS))
    found = match(torch.tensor(table), torch.ones(1, SLOTS, dtype=torch.bool))
    assert dict(zip(found.target.tolist(), found.probe.tolist(), strict=True)) == dict(
        enumerate(reference.cheapest(table[0]))
    )


def test_only_objects_that_some_view_shows_are_matched_and_each_once():
    _, targets, said, true = scene(0)
    found = match(matching_cost(said, true, InstanceWeights()), true.countable)
    pairs = set(zip(found.sample.tolist(), found.target.tolist(), strict=True))
    assert pairs == set(zip(*np.nonzero(targets["present"] & targets["seen"].any(axis=1)), strict=True))
    assert len(pairs) == len(found.sample) < targets["present"].sum()


@pytest.mark.parametrize("seed", range(3))
def test_the_six_terms_are_those_of_the_equation(seed):
    answers, targets, said, true = scene(seed)
    found = match(matching_cost(said, true, InstanceWeights()), true.countable)
    pairs = list(zip(*(index.tolist() for index in found), strict=True))
    got = set_terms(said, true, found)
    expected = reference.terms(answers, targets, pairs)
    assert set(got) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(float(got[name]), value, rtol=1e-5, err_msg=name)


def test_the_joint_loss_has_the_papers_weights_and_is_the_mean_over_layers():
    _, _, said, true = scene(1)
    other = scene(2)[2]
    weights = {"classification": 2, "box": 5, "giou": 2, "mask": 5, "dice": 5, "point": 5}
    alone = []
    for layer in (said, other):
        found = match(matching_cost(layer, true, InstanceWeights()), true.countable)
        alone.append(sum(weights[name] * float(term) for name, term in set_terms(layer, true, found).items()))
    total, _ = instance_loss([said, other], true, InstanceWeights())
    np.testing.assert_allclose(float(total), np.mean(alone), rtol=1e-6)


def test_a_perfect_answer_is_matched_to_its_object_and_costs_almost_nothing():
    answers, targets, _, true = scene(4)
    order = np.array([3, 0, 4, 1])  # probe that stands for each object
    answers["class_logits"] = np.full((BATCH, PROBES, 3), -12.0)
    for b, k in zip(*np.nonzero(targets["present"] & targets["seen"].any(axis=1)), strict=True):
        answers["class_logits"][b, order[k], targets["labels"][b, k]] = 12.0
    answers["points"][:, order] = targets["points"]
    answers["boxes"][:, :, order] = targets["boxes"]
    answers["mask_logits"][:, :, order] = np.where(targets["masks"], 30.0, -30.0)
    said = tensors(ProbeAnswers, answers)
    found = match(matching_cost(said, true, InstanceWeights()), true.countable)
    assert found.probe.tolist() == order[found.target.numpy()].tolist()
    total, _ = instance_loss([said], true, InstanceWeights())
    assert abs(float(total)) < 1e-4


def test_a_scene_without_objects_only_teaches_that_there_is_none():
    _, _, said, true = scene(5)
    empty = true._replace(present=torch.zeros_like(true.present), seen=torch.zeros_like(true.seen))
    leaves = ProbeAnswers(*(value.clone().requires_grad_() for value in said))
    instance_loss([leaves], empty, InstanceWeights())[0].backward()
    assert leaves.class_logits.grad.abs().min() > 0
    assert not leaves.points.grad.any()
    assert not leaves.boxes.grad.any()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0.5, 0.5, 0.2, 0.2], 1.0),
        ([0.6, 0.5, 0.2, 0.2], 1 / 3),
        ([0.8, 0.5, 0.2, 0.2], -0.2),
        ([0.5, 0.5, 0.1, 0.1], 0.25),
    ],
)
def test_giou_of_boxes_worked_out_by_hand(other, expected):
    box = torch.tensor([0.5, 0.5, 0.2, 0.2], dtype=torch.float64)
    np.testing.assert_allclose(float(generalised_iou(box, torch.tensor(other, dtype=torch.float64))), expected)
