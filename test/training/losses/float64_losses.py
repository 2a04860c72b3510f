"""The terms of 3DVLA Eq. 5 and 6 in NumPy float64, written from the formulas, one object at a time."""

import itertools

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def focal(logit, target):
    p = sigmoid(logit)
    p_t, alpha_t = (p, 0.25) if target else (1 - p, 0.75)
    return -alpha_t * (1 - p_t) ** 2 * np.log(p_t)


def giou(a, b):
    areas = [box[2] * box[3] for box in (a, b)]
    low, high = (np.stack([box[:2] + sign * box[2:] / 2 for box in (a, b)]) for sign in (-1, 1))
    inner = np.prod(np.maximum(high.min(axis=0) - low.max(axis=0), 0))
    hull = np.prod(high.max(axis=0) - low.min(axis=0))
    union = sum(areas) - inner
    return inner / union - (hull - union) / hull


def cost(answers, targets, b, j, k):
    """C_global(j, k) of Eq. 5 in sample b."""
    views = np.flatnonzero(targets["seen"][b, :, k])
    logit = answers["class_logits"][b, j, targets["labels"][b, k]]
    point = np.abs(answers["points"][b, j] - targets["points"][b, k]).sum()
    total = 0.0
    for view in views:
        box, true = answers["boxes"][b, view, j], targets["boxes"][b, view, k]
        total += 2 * (focal(logit, 1) - focal(logit, 0)) + 5 * np.abs(box - true).sum() + 2 * (1 - giou(box, true))
        total += 5 * point
    return total / max(len(views), 1)


def cheapest(table):
    """Assign a row to every column by trying all ways."""
    rows, columns = table.shape
    ways = itertools.permutations(range(rows), columns)
    return min(ways, key=lambda way: sum(table[row, column] for column, row in enumerate(way)))


def terms(answers, targets, pairs):
    """The six terms of Eq. 6, given (sample, probe, target) triples."""
    found = dict.fromkeys(("classification", "box", "giou", "mask", "dice", "point"), 0.0)
    wanted = np.zeros(answers["class_logits"].shape)
    shown = 0
    for b, j, k in pairs:
        wanted[b, j, targets["labels"][b, k]] = 1
        found["point"] += np.abs(answers["points"][b, j] - targets["points"][b, k]).sum() / len(pairs)
        for view in np.flatnonzero(targets["seen"][b, :, k]):
            shown += 1
            box, true = answers["boxes"][b, view, j], targets["boxes"][b, view, k]
            p, m = sigmoid(answers["mask_logits"][b, view, j]), targets["masks"][b, view, k]
            found["box"] += np.abs(box - true).sum()
            found["giou"] += 1 - giou(box, true)
            found["mask"] += -np.where(m, np.log(p), np.log(1 - p)).mean()
            found["dice"] += 1 - (2 * p[m].sum() + 1) / (p.sum() + m.sum() + 1)
    for name in ("box", "giou", "mask", "dice"):
        found[name] /= max(shown, 1)
    logits = answers["class_logits"]
    found["classification"] = sum(focal(logits[i], wanted[i]) for i in np.ndindex(logits.shape)) / max(len(pairs), 1)
    return found
